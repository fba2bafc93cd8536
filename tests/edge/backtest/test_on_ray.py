"""A backtest on a real Ray cluster of two nodes on this machine, of which one is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.backtest import on_ray
from edge.backtest.items import Item, read_items
from edge.backtest.judging import judge_chunk
from edge.backtest.plan import Judge, Plan, chunk_of, make_plan
from edge.backtest.table import join, read_rows, store
from edge.bundle import load_bundle
from edge.errors import EdgeError

ray = pytest.importorskip("ray")

DEMO_BUNDLE = Path(__file__).parents[3] / "models" / "demo.edge"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster with one node of one core; others can be added."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    made.shutdown()


def a_plan(items: list[Item], **changes: Any) -> Plan:
    bundle = load_bundle(DEMO_BUNDLE)
    said = {"label": bundle.label, "folder": str(DEMO_BUNDLE), "digest": bundle.digest, "backend": "openvino"}
    judge = Judge(**said | {"threshold": bundle.artifact("openvino").threshold.value} | changes)
    return make_plan([judge], [Path(items[0].folder)], items, 1)


def timeless(rows: Any) -> list[tuple[Any, ...]]:
    return [(*map(str, item), *map(str, row._replace(ms=0.0))) for item, row in rows]


def test_the_table_is_that_of_one_machine_also_if_a_node_is_killed(
    cluster: Any, records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.backtest.plan.CHUNK", 3)
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    items = read_items([records])
    plan = a_plan(items)
    stored: list[int] = []

    def keep(number: int, content: bytes) -> None:
        stored.append(number)
        store(tmp_path, number, content)
        if len(stored) == 2:
            cluster.remove_node(second, allow_graceful=False)

    on_ray.run(plan, items, range(plan.chunks), cluster.address, keep)
    assert sorted(stored) == [*range(plan.chunks)]
    alone = [row for number in range(plan.chunks) for row in judge_chunk(plan, chunk_of(items, number))]
    assert timeless(read_rows(join(tmp_path, plan.chunks))) == timeless(alone)


def test_a_bundle_that_a_node_cannot_run_ends_the_backtest_in_one_line(cluster: Any, records: Path) -> None:
    items = read_items([records])
    with pytest.raises(EdgeError, match=r"chunk 0 cannot be judged: .*demo\.edge"):
        on_ray.run(a_plan(items, digest="0" * 64), items, [0], cluster.address, lambda number, content: None)


def test_an_address_where_no_cluster_answers_is_named() -> None:
    with pytest.raises(EdgeError, match=r"--ray 127\.0\.0\.1:1: no cluster answers there"):
        on_ray.run(a_plan([_item()]), [_item()], [0], "127.0.0.1:1", lambda number, content: None)


def _item() -> Item:
    return Item("/nowhere", "a.png", "", "", "", 0, "", "", "", float("nan"), "", "")
