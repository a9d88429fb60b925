"""Where a build directory may stand: on this machine, or in an object store that fsspec knows (``s3://bucket/mix``).

The one place that knows the difference. A *root* is a ``Path``, or a ``UPath``, which has the same methods; most code
says ``root / name`` and asks no further. What is not the same on both lies here: files that appear when they are
complete, long reads, listings in few requests, copies and removals of many files, and the folder of this machine that
serves a build elsewhere. On a local root all of it is what the operating system does.
"""

import hashlib
import io
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, TypeVar, cast

import fsspec
from upath import UPath

from mixer.errors import MixerError, UsageError
from mixer.uploads import is_s3, upload

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Root: TypeAlias = Path | UPath
"""A build directory, or a file of one."""
Anywhere = TypeVar("Anywhere", Path, UPath)
TEMPORARY: Final = ".tmp"
"""Ends the name of a file that is being written."""
SCRATCH: Final = "MIXER_SCRATCH"
"""Environment variable: the folder of this machine for what a build in an object store needs here."""

_MAGIC: Final = "*?[]"
_WINDOW_BYTES: Final = 4 << 20
"""Bytes that are read at once around a place that is asked for."""
_AT_ONCE: Final = 1_000
"""Files that are read or removed in one go; S3 removes so many in a request."""
_KINDS: Final = ("BotoCoreError", "ClientError")
"""What botocore's errors and those of its connections derive from."""
_REACH: Final = (
    "see that the bucket exists, and that credentials, region and endpoint are in the environment (AWS_ACCESS_KEY_ID, "
    "AWS_SECRET_ACCESS_KEY, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL for S3; docs/storage.md)"
)


def is_local(root: Root) -> "TypeIs[Path]":
    """Say whether a root, or a file of one, is on a file system of this machine."""
    return isinstance(root, Path)


def at(place: str) -> Root:
    """Return the root that a user names: a path, or a URL such as ``s3://bucket/mix``.

    Listings are asked for anew each time: other processes write there.

    Raises
    ------
    UsageError
        Nothing here can read such a URL.
    """
    scheme, colon, rest = place.partition("://")
    if not colon:
        return Path(place)
    if scheme == "file":
        return Path(rest)
    if any(sign in rest for sign in _MAGIC):
        raise UsageError(f"{place} has a character of wildcards: one of {_MAGIC}", "choose another name")
    if not rest.strip("/"):
        raise UsageError(f"{place} names no bucket", f"give it in full, such as {scheme}://bucket/mix")
    try:
        options: dict[str, Any] = (
            {"use_listings_cache": False} if fsspec.get_filesystem_class(scheme).async_impl else {}
        )
        root = UPath(place.rstrip("/"), **options)
        assert root.fs is not None
    except ImportError as error:
        extra = "pip install 'mixer[s3]'" if scheme in ("s3", "s3a") else f"install what fsspec needs: {error}"
        raise UsageError(f"{place} cannot be reached: {error}", extra) from error
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(f"{place} cannot be reached: {error}", "give a path, or a URL of a known store") from error
    return root


def local_only(root: Root, what: str) -> Path:
    """Return a root that has to be on this machine.

    Raises
    ------
    UsageError
        It is not.
    """
    if is_local(root):
        return root
    raise UsageError(
        f"{what} reads and writes a directory on this machine, not {root}",
        f"copy it to a disk, such as: aws s3 sync {root} DIRECTORY; then mixer relocate DIRECTORY",
    )


def trouble(error: BaseException) -> MixerError | None:
    """Word what a store's client library raised, if it is that; None for all other errors."""
    modules = (sys.modules.get(name) for name in ("botocore.exceptions", "aiohttp"))
    kinds = tuple(getattr(module, name) for module in modules for name in _KINDS if hasattr(module, name))
    if not isinstance(error, kinds) and not isinstance(error.__cause__, kinds):  # s3fs makes OSErrors of most
        return None
    return UsageError(f"the object store cannot be used: {type(error).__name__}: {error}", _REACH)


def check_reachable(root: Root) -> None:
    """Make sure that a store answers, before anything is done.

    Raises
    ------
    UsageError
        It does not; the remedy names what has to be set.
    """
    if is_local(root):
        return
    try:
        with suppress(FileNotFoundError):
            root.fs.ls(root.path)
            return
        with suppress(PermissionError):  # who may list a part of the bucket alone
            root.fs.ls(root.path.strip("/").split("/")[0])
    except FileNotFoundError as error:
        if root.protocol != "memory":
            raise UsageError(f"{root} cannot be reached: there is no such bucket", _REACH) from error
    except Exception as error:
        raise UsageError(f"{root} cannot be reached: {type(error).__name__}: {error}", _REACH) from error


def workplace(root: Root) -> Path:
    """Return the folder of this machine for locks, logs and scratch files of a build: its own ``run/``, if it is here.

    For another it is named after the URL, below ``MIXER_SCRATCH``, or the folder for temporary files.
    """
    if is_local(root):
        return root / "run"
    return scratch_folder() / hashlib.sha256(str(root).encode()).hexdigest()[:16]


def scratch_folder() -> Path:
    """Return the folder of this machine for what builds elsewhere need here."""
    return Path(os.environ.get(SCRATCH) or Path(tempfile.gettempdir()) / f"mixer-{os.getuid()}")


def scratch(root: Root) -> Path:
    """Make a folder for files that this process fetches from a root elsewhere; it is the caller's to remove."""
    return _own_folder(workplace(root) / "fetched")


def _own_folder(above: Path) -> Path:
    """Make a folder for this process, and remove what processes of this machine left that were killed."""
    folder = above / socket.gethostname()  # it may be a disk that several machines share
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir() if Path("/proc/self").exists() else ():
        if not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=folder))


def files(folder: Root) -> dict[str, int]:
    """List all files below a folder: bytes, by path relative to it (``/``-separated); none if it is not there."""
    if is_local(folder):
        found = ((path, path.stat().st_size) for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): size for path, size in found}
    base = folder.path.rstrip("/") + "/"
    listed = folder.fs.find(folder.path, detail=True)
    sizes = {name.removeprefix(base): int(info["size"]) for name, info in listed.items() if name.startswith(base)}
    return {name: sizes[name] for name in sorted(sizes) if name}


def stream(path: Root) -> BinaryIO:
    """Open a file that is read from front to back, in large pieces; nothing is read ahead."""
    if is_local(path):
        return cast(BinaryIO, path.open("rb", buffering=0))
    return cast(BinaryIO, path.fs.open(path.path, "rb", cache_type="none"))


def fill(file: BinaryIO, buffer: bytearray) -> int:
    """Read into a buffer, and return the bytes that were read; 0 at the end."""
    return cast(io.RawIOBase, file).readinto(buffer) or 0


def seekable(path: Root) -> str | BinaryIO:
    """Return what a library that reads here and there, such as Arrow, opens a file by."""
    if is_local(path):
        return str(path)
    return cast(BinaryIO, path.fs.open(path.path, "rb", cache_type="readahead", block_size=_WINDOW_BYTES))


def read(path: Root) -> bytes:
    """Read a small file whole, as it is now: in a store one that is replaced meanwhile is no error."""
    return path.read_bytes() if is_local(path) else cast(bytes, path.fs.cat_file(path.path, **_whole(path)))


def _whole(path: UPath) -> dict[str, Any]:
    """Return options for reading small files: of S3 in one request each, without asking for the size first."""
    return {"max_concurrency": 1} if is_s3(path) else {}


def piece(path: Root, first: int, last: int) -> bytes:
    """Read the bytes ``first`` to ``last`` (not included) of a file."""
    if is_local(path):
        with path.open("rb", buffering=0) as file:
            file.seek(first)
            return file.read(last - first)
    return cast(bytes, path.fs.cat_file(path.path, start=first, end=last))


@contextmanager
def borrow(path: Root) -> Iterator[Path]:
    """Hand out a file of this machine with the same bytes, for a while: a mapping of it into memory outlives that."""
    if is_local(path):
        yield path
        return
    folder = _own_folder(scratch_folder() / "borrowed")
    try:
        yield fetch(path, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # a shared disk keeps what is mapped a while longer


def read_all(paths: Iterable[Anywhere]) -> Iterator[tuple[Anywhere, bytes]]:
    """Read small files of one root whole, many at once where that saves time."""
    wanted = list(paths)
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        if is_local(some[0]):
            yield from ((path, path.read_bytes()) for path in some)
        else:
            found = some[0].fs.cat([path.path for path in some if not is_local(path)], **_whole(some[0]))
            yield from ((path, found[str(path.path)]) for path in some if not is_local(path))


def fetch(path: Root, folder: Path) -> Path:
    """Return a file with the same bytes on this machine: the file itself, or a copy in ``folder``."""
    if is_local(path):
        return path
    target = folder / hashlib.sha256(path.path.encode()).hexdigest()[:16] / path.name
    if not target.exists():
        with complete(target) as temporary:
            path.fs.get_file(path.path, str(temporary))
    return target


@contextmanager
def create(path: Root, size: int = 0, owner: str = "") -> Iterator[BinaryIO]:
    """Open a file for writing from front to back; it appears when the block ends without an exception.

    In an object store it is uploaded in parts meanwhile, and the parts are thrown away if there is an exception; those
    of a process that is killed are invisible until ``uploads.abandon`` throws them away. Elsewhere it has another name
    until it is complete.

    Parameters
    ----------
    path
        The file; the folders above it are made. One that is there is replaced.
    size
        Its bytes, if they are known: uploads of more than 84 GB need larger parts.
    owner
        Goes into the other name, where two processes must not write into one file.
    """
    if is_local(path):
        with complete(path, owner) as temporary, temporary.open("wb", buffering=0) as opened:
            yield cast(BinaryIO, opened)
        return
    if not path.fs.async_impl:  # no object store: an unfinished file can be seen
        path.fs.makedirs(path.parent.path, exist_ok=True)
        with complete(path, owner) as other, other.fs.open(other.path, "wb") as file:
            yield cast(BinaryIO, file)
        return
    with upload(path, size) as file:
        yield file


@contextmanager
def complete(target: Anywhere, owner: str = "") -> Iterator[Anywhere]:
    """Hand out a temporary path beside ``target`` that takes its name when the block ends without an exception.

    ``owner`` goes into the temporary name.
    """
    temporary = target.with_name(target.name + owner + TEMPORARY)
    if is_local(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        if is_local(target):
            temporary.replace(target)
        else:
            target.fs.mv(temporary.path, target.path)
    except BaseException:
        with suppress(OSError):  # what cannot be written to cannot be tidied either: say the first error
            temporary.unlink(missing_ok=True)
        raise


def write(path: Root, content: bytes) -> None:
    """Write a small file whole or not at all."""
    with create(path) as file:
        file.write(content)


def remove(paths: Iterable[Root]) -> None:
    """Remove files, many in one request where a store can; those that are not there are passed over."""
    wanted = list(paths)
    for first in range(0, len(wanted), _AT_ONCE):
        some = wanted[first : first + _AT_ONCE]
        remote = [path for path in some if not is_local(path)]
        if remote and remote[0].fs.async_impl:
            with suppress(FileNotFoundError):
                remote[0].fs.rm([path.path for path in remote])
        else:
            for path in some:
                path.unlink(missing_ok=True)


def modules(root: Root) -> list[str]:
    """Name the modules that reading and writing a root takes, to be imported once for many processes."""
    return [] if is_local(root) else [type(root.fs).__module__]
