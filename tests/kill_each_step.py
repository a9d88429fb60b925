"""Kill a build before each change that it makes to its directory: python -m tests.kill_each_step RECIPE OUT STATE...

For each STATE, a build directory that is copied to OUT: a build starts there that kills itself before its first change
to a file or folder; a second one completes what it left; then the same with the second change, and so on until a build
lives to its end. Every pair must end with the bytes of an undisturbed build of RECIPE in an empty directory.

So that each change can be hit, all tasks run in the build's own process, one after the other, with the receipts as the
engine keeps them. Builds are forks of this process: imports are paid once. ``--every N`` takes each N-th change only.
Exits with 1 if any bytes are wrong.
"""

import argparse
import os
import shutil
import signal
import sys
from pathlib import Path

import mixer.build
import mixer.engine.choose
from benchmarks.kill_trial import differences, tree
from mixer.engine.display import SilentDisplay
from mixer.engine.outputs import Outputs, remove_temporaries
from mixer.engine.receipts import discard, finished, prune, write_receipt
from mixer.engine.stage import Receipt
from mixer.loading import load_recipe
from mixer.plan import plan

CHANGES = ("os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")


class OneProcess:
    """Stands in for the engine: the same receipts, but each task in this very process."""

    def __init__(self, root, workers, display, *_):
        self.root, self.workers, self.display, self.reports = root, workers, display, []

    def __enter__(self):
        remove_temporaries(self.root)
        return self

    def __exit__(self, *_):
        pass

    def evict(self):
        pass

    def run(self, stage):
        tasks = list(stage.tasks())
        prune(self.root, stage.name, tasks)
        return [finished(self.root, stage.name, task) or self.do(stage, task) for task in tasks]

    def do(self, stage, task):
        discard(self.root, stage.name, task.id)
        outputs = Outputs(self.root)
        counts = stage.run(task, outputs, lambda **_: None)
        receipt = Receipt(stage.name, task.id, task.key, dict(sorted(outputs.files.items())), counts)
        write_receipt(self.root, receipt)
        return finished(self.root, stage.name, task)


def in_fork(action) -> int:
    """Do something in a fork of this process; return its exit code, negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            action()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_before(number: int, out: Path) -> None:
    """Kill this process when it is about to make its change ``number`` below ``out``."""
    left = number

    def hook(event: str, arguments: tuple) -> None:
        nonlocal left
        if event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            path = str(arguments[0])
            inside = event in ("os.remove", "os.rmdir") and arguments[1] >= 0  # of a folder that is being removed
            idle = os.path.lexists(path) if event == "os.mkdir" else event == "os.remove" and not os.path.lexists(path)
            if inside or (path.startswith(str(out)) and not idle):
                left -= 1
                if not left:
                    print(f"{number}: {event} {path.removeprefix(str(out))}", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("recipe")
    parser.add_argument("out", type=Path)
    parser.add_argument("states", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    mixer.engine.choose.LocalEngine = OneProcess

    def run(kill_at: int = 0) -> None:
        planned = plan(load_recipe(options.recipe))
        if kill_at:
            kill_before(kill_at, options.out)
        mixer.build.build(planned, options.out, 1, SilentDisplay())

    def start_from(state: Path | None) -> None:
        shutil.rmtree(options.out, ignore_errors=True)
        if state:
            shutil.copytree(state, options.out)

    start_from(None)
    if in_fork(run):
        return 1
    reference = tree(options.out)
    wrong = 0
    for state in options.states:
        tried = 0
        for number in range(1, sys.maxsize, options.every):
            tried += 1
            start_from(state)
            code = in_fork(lambda number=number: run(number))
            if code == -signal.SIGKILL and in_fork(run):
                code = 1
            found = differences(tree(options.out), reference) if code != 1 else ["it fails"]
            wrong += bool(found)
            print(*found, sep="\n", end="\n" if found else "")
            if code != -signal.SIGKILL:
                break
        print(f"{state.name}: {tried} builds, {wrong} wrong", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
