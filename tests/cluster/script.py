"""One stage on a cluster, as a process of its own: python -m tests.cluster.script ROOT SETTINGS STAGE (both JSON)."""

import json
import sys
from pathlib import Path

from mixer.engine.choose import choose
from mixer.engine.display import make_display
from mixer.engine.lock import lock
from mixer.engine.settings import EngineSettings
from mixer.engine.status import Recorder
from mixer.errors import MixerError
from tests.engine.stages import Letters


def main() -> int:
    root, settings = Path(sys.argv[1]), EngineSettings.model_validate_json(sys.argv[2])
    stage = json.loads(sys.argv[3])
    orders = {int(number): order for number, order in stage.pop("orders", {}).items()}
    flags = root.parent / "flags"
    flags.mkdir(exist_ok=True)
    display = Recorder(root, settings.kind, make_display())
    try:
        engine = choose(settings, root, 1, display)
        with lock(root, engine.evict), display, engine:
            receipts = engine.run(Letters(orders=orders, flags=flags, **stage))
    except MixerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(f"{len(receipts)} receipts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
