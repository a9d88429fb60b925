"""mixer: prepares corpora for continual pre-training and mixes them by an exact additional-language ratio.

Text flows as Arrow record batches through ``prepare`` (read, language, rules, fingerprint), ``dedup`` and
``tokenize`` into Megatron indexed datasets; ``mixture`` solves their weights and proves the ratio; ``build`` shows
the whole pipeline on one screen.
"""

import hashlib
import os
from pathlib import Path

__version__ = "0.1.0"

_KERNEL_ROOMS = ("text", "filters", "dedup", "tokenize", "megatron", "engine")


def _kernel_cache() -> str:
    """Name a folder for compiled kernels that belongs to exactly this state of their sources.

    Numba compiles a kernel again when its own file changes, but not when a kernel that it calls from another file
    does; a folder per state of all of them leaves nothing stale to find.
    """
    package = Path(__file__).parent
    state = hashlib.sha256()
    for room in _KERNEL_ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            stat = path.stat()
            state.update(f"{path.relative_to(package)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(home / "mixer" / "kernels" / state.hexdigest()[:16])


# Numba reads this when it is imported, which is always later.
os.environ.setdefault("NUMBA_CACHE_DIR", _kernel_cache())
