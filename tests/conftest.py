"""Fixtures that several folders of tests share."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.line import ROOT

from edge.security.keystore import KeyStore

gc.disable()  # until all tests are collected, which imports PyTorch: a sixth of the time would go into garbage
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of test processes reuse compiled bytecode
os.environ["EDGE_PROGRESS_S"] = "3600"  # no additional progress lines on a busy machine
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell started in the background
TILES = Path(os.environ.get("EDGE_DATA", ROOT.parent / "shared" / "data" / "magnetic-tile"))


@pytest.fixture
def tiles() -> Path:
    """The magnetic-tile photographs; tests that need them are skipped where they are not."""
    if not TILES.is_dir():
        pytest.skip(f"the magnetic-tile photographs are not at {TILES} (EDGE_DATA names another folder)")
    return TILES


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    """A station's keys, which admit the client "gate"."""
    store = KeyStore(tmp_path / "keys")
    store.init()
    store.add("gate")
    return store


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled models, measured choices and records of the tests out of the user's folders. All processes that run
    tests at the same time (pytest-xdist) share one cache, as the stations of a machine do.
    """
    own = tmp_path_factory.getbasetemp()
    cache = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "edge_cache"
    cache.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_CACHE", str(cache))
        for name in ("EDGE_RECORDS", "EDGE_KEYS"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield


STARTERS = {"bare_result", "command", "multiprocessing", "running_keyed_station", "running_line", "siege", "subprocess"}
"""Names by which a test file starts processes."""


LONGEST = ("test_siege", "test_stream", "test_whole_line", "test_whole_way", "test_children", "test_station",
           "test_onnx_model", "test_control", "test_fit", "test_stages", "test_bench", "test_networks", "test_pack",
           "test_letterbox_graph", "test_environment", "test_own_network_page", "test_bundle_fuzz", "test_line_results",
           "test_devices", "test_same_photographs", "test_report", "test_contest", "test_genicam")  # fmt: skip
"""Test files that take most of a minute or more. They start first, so that no worker runs one alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of files that start processes as slow, and put the longest files first."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))
    for item in items:
        module = item.getparent(pytest.Module)
        if module is not None and STARTERS & vars(module.obj).keys():
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Collect garbage from now on."""
    gc.enable()
