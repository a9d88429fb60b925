"""Two nodes of Ray in this machine, until a line comes: python -m tests.cluster.ray_nodes prints their address."""

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    node = {"num_cpus": 2, "memory": 2_000_000_000, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    cluster.add_node(**{name: value for name, value in node.items() if name != "include_dashboard"})
    print(cluster.address, flush=True)
    sys.stdin.readline()
    cluster.shutdown()


if __name__ == "__main__":
    main()
