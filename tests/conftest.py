"""Fixtures that several rooms of tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import ROOT

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the hundreds of processes of the tests compile nothing twice
TILES = Path(os.environ.get("EDGE_DATA", ROOT.parent / "shared" / "data" / "magnetic-tile"))


@pytest.fixture
def tiles() -> Path:
    """The magnetic-tile photographs; tests that need them are skipped where they are not."""
    if not TILES.is_dir():
        pytest.skip(f"the magnetic-tile photographs are not at {TILES} (EDGE_DATA names another folder)")
    return TILES


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled models, measured choices and records of the tests stay out of the person's folders."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("EDGE_CACHE", "EDGE_RECORDS", "EDGE_KEYS"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield
