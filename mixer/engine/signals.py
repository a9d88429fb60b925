"""Ctrl-C and SIGTERM, noted when they come and obeyed where it is safe."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """Inside ``with``, SIGINT and SIGTERM raise nothing until ``obey`` is called.

    So there is no moment at which a worker has started and the engine does not know of it yet. Outside the main
    thread, where Python lets nobody handle signals, this does nothing; a signal that the process ignores stays
    ignored.
    """

    def __init__(self) -> None:
        self._received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._received and kind is None:  # it came too late to be obeyed here: let it come again
            os.kill(os.getpid(), self._received)

    def obey(self) -> None:
        """Raise KeyboardInterrupt if SIGINT has come, SystemExit with the shell's code (143) for SIGTERM."""
        if self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if self._received:
            raise SystemExit(128 + self._received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = self._received or number
