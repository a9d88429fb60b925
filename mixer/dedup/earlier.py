"""Earlier builds: what they kept for training or validation has priority over everything here (``dedup.against``).

A finished build lists its fingerprints in ``fingerprints/index.json``; the files lie beside it, and each has the list
of what was kept of it. They are no scratch: `mixer clean` leaves them.
"""

from collections.abc import Sequence

import msgspec

from mixer.dedup.corpus import KEPT, File
from mixer.dedup.fingerprint import FINGERPRINTS
from mixer.dedup.settings import DedupSettings
from mixer.engine.outputs import OutputFile, Outputs
from mixer.engine.stage import Receipt
from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import read
from mixer.storage import Root, files

INDEX = "fingerprints/index.json"
FORMAT = 1


class _Files(msgspec.Struct, frozen=True):
    """The fingerprints of a task, and the list of what was kept of it."""

    task: str
    fingerprints: OutputFile
    kept: OutputFile


class _Index(msgspec.Struct, frozen=True):
    """What ``INDEX`` holds: the build, how its signatures were made, and the files in stable order."""

    format: int
    build: str
    minhash: dict[str, int]
    files: list[_Files]


def write_index(
    outputs: Outputs, build: str, settings: DedupSettings, prepared: Sequence[Receipt], fates: Sequence[Receipt]
) -> None:
    """List the fingerprints of a finished build, whose content id is ``build``."""
    written = {path: file for receipt in (*prepared, *fates) for path, file in receipt.outputs.items()}
    tasks = (receipt.task for receipt in prepared)
    files = [_Files(task, written[FINGERPRINTS.format(task)], written[KEPT.format(task)]) for task in tasks]
    index = _Index(FORMAT, build, _made_with(settings), files)
    with outputs.open(INDEX) as file:
        file.write(msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")


def earlier_files(directories: Sequence[Root], settings: DedupSettings) -> list[File]:
    """List the fingerprints of earlier builds, in the order of the directories.

    Raises
    ------
    UsageError
        One holds no finished build, no fingerprints, or such as were made with other settings.
    BrokenPromiseError
        Its index is damaged, or a file that it lists.
    """
    return [file for directory in directories for file in _files_of(directory, settings)]


def refuse_itself(files: Sequence[File], out: Root) -> None:
    """Make sure that no build is compared with itself.

    Raises
    ------
    UsageError
        ``out`` is among the earlier builds.
    """
    if any(file.root is not None and file.root.absolute() == out.absolute() for file in files):
        raise UsageError(f"dedup.against names {out}, the build itself", "give it another directory with --out")


def _files_of(directory: Root, settings: DedupSettings) -> list[File]:
    build = read(directory).build
    try:
        index = msgspec.json.decode((directory / INDEX).read_bytes(), type=_Index)
    except FileNotFoundError as error:
        raise UsageError(
            f"dedup.against: the build in {directory} has no fingerprints ({INDEX})",
            "they are written by `mixer build`; a mixture made by `mixer mix` has those of the build it was made from, "
            "so name that one, or run its build command again",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenPromiseError(f"{directory / INDEX} is damaged: {error}", "run its build command again") from error
    if index.format != FORMAT or index.build != build:
        raise UsageError(
            f"dedup.against: the fingerprints in {directory} are not those of the build there",
            "run its build command again",
        )
    if index.minhash != _made_with(settings):
        raise UsageError(
            f"dedup.against: the fingerprints in {directory} were made with {_said(index.minhash)}, here it is "
            f"{_said(_made_with(settings))}",
            "give dedup.minhash the settings of the earlier build: shingle, seed, and bands * rows must be the same",
        )
    there = files(directory / "fingerprints")
    for listed in index.files:
        for path, file in ((FINGERPRINTS, listed.fingerprints), (KEPT, listed.kept)):
            name = path.format(listed.task)
            if there.get(name.removeprefix("fingerprints/")) != file.bytes:
                raise BrokenPromiseError(
                    f"{directory / name} is missing or cut off", "run the command of that build again"
                )
    return [File(each.task, each.fingerprints, each.kept, build=build, root=directory) for each in index.files]


def _made_with(settings: DedupSettings) -> dict[str, int]:
    """Return what must be equal for signatures to be comparable."""
    minhash = settings.minhash
    return {"shingle": minhash.shingle, "hashes": minhash.hashes, "seed": minhash.seed} if minhash else {}


def _said(minhash: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in minhash.items()) or "minhash: false"
