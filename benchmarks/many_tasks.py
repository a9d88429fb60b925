"""What a stage of very many tasks costs to plan and to submit: seconds, and bytes on disk.

    python benchmarks/many_tasks.py [TASKS] [RANKS]

A stage whose every task holds a plan like one of ``prepare`` is dealt to ranks and written as a round for a cluster;
beside it, what pickling the whole stage once for every rank would write. Nothing is run.
"""

import pickle
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixer.engine.keys import key_of
from mixer.engine.ledger import Ledger
from mixer.engine.outputs import Outputs
from mixer.engine.ranks import Round, deal
from mixer.engine.stage import PLANNING, Progress, Task
from mixer.sources.listing import InputFile
from mixer.sources.plan import FilePiece, SourceTask

SIZE = 128 << 20


@dataclass(frozen=True)
class Many:
    planned: tuple[SourceTask, ...] = field(metadata=PLANNING)
    name: str = "many"

    def tasks(self) -> list[Task]:
        return [Task(task.id, key_of(self.name, task.identity()), task.size, task) for task in self.planned]

    def run(self, task: Task, outputs: Outputs, progress: Progress) -> dict[str, Any]:
        raise NotImplementedError


def planned(count: int) -> tuple[SourceTask, ...]:
    """Plan a file of 128 MB for each task."""
    names = (f"part-{number:06}.jsonl.zst" for number in range(count))
    files = (InputFile(f"/shared/corpora/corpus/{name}", name, SIZE, "1700000000") for name in names)
    return tuple(SourceTask("corpus", number, (FilePiece(file, SIZE),)) for number, file in enumerate(files))


def main() -> None:
    count, most = (int(word) for word in [*sys.argv[1:], "100000", "1001"][:2])
    stage = Many(planned(count))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start = time.perf_counter()
        ledger = Ledger.open(root, stage)
        opened = time.perf_counter()
        dealt = deal(ledger.missing(), 64_000_000, most)
        current = Round.write(root, stage, dealt)
        written = time.perf_counter()
        size = sum(path.stat().st_size for path in current.folder.rglob("*") if path.is_file())
        files = sum(path.is_file() for path in current.folder.rglob("*"))
        whole = len(pickle.dumps(stage))
    print(f"{count:,} tasks: planned and looked for in {opened - start:.1f} s; dealt to {len(dealt):,} ranks and")
    print(f"written in {written - opened:.1f} s: {files:,} files, {size / 1e6:.1f} MB")
    print(f"the whole stage is {whole / 1e6:.1f} MB: for each rank that is {whole * len(dealt) / 1e9:.1f} GB,")
    print(f"for each task {whole * count / 1e12:.2f} TB")


if __name__ == "__main__":
    main()
