import io

import pytest
from rich.console import Console

from mixer.engine.display import PlainDisplay, Snapshot, TerminalDisplay, closing, duration, make_display, standing
from mixer.engine.stage import StageReport

SNAPSHOT = Snapshot("prepare", 40, 12, 1234567, 1000000, 81_000_000, 10.0, 0.25, 151.0)
REPORT = StageReport("prepare", 28, 12, 65.0, 1234567, 1000000, 168_000_000, 40.0, 10**9)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_are_rare():
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    display.start("prepare", 40, 12)
    for clock.now in range(25):
        display.update(SNAPSHOT)
    display.note("prepare: task a: killed")
    display.finish(REPORT)
    line = "prepare: 12/40 tasks, 1,234,567 documents, 8.1 MB/s, 81.0% kept, 2:31 left"
    assert stream.getvalue().splitlines() == [
        "prepare: 40 tasks, 12 already done",
        line,
        line,
        "prepare: task a: killed",
        "prepare: done in 1:05: 40 tasks (12 already done), 1,234,567 documents, 81.0% kept, 168.0 MB, "
        "4.2 MB/s per core",
    ]


def test_a_failed_stage_has_no_closing_line():
    stream = io.StringIO()
    display = PlainDisplay(stream, Clock())
    display.start("join", 1, 0)
    display.finish(None)
    assert stream.getvalue() == "join: 1 task\n"


def test_nothing_is_made_up():
    assert standing(Snapshot("join", 3, 0, 0, 0, 0, 0.0, 0.0, None)) == "0/3 tasks"
    assert closing(StageReport("join", 3, 0, 1.0, 0, 0, 0, 0.0, 0)) == "join: done in 0:01: 3 tasks"


def test_terminal():
    stream, clock = io.StringIO(), Clock()
    display = TerminalDisplay(Console(file=stream, force_terminal=True, width=120), clock)
    display.start("prepare", 40, 12)
    clock.now = 1.0
    display.update(SNAPSHOT)
    drawn = stream.getvalue()
    display.update(SNAPSHOT)
    assert stream.getvalue() == drawn  # too soon
    display.note("prepare: task [a]: killed")
    display.finish(REPORT)
    text = stream.getvalue()
    assert "12/40 tasks, 1,234,567 documents, 8.1 MB/s, 81.0% kept, 2:31 left" in text
    assert "task [a]: killed" in text
    assert "\x1b[?25h" in text  # the cursor is back
    assert "done in 1:05" in text.rsplit("\x1b[?25h")[-1]


def test_the_stream_decides(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    assert isinstance(make_display(io.StringIO()), PlainDisplay)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(make_display(Terminal()), TerminalDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Terminal()), PlainDisplay)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text
