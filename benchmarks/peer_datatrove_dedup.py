"""The peer datatrove: its second and third step of MinHash over signatures in its format, as benchmarks/dedup.py wrote.

Runs inside ``benchmarks/.venv-datatrove`` and imports nothing of mixer:

    benchmarks/.venv-datatrove/bin/python benchmarks/peer_datatrove_dedup.py buckets|cluster FOLDER

It prints its peak memory in kB, of its own and not of the process that started it, and before the step, in this order.
"""

import re
import sys
from pathlib import Path

from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster
from datatrove.utils.hashing import HashConfig
from datatrove.utils.logging import logger

LINES = 1000  # read at once: the default of 5 is three times slower


def peak():
    """Return the most memory that this program ever held."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def main(step, folder):
    """Run a step."""
    logger.remove()
    before = peak()
    config = MinhashConfig(hash_config=HashConfig(precision=32))
    if step == "buckets":
        buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/pairs", config=config, lines_to_buffer=LINES)
        for rank in range(config.num_buckets):
            buckets.run(None, rank, config.num_buckets)
    else:
        MinhashDedupCluster(f"{folder}/pairs", f"{folder}/remove", config=config, lines_to_buffer=LINES).run()
    print(peak(), before)


if __name__ == "__main__":
    main(*sys.argv[1:])
