"""Units of work on a two-node Ray cluster on this machine, one node of which goes away midway."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from sim.plantfile import resolve
from sim.work import Serial, Source, Unit

ray = pytest.importorskip("ray", reason="extra [cluster] is not installed")

ROOT = Path(__file__).parents[2]
DAY = 86_400_000


def alive() -> int:
    return sum(bool(node["Alive"]) for node in ray.nodes())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_node_that_goes_away_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster as Nodes

    from sim.cluster import Cluster

    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))  # the nodes run this checkout
    source = Source.of(resolve("line3"))
    scenarios = [(("release.housing.cap", str(cap)),) for cap in (4, 6, 8)]
    units = [Unit(source, o, 7, first, 10, DAY, 90 * DAY) for first in range(0, 40, 10) for o in scenarios]
    expected = list(Serial().map(units))

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
        assert alive() == 2
        cluster = Cluster(nodes.address, 2)
        found = []
        for n, result in enumerate(cluster.map(units)):
            if n == 2:
                nodes.remove_node(second, allow_graceful=False)
            found.append(result)
        cluster.close()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and alive() > 1:
            time.sleep(0.5)  # the head has to miss a few heartbeats first
        assert alive() == 1
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[k], other[k], equal_nan=True) for k in one)
