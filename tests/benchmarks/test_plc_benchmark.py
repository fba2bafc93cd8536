"""The benchmark of edge-plc on a few parts: it counts each part, and draws the handshake that it saw."""

import subprocess
import sys
from pathlib import Path

from support.line import ROOT

from benchmarks.plc.broker import Listener
from benchmarks.plc.client import Seen
from benchmarks.plc.outage import TITLE, count, latencies
from benchmarks.plc.sections import sections_of, write_section


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


def test_an_outage_counts_what_was_lost_out_of_order_and_repeated() -> None:
    expected = {("e", seq): seq * 10**9 for seq in range(1, 8)}
    listener = Listener()
    listener.came["MQTT"] = [(("e", seq), 10**10 + seq) for seq in (1, 3, 2, 4, 4, 5, 7)]
    found = count(listener, "MQTT", expected, (3 * 10**9, 6 * 10**9))
    assert found | {"caught_up_s": 0} == {
        "away": 3, "arrived": 6, "lost": 1, "out_of_order": 1, "repeated": 1, "caught_up_s": 0
    }  # fmt: skip
    assert found["caught_up_s"] == (10**10 + 5 - 6 * 10**9) / 1e9


def test_the_latencies_of_an_outage_are_those_before_in_and_right_after_it() -> None:
    epoch, second = "0000000a", 1_000_000_000
    published = {(epoch, seq): seq * second for seq in range(1, 7)}
    seen = [Seen(at_ns + seq * 1_000_000, 10, seq, seq, True) for (_, seq), at_ns in published.items()]
    found = latencies(seen, published, (2 * second, 4 * second), 1.5)
    assert found == {"there": [1.0, 6.0], "away": [2.0, 3.0], "catching up": [4.0, 5.0]}


def test_the_section_about_an_outage_stands_once_at_the_end_of_its_page(tmp_path: Path) -> None:
    page = tmp_path / "plc.md"
    page.write_text("# PLC\n\ntext\n")
    for text in ("first\n", "second\n"):
        write_section(page, TITLE, f"{TITLE}\n{text}")
    assert page.read_text() == f"# PLC\n\ntext\n\n{TITLE}\nsecond\n"
    assert sections_of(page) == {TITLE: f"{TITLE}\nsecond\n"}
