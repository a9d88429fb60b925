"""Imported by the fork server and by nobody else: makes it a good parent before the first worker is forked from it.

It sees to it that the server dies with the engine, whatever ends the engine, and pays once for what every worker
would pay again: heavy imports, and Numba's first call, which sets up its compiler (0.4 s of CPU even if the kernel
comes from the cache). No thread may be started here: a fork copies only the thread that forks.
"""

import os
import signal

import numpy as np
import pyarrow
import pyarrow.parquet
from numba import njit
from numpy.typing import NDArray

from mixer.engine.worker import ENGINE, die_with_parent


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
    pyarrow.set_cpu_count(1)
    _touch(np.zeros(1, np.int64))
