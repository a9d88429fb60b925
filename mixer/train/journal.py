"""What a run logs: one JSON object a line in ``log.jsonl``, and the same in TensorBoard where that is installed.

A resumed run cuts off the lines after its checkpoint first, so that the file reads like that of an uninterrupted run.
"""

import contextlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

NAME: Final = "log.jsonl"
FOLDER: Final = "tensorboard"


class Journal:
    """The log of a run, on its first process; on the others it writes nothing.

    Parameters
    ----------
    out
        Directory of the run.
    step
        The step that the run goes on from; lines after it are cut off.
    writes
        Whether this process writes.
    """

    def __init__(self, out: Path, step: int, *, writes: bool) -> None:
        self._stack = contextlib.ExitStack()
        self._file = None
        self._board: Any = None
        if writes:
            out.mkdir(parents=True, exist_ok=True)
            _cut(out / NAME, step)
            self._file = self._stack.enter_context((out / NAME).open("a", encoding="utf-8"))
            self._board = _board(out / FOLDER, step)
            if self._board is not None:
                self._stack.callback(self._board.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def write(self, line: dict[str, Any]) -> None:
        """Write a line; ``line["step"]`` numbers it."""
        if self._file is None:
            return
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in _scalars(line):
                self._board.add_scalar(name, value, line["step"])


def _cut(path: Path, step: int) -> None:
    """Keep the lines up to a step; one that was being written when the run was killed goes, too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:
            break
        kept.append(line)
    path.write_bytes(b"".join(kept))


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step + 1)


def _scalars(line: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in line.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            found.append((f"{prefix}{name}", float(value)))
    return found
