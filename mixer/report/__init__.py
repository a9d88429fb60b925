"""What people look at: the page about a finished build, `report.html`, and the pictures of a fitted frontier.

    tallies (what became of every record) + mixture.json + documents -> ratio, samples -> pictures -> page

``tallies`` writes and reads `tallies.json`, which the build leaves behind; ``ratio`` replays the training; ``samples``
draws documents; ``pictures`` draws them, ``markup`` writes HTML, and ``page`` puts it together: one file that needs
nothing else. ``contours`` draws what ``mixer frontier`` found. Only this room imports matplotlib (extra ``report``);
without it the page has tables alone. The same results give the same bytes: no clock, no absolute path.
"""

import importlib.util
from typing import Final

NAME: Final = "report.html"
"""Where a build leaves its page."""


def can_draw() -> bool:
    """Say whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None
