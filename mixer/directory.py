"""The build directory as a whole: whose it is, and what does not belong there (any more)."""

import shutil
from collections.abc import Collection
from pathlib import Path

from upath import UPath

from mixer import storage
from mixer.engine.lease import LOCK
from mixer.engine.lock import lock
from mixer.engine.outputs import Outputs
from mixer.errors import UsageError
from mixer.manifest import NAME, Manifest, read
from mixer.storage import Root, is_local

RECIPE = "run/recipe"
"""Names the recipe whose build a directory holds, before there is a ``mixture.json``."""


def claim(out: Root, recipe: str) -> None:
    """Make sure that ``out`` is free, or holds a build of the recipe of this name.

    Raises
    ------
    UsageError
        Something else is there, or the store does not answer.
    """
    storage.check_reachable(out)
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, not a directory", "choose another directory with --out")
    if not out.exists() or not any(out.iterdir()):
        return
    if (out / RECIPE).exists():
        found = (out / RECIPE).read_text("utf-8").strip()
    elif (out / NAME).exists():
        found = read(out).recipe
    elif {path.name for path in out.iterdir()} == {"run"}:  # a build that was stopped before it began
        return
    else:
        raise UsageError(f"{out} is not empty and holds no build", "choose another directory with --out")
    if found != recipe:
        raise UsageError(
            f"{out} holds the build of another recipe, {found!r} (this one is {recipe!r})",
            "choose another directory with --out",
        )


def mark(out: Root, recipe: str) -> None:
    """Write down whose build this is; hold the lock of ``out``."""
    with Outputs(out).open(RECIPE) as file:
        file.write(f"{recipe}\n".encode())


def sweep(out: Root, written: Collection[str]) -> None:
    """Remove documents and fingerprints that no receipt lists, left by a build under other settings; empty folders."""
    for folder in ("documents", "dropped", "rejected", "contamination", "fingerprints"):
        if not is_local(out):
            there = (f"{folder}/{name}" for name in storage.files(out / folder))
            storage.remove(out / path for path in there if path not in written)
            continue
        for path in [*sorted((out / folder).rglob("*"), reverse=True), out / folder]:  # a folder after what is in it
            if path.is_file() and path.relative_to(out).as_posix() not in written:
                path.unlink()
            elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()


def documents_of(out: Root, manifest: Manifest, other: Root | None) -> Root | None:
    """Return the folder that holds the kept documents of a build, or None: another mixture of its datasets has none.

    Parameters
    ----------
    out, manifest
        The build.
    other
        The build to look in, if that is another one.

    Raises
    ------
    UsageError
        ``other`` is no build, or one of other datasets.
    """
    if other is not None and read(other).build != manifest.build:
        raise UsageError(f"{other} does not hold the datasets of {out}", "name the build that it was mixed from")
    folder = (other or out) / "documents"
    return folder if folder.is_dir() else None


def clean(out: Root) -> int:
    """Remove scratch files and datasets of earlier mixtures from a finished build; return the bytes freed.

    Raises
    ------
    UsageError
        There is no finished build in ``out``, or one is being made.
    """
    manifest = read(out)
    if not is_local(out):
        return _clean_store(out, manifest)
    with lock(out):
        stale = [path for path in (out / "megatron").iterdir() if path.is_dir() and path.name not in manifest.folders]
        before = disk_usage(out)
        for path in stale:
            shutil.rmtree(path)
        if (out / "run").is_symlink():  # scratch on another disk: the link is the user's
            for path in (out / "run").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            shutil.rmtree(out / "run")
    return before - disk_usage(out)


def _clean_store(out: UPath, manifest: Manifest) -> int:
    """Do the same in an object store, which knows no folders."""
    with lock(out):
        there = storage.files(out)
        kept = tuple(f"megatron/{name}/" for name in manifest.folders)
        stale = [path for path in there if path.startswith("megatron/") and path.count("/") > 1]
        stale = [path for path in stale if not path.startswith(kept)]
        stale += [path for path in there if path.startswith("run/") and path != LOCK]
        storage.remove(out / path for path in stale)
        shutil.rmtree(storage.workplace(out) / "logs", ignore_errors=True)
    return sum(there[path] for path in stale)


def disk_usage(folder: Path) -> int:
    """Add up the bytes of all files below a folder, hard links once."""
    found = (path.lstat() for path in folder.rglob("*") if not path.is_dir())
    return sum({(stat.st_dev, stat.st_ino): stat.st_size for stat in found}.values())
