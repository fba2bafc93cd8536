"""Support for the tests of edge-plc."""

import pytest

from edge.plc import board


@pytest.fixture(autouse=True)
def no_hung_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images stay: most tests show one once, in place of the loop, which shows one each 20 ms."""
    monkeypatch.setattr(board, "HUNG_NS", 600_000_000_000)
