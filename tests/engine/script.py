"""A build as a process of its own, to send signals to: python -m tests.engine.script ROOT SECONDS ORDER."""

import sys
from pathlib import Path

from mixer.engine.display import make_display
from mixer.engine.local import LocalEngine
from mixer.engine.lock import lock
from mixer.errors import MixerError
from tests.engine.stages import Letters, warm, warm_badly


def main() -> int:
    root = Path(sys.argv[1])
    seconds = float(sys.argv[2])
    orders = dict.fromkeys(range(8), sys.argv[3])
    try:
        with lock(root), LocalEngine(root, 2, make_display(), warm=[warm, warm_badly]) as engine:
            engine.run(Letters(8, orders, seconds=seconds))
    except MixerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
