"""The tutorial for a user's own network: its file, its recipe and its commands work as printed."""

import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from support.line import ROOT, free_endpoint

from edge.bundle import load_bundle

PAGE = (ROOT / "docs" / "guide" / "own-network.md").read_text(encoding="utf-8")
SMALLER = {
    "edge-demo": ["--train=24", "--val=16", "--test=8", "--size=320x180"],
    "edge-train": ["--set=train.epochs=1", "--accelerator=cpu"],
    "edge-export": [],
    "edge-run": [f"--bind={free_endpoint()}", "--no-records", "--size=320x180", "--limit=5"],
}
"""Options that make each command of the page short."""


def block(kind: str) -> str:
    """The first fenced block of this language."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return next(str(text) for language, text in blocks if language == kind)


def test_the_tutorial_works_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "net.toml").write_text(block("toml"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line, comments=True) for line in block("").splitlines()]
    assert [command[0] for command in commands] == list(SMALLER)
    for name, *arguments in commands:
        command = [str(Path(sys.executable).with_name(name)), *arguments, *SMALLER[name]]
        if name == "edge-run":
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        else:
            monkeypatch.setattr(sys, "argv", command)
            (installed,) = entry_points(group="console_scripts", name=name)
            with pytest.raises(SystemExit) as left:
                installed.load()()
            assert not left.value.code, name
    assert (tmp_path / "net-run" / "network.py").read_text(encoding="utf-8") == block("python")
    assert load_bundle(tmp_path / "net.edge").manifest.description == "My first network"
