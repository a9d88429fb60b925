"""Imported by the fork server and by nobody else: makes it a good parent before the first worker is forked from it.

It sees to it that the server dies with the engine, whatever ends the engine, and pays once for what every worker
would pay again: heavy imports, pandas among them, which Arrow imports with its first array; Numba's first call, which
sets up its compiler (0.4 s of CPU even if the kernel comes from the cache); and what the engine was told to warm. No
thread may be started here: a fork copies only the thread that forks.
"""

import contextlib
import gc
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
from numba import njit
from numpy.typing import NDArray

from mixer.engine.worker import ENGINE, WARM, die_with_parent


@njit(cache=True, nogil=True)
def _touch(values: NDArray[np.int64]) -> int:
    return len(values)


if ENGINE in os.environ:  # elsewhere importing this module does nothing
    engine = int(os.environ.pop(ENGINE))
    die_with_parent()
    if os.getppid() != engine:  # it ended before it could be watched
        os._exit(1)
    # Until here Ctrl-C was blocked. Ignored, it does not show in the signal mask of what tasks may start.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Collections would look at every imported object, here in vain and in each worker at the price of a copy of its
    # page. Workers switch them on again, for their own objects.
    gc.disable()
    pyarrow.set_cpu_count(1)
    pyarrow.array(np.zeros(1, np.int64))
    _touch(np.zeros(1, np.int64))
    if WARM in os.environ:
        # Only an optimisation: what goes wrong here goes wrong in a worker again, and is reported there.
        with contextlib.suppress(BaseException):
            for warm in pickle.loads(Path(os.environ.pop(WARM)).read_bytes()):
                warm()
