"""Files that a recipe attaches to its filters: block lists and models, found and hashed before anything is read."""

from dataclasses import dataclass
from pathlib import Path

import xxhash

from mixer.errors import RecipeError

_PIECE = 1 << 20


@dataclass(frozen=True)
class Attachment:
    """A file that a recipe names: where it is, and the xxh3-128 of its bytes, which is part of the tasks' keys."""

    path: str
    digest: str


def attach(file: str, root: Path, where: str) -> Attachment:
    """Find a file and hash it.

    Parameters
    ----------
    file
        Its path; a relative one starts at ``root``, the recipe's folder.
    where
        Names the recipe's key in errors.

    Raises
    ------
    RecipeError
        It is not there, or cannot be read.
    """
    path = (root / Path(file).expanduser()).absolute()
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise RecipeError(f"{where}: {path}: {error.strerror}", "correct the path; it starts at the recipe") from error
    return Attachment(str(path), digest.hexdigest())
