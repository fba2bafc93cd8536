"""Exports in tests whose claim is another one compare few hard frames."""

import os
from functools import cache

import pytest

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from export import parity_report, stage_parity
from export.hard_frames import hard_frames

FEW = slice(1, None, 5)
"""Hard frames of tests that claim nothing of the others: most of an export's time goes into comparing all 21."""


@pytest.fixture(autouse=True)
def few_hard_frames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export compares `FEW` hard frames, but all of them in tests marked `all_hard_frames` or with
    EDGE_ALL_FRAMES=1.
    """
    if request.node.get_closest_marker("all_hard_frames") or os.environ.get("EDGE_ALL_FRAMES"):
        return

    monkeypatch.setattr(parity_report, "hard_frames", _few)
    monkeypatch.setattr(stage_parity, "hard_frames", _few)


@cache
def _few(contract: LetterboxContract) -> list[tuple[str, Frame]]:
    return list(hard_frames(contract))[FEW]
