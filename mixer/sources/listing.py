"""From what a recipe calls ``paths`` to a sorted list of files; nothing is opened.

Second step of the room. Files, folders, globs and URLs are expanded through fsspec, which is also what datatrove's
``DataFolder`` does. The list is sorted by the name that documents carry: file order is the order of stable keys.
"""

import difflib
import json
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from mixer.errors import InputError, RecipeError, did_you_mean
from mixer.sources.settings import SourceSettings
from mixer.variables import expand

_MAGIC = "*?["
_LEFT_OUT_NAMES = ("_SUCCESS", "_temporary")
_LEFT_OUT_ENDINGS = (".tmp", ".crc", "~")
_CONTENT = ("etag", "ETag", "md5Hash", "blob_id", "crc32c", "CRC")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "created")
_VERSIONS = _CONTENT + _TIMES
"""Where file systems keep what changes with a file's content, best first."""


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    ``url`` opens it (an absolute path or a URL) and never reaches data; ``path`` is its name in documents and messages,
    relative to the root of the glob that found it; ``size`` is in bytes on disk, 0 where the file system does not
    tell; ``version`` is the etag, else the time of the last change, and decides with the size whether a task is redone.
    """

    url: str
    path: str
    size: int
    version: str

    def identity(self) -> list[Any]:
        """Return what a task's key depends on: JSON values, the same wherever the corpus lies."""
        return [self.path, self.size, self.version]


@dataclass(frozen=True)
class Listing:
    """The files of a source in order, and what was left out of folders and wildcards."""

    files: tuple[InputFile, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """A file, the trail of folder names that leads to its glob's root, and whether it is left out."""

    file: InputFile
    trail: tuple[str, ...]
    left_out: bool = False

    def named(self, depth: int) -> InputFile:
        """Return the file with the last ``depth`` folders of its trail before its name."""
        folders = self.trail[max(0, len(self.trail) - depth) :]
        return replace(self.file, path="/".join((*folders, self.file.path)))


def list_files(source: SourceSettings, root: Path, environment: Mapping[str, str] | None = None) -> Listing:
    """Expand the ``paths`` of a source.

    A file that several patterns find is listed once, under the first pattern's name. Where different files would bear
    the same name, all files of the source are named with as many folders more as tell their roots apart.

    Parameters
    ----------
    source
        Settings that have ``paths``.
    root
        The recipe's folder, where relative paths start.
    environment
        Values for ``${VAR}``; default: the process's environment.

    Raises
    ------
    RecipeError
        A variable is not set, a protocol is unknown, or a pattern matches nothing.
    InputError
        The file system refuses to list, or a link leads nowhere.
    """
    found: dict[str, _Found] = {}
    for pattern in source.paths or []:
        place = _Place.of(expand(pattern, f"source {source.name!r}: `paths`", environment), source.name, pattern, root)
        matches = list(place.files())
        if all(match.left_out for match in matches):
            raise place.nothing_found(matches)
        for match in matches:
            known = found.get(match.file.url)
            if known is None or known.left_out:
                found[match.file.url] = match
    kept = _with_distinct_names([match for match in found.values() if not match.left_out], source.name)
    left_out = sorted(match.file.path for match in found.values() if match.left_out)
    return Listing(tuple(sorted(kept, key=lambda file: file.path)), tuple(left_out))


@dataclass(frozen=True)
class _Place:
    """One pattern: the file system it lives on and how to write a URL for what is found there."""

    source: str
    pattern: str  # as the recipe has it
    fs: Any
    path: str  # on the file system, wildcards included
    prefix: str  # before a path to make a URL, "" for local files
    suffix: str  # the rest of a chained URL such as zip://*.json::data.zip

    @classmethod
    def of(cls, expanded: str, source: str, pattern: str, root: Path) -> "_Place":
        first, *rest = expanded.split("::")
        if "://" not in (rest[-1] if rest else first):
            local = os.path.abspath(root / Path(rest[-1] if rest else first).expanduser())  # noqa: PTH100
            first, rest = (first, [*rest[:-1], local]) if rest else (local, [])
        suffix = "".join(f"::{part}" for part in rest)
        try:
            fs, path = url_to_fs(first + suffix)
        except (ValueError, ImportError, OSError) as error:
            scheme, known = first.split("://")[0], fsspec.available_protocols()
            near = did_you_mean(scheme, known) if "://" in first and scheme not in known else ""
            raise RecipeError(
                f"source {source!r}: `paths` names {pattern!r}, which cannot be opened: {error}{near}",
                "write a path, or a URL of a protocol whose package is installed (s3:// needs the extra mixer[s3])",
            ) from error
        if isinstance(fs, LocalFileSystem):
            return cls(source, pattern, fs, path, "", "")
        if "://" in first:
            return cls(source, pattern, fs, path, first.split("://")[0] + "://", suffix)
        # else a wrapper without a path of its own, such as simplecache::s3://bucket/x
        scheme, separator, _ = rest[0].partition("://")
        return cls(source, pattern, fs, path, f"{first}::{scheme}{separator}", "".join(f"::{p}" for p in rest[1:]))

    def files(self) -> Iterator[_Found]:
        """Yield every file that the pattern means, left-out ones marked."""
        try:
            if self.fs.isfile(self.path):
                yield self._found(self.fs.info(self.path), posixpath.dirname(self.path), pick=False)
            elif self.fs.isdir(self.path):
                yield from self._folder()
            elif _is_magic(self.path):
                base = _glob_root(self.path)
                for info in self.fs.glob(self.path, detail=True).values():
                    if self._is_file(info):
                        yield self._found(info, base, pick=True)
        except OSError as error:
            raise InputError(
                f"source {self.source!r}: cannot list {self.pattern!r}: {error}",
                "check that the place is reachable and may be read",
            ) from error

    def _folder(self) -> Iterator[_Found]:
        base = self.path.rstrip("/")
        if self.fs.isfile(f"{base}/dataset_dict.json"):
            splits = json.loads(self.fs.cat_file(f"{base}/dataset_dict.json"))["splits"]
            folders = ", ".join(f"{self.pattern.rstrip('/')}/{split}" for split in splits)
            raise RecipeError(
                f"source {self.source!r}: {self.pattern!r} holds several splits of a saved dataset",
                f"name the one to read: {folders}",
            )
        if self.fs.isfile(f"{base}/state.json") and self.fs.isfile(f"{base}/dataset_info.json"):
            state = json.loads(self.fs.cat_file(f"{base}/state.json"))
            for part in state["_data_files"]:
                yield self._found(self.fs.info(f"{base}/{part['filename']}"), base, pick=False)
            return
        for info in self.fs.find(base, detail=True).values():
            if self._is_file(info):
                yield self._found(info, base, pick=True)
            elif info["type"] == "directory":  # a link to a folder: following it could go round in circles
                link = self._found(info, base, pick=True)
                yield replace(link, file=replace(link.file, path=f"{link.file.path}/"), left_out=True)

    def _is_file(self, info: dict[str, Any]) -> bool:
        """Whether an entry is a file; what a folder walk calls ``other`` is mostly a link and is looked at again."""
        if info["type"] == "other":
            try:
                info.update(self.fs.info(info["name"]))
            except FileNotFoundError:
                info["type"] = "other"
            if info["type"] == "other" and info.get("islink"):
                raise InputError(
                    f"source {self.source!r}: {info['name']} is a link that leads nowhere", "repair or remove the link"
                )
        return bool(info["type"] == "file")

    def _found(self, info: dict[str, Any], base: str, *, pick: bool) -> _Found:
        full = info["name"] if info["name"].startswith("/") or not self.path.startswith("/") else f"/{info['name']}"
        path = full[len(base) :].lstrip("/") if full.startswith(base) else posixpath.basename(full)
        names = path.split("/")
        left_out = pick and (
            any(name.startswith(".") or name in _LEFT_OUT_NAMES for name in names) or path.endswith(_LEFT_OUT_ENDINGS)
        )
        trail = [part for part in f"{self.suffix}/{base}".replace("::", "/").replace("://", "/").split("/") if part]
        url = f"{self.prefix}{full}{self.suffix}"
        return _Found(InputFile(url, path, int(info.get("size") or 0), _version(info)), tuple(trail), left_out)

    def nothing_found(self, left_out: list[_Found]) -> RecipeError:
        """Word the error of a pattern without files: the nearest folder that is there and what is in it."""
        message = f"source {self.source!r}: `paths` names {self.pattern!r}, which matches no file"
        if left_out:
            names = ", ".join(match.file.path for match in left_out[:3])
            return RecipeError(f"{message} but hidden or temporary ones ({names})", "name such files without wildcards")
        if isinstance(self.fs, LocalFileSystem) and os.path.islink(self.path):  # noqa: PTH114
            return RecipeError(f"{message}: it is a link that leads nowhere", "repair or remove the link")
        parent = _glob_root(self.path) if _is_magic(self.path) else self.path
        while parent.strip("/") and not self.fs.isdir(parent):
            parent = posixpath.dirname(parent)
        try:
            inside = sorted(posixpath.basename(name.rstrip("/")) for name in self.fs.ls(parent or "/", detail=False))
        except OSError:
            inside = []
        wanted = self.path[len(parent) :].strip("/").split("/")[0]
        near = difflib.get_close_matches(wanted, inside, n=3, cutoff=0.5) or inside[:5]
        holds = f"it holds {', '.join(near)}{', ...' if len(inside) > len(near) else ''}" if near else "it is empty"
        return RecipeError(message, f"the nearest folder that exists is {parent or '/'}; {holds}")


def _is_magic(path: str) -> bool:
    return any(sign in path for sign in _MAGIC)


def _glob_root(path: str) -> str:
    """Return the folder above the first wildcard."""
    parts = path.split("/")
    first = next(position for position, part in enumerate(parts) if _is_magic(part))
    return "/".join(parts[:first])


def _version(info: Mapping[str, Any]) -> str:
    return next((f"{key}={info[key]}" for key in _VERSIONS if info.get(key)), "")


def _with_distinct_names(found: list[_Found], source: str) -> list[InputFile]:
    """Name the files of a source apart: by the last folders of their roots if their own names clash."""
    depth = 0
    longest = max((len(match.trail) for match in found), default=0)
    while True:
        files = [match.named(depth) for match in found]
        if len({file.path for file in files}) == len(files):
            return files
        if depth >= longest:
            raise RecipeError(
                f"source {source!r}: several files would bear the name {files[0].path!r}",
                "make a source of its own for each of these `paths`",
            )
        depth += 1
