"""Receipts on disk: what is done, so that the same command goes on where it stopped.

``run/receipts/<stage>/<task id>.json`` is written last, after a task's outputs bear their final names. A receipt
counts only while its key is the task's and every output it lists has the recorded size; anything else, a truncated
receipt included, means "not done", never an error.
"""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from mixer.engine.outputs import complete
from mixer.engine.stage import Receipt, Task

SUFFIX = ".json"


def receipt_path(root: Path, stage: str, task: str) -> Path:
    """Say where the receipt of a task lies in the build directory ``root``."""
    return root / "run" / "receipts" / stage / (task + SUFFIX)


def write_receipt(root: Path, receipt: Receipt) -> None:
    """Write a receipt whole or not at all.

    Raises
    ------
    TypeError
        The stage's counts hold something that JSON cannot.
    """
    text = msgspec.json.format(msgspec.json.encode(receipt), indent=1)
    with complete(receipt_path(root, receipt.stage, receipt.task)) as temporary:
        temporary.write_bytes(text + b"\n")


def read_receipt(path: Path) -> Receipt | None:
    """Read a receipt; None if there is none, or what is there is not a whole one."""
    try:
        receipt = msgspec.json.decode(path.read_bytes(), type=Receipt)
    except (OSError, msgspec.DecodeError):
        return None
    # The paths are later deleted by name: they must not lead out of the build directory.
    paths = [PurePosixPath(name) for name in receipt.outputs]
    return None if any(path.is_absolute() or ".." in path.parts for path in paths) else receipt


def finished(root: Path, stage: str, task: Task) -> Receipt | None:
    """Return the receipt of ``task`` if it is done: same key, every output there with the recorded size."""
    receipt = read_receipt(receipt_path(root, stage, task.id))
    if receipt is None or receipt.key != task.key:
        return None
    whole = all(_size(root / path) == output.bytes for path, output in receipt.outputs.items())
    return receipt if whole else None


def discard(root: Path, stage: str, task: str) -> None:
    """Remove a receipt and the outputs it lists, so that nothing stale outlives the task's next run.

    Without this a task interrupted under other settings could leave a new file under an old receipt, and settings
    changed back would find it valid.
    """
    path = receipt_path(root, stage, task)
    receipt = read_receipt(path)
    for output in receipt.outputs if receipt else ():
        (root / output).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def prune(root: Path, stage: str, tasks: Iterable[Task]) -> None:
    """Discard what tasks left that ``stage`` no longer plans: those of a source that was taken out of the recipe."""
    planned = {task.id for task in tasks}
    folder = root / "run" / "receipts" / stage
    for path in sorted(folder.rglob("*" + SUFFIX)):
        task = path.relative_to(folder).as_posix().removesuffix(SUFFIX)
        if task not in planned:
            discard(root, stage, task)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
