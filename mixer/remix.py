"""Another mixture of the datasets that a build has: new weights in a moment, no text touched.

Stands beside ``build``: what that counted comes from ``mixture.json`` here, and the same solver and the same export
follow. Imports none of the stages, so that a command is there at once.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from mixer.engine.lock import lock
from mixer.engine.outputs import Outputs, place
from mixer.errors import BrokenPromiseError, UsageError
from mixer.manifest import NAME, Dataset, Manifest, encode, read
from mixer.mixture.compose import Counted, compose
from mixer.mixture.export import export, other_flags
from mixer.mixture.settings import MixtureSettings, unread_with, weights_fault
from mixer.mixture.views import write_views
from mixer.mixture.weights import Mixture
from mixer.report import NAME as REPORT
from mixer.storage import TEMPORARY, Root, is_local

SUFFIXES: Final = (".bin", ".idx")


@dataclass(frozen=True)
class Remixed:
    """The new mixture and where it stands; ``copied`` are the bytes of files that could not be linked."""

    out: Root
    manifest: Manifest
    mixture: Mixture
    copied: int


def remix(build_dir: Root, changes: Mapping[str, Any], out: Root | None = None) -> Remixed:
    """Mix the datasets of a finished build anew.

    Parameters
    ----------
    build_dir
        The build.
    changes
        Keys of ``mixture`` in the recipe, with other values than the build's.
    out
        Where the new mixture shall stand: it gets hard links to the datasets, or copies where there are no links.
        Default: in the place of the old one.

    Raises
    ------
    UsageError
        There is no finished build, ``out`` holds something else, or a value is impossible.
    InfeasibleError
        There is no such mixture; everything stays as it was.
    BrokenPromiseError
        A file of a dataset, or of the flags, is missing.
    """
    before = read(build_dir)
    settings = _changed(build_dir, before, changes)
    flags = other_flags(build_dir, before)
    manifest, mixture = compose(
        before.recipe,
        before.build,
        before.tokenizer,
        [_counted(entry) for entry in before.datasets],
        before.valid,
        settings,
        before.shares,
        before.seed or 0,
        build_dir,
    )
    target = build_dir if out is None or out.resolve() == build_dir.resolve() else out
    if target is not build_dir:
        _check_free_for(target, before)
    with lock(target):
        copied = 0 if target is build_dir else _link(build_dir, target, _files(before))
        manifest, more = write_views(target, manifest, mixture, settings)
        copied += more
        there = (target / NAME).read_bytes() if (target / NAME).exists() else None
        export(Outputs(target), manifest, flags)
        if there != encode(manifest):
            (target / REPORT).unlink(missing_ok=True)  # it is about the mixture that was here
    return Remixed(target, manifest, mixture, copied)


def _changed(build_dir: Root, before: Manifest, changes: Mapping[str, Any]) -> MixtureSettings:
    """Return the settings of a build with some changed."""
    if before.settings is None:
        raise UsageError(
            f"{build_dir / NAME} does not hold the settings of its mixture",
            "run its build command again with this version: only the mixture is made anew",
        )
    merged = {**before.settings, **changes}
    # What all phases have of their own is not taken over from a mixture without them.
    unread = unread_with(merged.get("phases", ())) - changes.keys()
    try:
        settings = MixtureSettings.model_validate({key: value for key, value in merged.items() if key not in unread})
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}".lstrip(": ") for fault in error.errors())
        raise UsageError(
            "; ".join(faults).replace("Value error, ", ""), "`mixer mix --help` lists the options"
        ) from None
    if fault := weights_fault(settings.weights, before.shares):
        raise UsageError(fault, f"sources of this build: {', '.join(sorted(before.shares))}")
    return settings


def _counted(entry: Dataset) -> Counted:
    """Return what was counted of a dataset when it was made."""
    return Counted(
        name=entry.name,
        source=entry.source,
        language=entry.language,
        domain=entry.domain,
        documents=entry.documents,
        tokens=entry.tokens,
        additional=entry.additional_tokens,
        neutral=entry.neutral_tokens,
        max_epochs=entry.max_epochs,
        hashes=entry.xxh64,
    )


def _files(manifest: Manifest) -> list[str]:
    """List the files of all datasets, relative to the build directory."""
    return [f"{entry.prefix}{suffix}" for entry in manifest.entries for suffix in SUFFIXES]


def _check_free_for(target: Root, manifest: Manifest) -> None:
    """Make sure that nothing stands in ``target`` but, perhaps, another mixture of the same datasets."""
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, not a directory", "choose another directory with --out")
    if not target.exists() or {path.name for path in target.iterdir()} <= {"run", "megatron", NAME + TEMPORARY}:
        return
    found: str | None = None
    with suppress(UsageError, BrokenPromiseError):
        found = read(target).build
    if found != manifest.build:
        raise UsageError(
            f"{target} is not empty and holds no mixture of these datasets", "choose another directory with --out"
        )


def _link(build_dir: Root, target: Root, files: Iterable[str]) -> int:
    """Make every file appear below ``target`` and return the bytes that had to be copied."""
    copied = 0
    for name in files:
        source, link = build_dir / name, target / name
        if not source.is_file():
            raise BrokenPromiseError(f"{source} is missing", "run the same build command again")
        if link.exists() and _same(link, source):
            continue
        copied += place(source, link, target)
    return copied


def _same(link: Root, source: Root) -> bool:
    """Whether two files below one content id are the same; in an object store, by their sizes."""
    if is_local(link) and is_local(source):
        return link.samefile(source)
    return link.stat().st_size == source.stat().st_size
