"""Receipts on disk: what is done, so that the same command goes on where it stopped.

``run/receipts/<stage>/<task id>.json`` is written last, after a task's outputs bear their final names. A receipt
counts only while its key is the task's and every output it lists has the recorded size; anything else, a truncated
receipt included, means "not done", never an error.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import msgspec

from mixer import storage
from mixer.engine.stage import Receipt, Task
from mixer.storage import Root, is_local

SUFFIX = ".json"


@dataclass(frozen=True)
class Stock:
    """What there is of a stage: the receipts of tasks that are done, by id, and the tasks that left something else."""

    done: dict[str, Receipt]
    stale: frozenset[str]


def receipt_path(root: Root, stage: str, task: str) -> Root:
    """Say where the receipt of a task lies in the build directory ``root``."""
    return root / "run" / "receipts" / stage / (task + SUFFIX)


def write_receipt(root: Root, receipt: Receipt) -> None:
    """Write a receipt whole or not at all.

    Raises
    ------
    TypeError
        The stage's counts hold something that JSON cannot.
    """
    text = msgspec.json.format(msgspec.json.encode(receipt), indent=1)
    storage.write(receipt_path(root, receipt.stage, receipt.task), text + b"\n")


def read_receipt(path: Root) -> Receipt | None:
    """Read a receipt; None if there is none, or what is there is not a whole one."""
    try:
        return _decoded(storage.read(path))
    except OSError as error:
        if is_local(path) or isinstance(error, FileNotFoundError):
            return None
        raise  # a store that does not answer says nothing about what is done


def _decoded(content: bytes) -> Receipt | None:
    try:
        receipt = msgspec.json.decode(content, type=Receipt)
    except msgspec.DecodeError:
        return None
    # The paths are later deleted by name: they must not lead out of the build directory.
    paths = [PurePosixPath(name) for name in receipt.outputs]
    return None if any(path.is_absolute() or ".." in path.parts for path in paths) else receipt


def finished(root: Root, stage: str, task: Task) -> Receipt | None:
    """Return the receipt of ``task`` if it is done: same key, every output there with the recorded size.

    In a store it is the receipt alone, of a task that has just been run: there, outputs are whole or not there, and
    what is missing when a stage begins is found by ``take_stock``.
    """
    receipt = read_receipt(receipt_path(root, stage, task.id))
    if receipt is None or receipt.key != task.key:
        return None
    whole = not is_local(root) or all(_size(root / path) == output.bytes for path, output in receipt.outputs.items())
    return receipt if whole else None


def take_stock(root: Root, stage: str, tasks: Sequence[Task]) -> Stock:
    """Find out which tasks are done, and which have left something that is not: as ``finished``, for all at once.

    In a store the folders are listed, and the receipts read many at a time: not a request for each file.
    """
    if is_local(root):
        done = {task.id: receipt for task in tasks if (receipt := finished(root, stage, task))}
        stale = {task.id for task in tasks if task.id not in done and receipt_path(root, stage, task.id).exists()}
        return Stock(done, frozenset(stale))
    folder = root / "run" / "receipts" / stage
    there = storage.files(folder).keys()
    paths = {folder / (task.id + SUFFIX): task.id for task in tasks if task.id + SUFFIX in there}
    found = {paths[path]: _decoded(content) for path, content in storage.read_all(paths)}
    keys = {task.id: task.key for task in tasks}
    same = {task: receipt for task, receipt in found.items() if receipt and receipt.key == keys[task]}
    folders = {"/".join(path.split("/")[:2]) for receipt in same.values() for path in receipt.outputs}
    sizes = {f"{name}/{path}": size for name in sorted(folders) for path, size in storage.files(root / name).items()}
    done = {
        task: receipt
        for task, receipt in same.items()
        if all(sizes.get(path) == output.bytes for path, output in receipt.outputs.items())
    }
    return Stock(done, frozenset(found.keys() - done.keys()))


def discard(root: Root, stage: str, task: str) -> None:
    """Remove a receipt and the outputs it lists, so that nothing stale outlives the task's next run.

    Without this a task interrupted under other settings could leave a new file under an old receipt, and settings
    changed back would find it valid.
    """
    path = receipt_path(root, stage, task)
    receipt = read_receipt(path)
    storage.remove(root / output for output in (receipt.outputs if receipt else ()))
    storage.remove([path])


def prune(root: Root, stage: str, tasks: Iterable[Task]) -> None:
    """Discard what tasks left that ``stage`` no longer plans: those of a source that was taken out of the recipe."""
    planned = {task.id for task in tasks}
    for name in sorted(storage.files(root / "run" / "receipts" / stage)):
        if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in planned:
            discard(root, stage, name.removesuffix(SUFFIX))


def _size(path: Root) -> int:
    return path.stat().st_size if path.is_file() else -1
