"""Every error a user can meet: its class, its exit code, and what to do about it.

Nothing here is caught inside the pipeline; ``cli.py`` shows the message and the remedy and ends with the exit code.
Programming errors are not listed: they keep their traceback.
"""

import difflib
from collections.abc import Iterable


class MixerError(Exception):
    """Base of every error that is shown without a traceback.

    Parameters
    ----------
    message
        What is wrong, naming the file, key or dataset.
    remedy
        What the user can do about it.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["MixerError"], tuple[str, str]]:
        """Travel between processes with the remedy, which ``Exception`` would lose."""
        return type(self), (self.message, self.remedy)

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class InputError(MixerError):
    """A source cannot be read, or too many of its records cannot."""


class TaskError(MixerError):
    """A task failed or was killed more often than it is retried."""


class DiskError(MixerError):
    """The disk is full, or will be."""


class UsageError(MixerError):
    """Wrong usage, or the wrong directory."""

    exit_code = 2


class RecipeError(UsageError):
    """The recipe has an unknown key, an impossible value or a missing file."""


class InfeasibleError(MixerError):
    """No mixture keeps every cap; the message says which one binds and what is feasible."""

    exit_code = 3


class BrokenPromiseError(MixerError):
    """A build does not hold what its ``mixture.json`` says."""

    exit_code = 4


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of some known spellings, or nothing when none is near."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
