"""The peer datatrove: its second and third step of MinHash over signatures in its format, as benchmarks/dedup.py wrote.

Runs inside ``benchmarks/.venv-datatrove`` and imports nothing of mixer:

    benchmarks/.venv-datatrove/bin/python benchmarks/peer_datatrove_dedup.py buckets|cluster FOLDER
"""

import sys

from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster
from datatrove.utils.hashing import HashConfig
from datatrove.utils.logging import logger

LINES = 1000  # read at once: the default of 5 is three times slower


def main(step, folder):
    logger.remove()
    config = MinhashConfig(hash_config=HashConfig(precision=32))
    if step == "buckets":
        buckets = MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/pairs", config=config, lines_to_buffer=LINES)
        for rank in range(config.num_buckets):
            buckets.run(None, rank, config.num_buckets)
    else:
        MinhashDedupCluster(f"{folder}/pairs", f"{folder}/remove", config=config, lines_to_buffer=LINES).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
