"""Large objects: how they are put into a store piece by piece, copied by the store itself, and given up.

Beneath ``storage``, which the others use. Everything here is about stores alone; what S3 wants is known here and in
``engine.lease``.
"""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final, cast

from upath import UPath

MEBI: Final = 1 << 20
PART_BYTES: Final = 8 * MEBI
"""Parts of an upload whose size nobody knows beforehand: 10,000 of them, the most that S3 takes, are 84 GB."""
PARTS: Final = 9_000
LARGE_PART_BYTES: Final = 64 * MEBI
"""Parts of large uploads: few requests, and still a small part of a worker's memory."""
COPY_BYTES: Final = 256 * MEBI
"""Pieces of a copy that S3 makes: each is answered well before a client gives up."""
COPIES_AT_ONCE: Final = 8
SLICE_BYTES: Final = 4 * MEBI
"""An upload is fed in slices, so that it holds little more than a part however much is written at once."""


def is_s3(path: UPath) -> bool:
    """Say whether a store is S3, or speaks its language."""
    return "s3" in path.fs.protocol


def part_bytes(size: int) -> int:
    """Return how large the parts of an upload of so many bytes are: whole MiB; 0 where nobody knows."""
    part = max(PART_BYTES, min(size // 200, LARGE_PART_BYTES), -(-size // PARTS))
    return -(-part // MEBI) * MEBI


@contextmanager
def upload(path: UPath, size: int) -> Iterator[BinaryIO]:
    """Open an object for writing from front to back; see ``storage.create``."""
    file = path.fs.open(path.path, "wb", block_size=part_bytes(size))
    try:
        yield cast(BinaryIO, _Sliced(file))
        file.close()
    except BaseException:
        with suppress(Exception):  # say the first error
            file.discard()
        with suppress(Exception):  # or the garbage collector would complete it
            file.closed = True
        raise


class _Sliced(io.RawIOBase):
    """An upload that is given no more than a slice at once."""

    def __init__(self, file: Any) -> None:
        super().__init__()
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for first in range(0, len(view), SLICE_BYTES):
            self._file.write(view[first : first + SLICE_BYTES])
        return len(view)


def copy(source: UPath, target: UPath) -> None:
    """Copy an object within a store, which moves the bytes itself; a large one in S3 in pieces, some at once."""
    size = source.stat().st_size if is_s3(source) else 0
    if size <= COPY_BYTES:
        source.fs.cp_file(source.path, target.path)
        return
    call, (bucket, _, key) = target.fs.call_s3, target.path.partition("/")
    begun = {"Bucket": bucket, "Key": key}
    begun["UploadId"] = call("create_multipart_upload", **begun)["UploadId"]
    block = max(COPY_BYTES, -(-size // PARTS))

    def part(first: int) -> dict[str, Any]:
        number, last = first // block + 1, min(first + block, size) - 1
        asked = {"PartNumber": number, "CopySource": source.path, "CopySourceRange": f"bytes={first}-{last}"}
        return {"PartNumber": number, "ETag": call("upload_part_copy", **begun, **asked)["CopyPartResult"]["ETag"]}

    try:
        with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
            parts = list(pool.map(part, range(0, size, block)))
        call("complete_multipart_upload", **begun, MultipartUpload={"Parts": parts})
    except BaseException:
        with suppress(Exception):  # say the first error
            call("abort_multipart_upload", **begun)
        raise


def abandon(root: UPath) -> None:
    """Throw away what unfinished uploads below a root left in the store, invisible but paid for; nobody may upload.

    Only S3 lists them; other stores forget them after some days. Without the permission to list them they stay.
    """
    if not is_s3(root):
        return
    bucket, _, prefix = root.path.partition("/")
    place: dict[str, str] = {}
    with suppress(OSError, NotImplementedError):
        while True:
            page = root.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/", **place)
            for found in page.get("Uploads", ()):
                root.fs.abort_mpu(bucket, found["Key"], found["UploadId"])
            if not page.get("IsTruncated"):
                return
            place = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
