"""edge-export as a person calls it, in this process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.few_hard_frames import few_hard_frames  # noqa: F401 - a fixture
from support.translation_table import share_translation_table

from export.cli import main

Export = Callable[..., int | str]
share_translation_table()


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
