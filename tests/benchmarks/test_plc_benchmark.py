"""The benchmark of edge-plc on a few parts: it counts each part, and draws the handshake that it saw."""

import subprocess
import sys
from pathlib import Path

from support.line import ROOT


def test_a_short_run_has_no_escape_and_nothing_lost_or_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.plc", "--parts", "100", "--full-parts", "100", "--triggers", "10"]
    done = subprocess.run(
        [*command, "--docs", tmp_path, "--work", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "plc.md").read_text()
    assert page.strip() == done.stdout.strip()
    head, rows = page.split("| PLC's cycle |")[1].split("\n\n")[0].splitlines()[0], page.splitlines()
    names = [cell.strip() for cell in head.strip("| ").split("|")]
    runs = [row for row in rows if row.startswith(("| 5 ms | 100", "| none: read after read | 100"))]
    assert len(runs) == 3
    for run in runs:
        cells = dict(zip(names, [cell.strip() for cell in run.strip("| ").split("|")][1:], strict=True))
        assert (cells["escapes"], cells["lost"], cells["twice"]) == ("0", "0", "0")
        assert cells["pass bits"] == cells["proven"] != "0"
    assert (tmp_path / "plc-timing.svg").read_text().startswith("<?xml")
