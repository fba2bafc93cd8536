"""edge-export as a person calls it, in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.frame import Frame
from edge.letterbox.contract import LetterboxContract
from export import parity_report, stage_parity
from export.cli import main
from export.hard_frames import hard_frames

Export = Callable[..., int | str]

FEW = slice(1, None, 5)
"""Hard frames of tests that claim nothing of the others: most of an export's time goes into comparing all 21."""


@pytest.fixture(autouse=True)
def _few_hard_frames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export compares `FEW` hard frames, but all of them in tests marked `all_hard_frames` or with
    EDGE_ALL_FRAMES=1.
    """
    if request.node.get_closest_marker("all_hard_frames") or os.environ.get("EDGE_ALL_FRAMES"):
        return

    def few(contract: LetterboxContract) -> Iterator[tuple[str, Frame]]:
        return iter(list(hard_frames(contract))[FEW])

    monkeypatch.setattr(parity_report, "hard_frames", few)
    monkeypatch.setattr(stage_parity, "hard_frames", few)


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Export:
    """`export(*arguments)` runs edge-export; its exit code."""

    def run(*arguments: object) -> int | str:
        monkeypatch.setattr(sys, "argv", ["edge-export", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0

    return run


@pytest.fixture
def refused(export: Export, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """The one line that edge-export says when it refuses these arguments; it leaves nothing behind."""

    def run(*arguments: object) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert export(*arguments, "--out", tmp_path / "x.edge") == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith("error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return run
