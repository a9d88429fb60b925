"""Keeps Numba from loading what other packages add to it, for commands that run kernels and nothing else of them.

Before its first compilation Numba imports every package that registers an extension: here awkward, of which the kernels
of ``verify`` use nothing, for half a second and 45 MB. Numba has no setting against that, so one private name of it is
set, and that here alone. Should the name mean nothing to a later version, the command is only slower; a test says so.
"""

from numba.core import entrypoints


def spare_extensions() -> None:
    """Let Numba believe that it has loaded them; call it before the first kernel."""
    entrypoints._already_initialized = True
