import signal

import pytest


@pytest.fixture(autouse=True)
def time_limit():
    """End a test that hangs: the engine's promise is that nothing does."""

    def stop(number, frame):
        raise TimeoutError("the test took longer than 40 seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(40)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
