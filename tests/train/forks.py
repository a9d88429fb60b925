"""A process that has imported all of training and forks those of a run: an import takes longer than a small run.

Reads requests as JSON lines: the arguments of ``mixer train``, how many processes, the file for what they print, and
where all of them are to be killed: ``step 5`` once that is logged, ``save 4`` as its checkpoint is being written.
Answers each with the exit codes.
"""

import gc
import json
import multiprocessing
import os
import signal
import sys
import traceback
from pathlib import Path


def main() -> None:
    from megatron.core.dist_checkpointing.strategies import filesystem_async

    from mixer.filters.language import load_model
    from mixer.train import command, cpt, dpo, sft  # noqa: F401

    load_model()
    gc.freeze()  # megatron-core collects at every checkpoint
    for request in map(json.loads, sys.stdin):
        started: list[int] = []
        for rank in range(request["processes"]):
            number = os.fork()
            if not number:
                os.setpgid(0, started[0] if started else 0)
                # It would start an interpreter for this, which imports everything once more.
                manager = multiprocessing.get_context("fork").Manager()
                filesystem_async._results_queue = manager.Queue()
                code = run(command, rank, request)
                manager.shutdown()
                os._exit(code)  # taking everything apart would copy it first
            os.setpgid(number, started[0] if started else number)
            started.append(number)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in started]), flush=True)


def run(command, rank, request):
    """Be one process of a run and return its exit code."""
    output = os.open(request["output"], os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(request["processes"])}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(request["port"])}
    if request["kill"]:
        arm(*request["kill"].split())
    code = 1
    try:
        command.train(request["arguments"], prog_name="mixer train")
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    return code


def arm(place, step):
    """Kill the whole group, as a scheduler or an operator does, at a place of the run."""
    from mixer.train import checkpoint, journal

    def kill(*_, **__):
        os.killpg(0, signal.SIGKILL)

    if place == "step":
        write = journal.Journal.write

        def written(self, line):
            write(self, line)
            if line["step"] == int(step) and "loss" in line:
                kill()

        journal.Journal.write = written
    else:
        save = checkpoint.dist_checkpointing.save

        def saved(state, folder):
            save(state, folder)
            if int(step) == state["progress"]["step"]:
                kill()

        checkpoint.dist_checkpointing.save = saved


if __name__ == "__main__":
    # megatron-core starts a process to save, which would import this file once more.
    sys.modules["__main__"].__spec__ = None
    del sys.modules["__main__"].__file__
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    sys.path.insert(0, str(Path.cwd()))
    main()
