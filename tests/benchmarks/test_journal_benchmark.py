"""The benchmark of the journal at small size, and the long records of the soak's comparison."""

import json
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.records import verdict

pytest.importorskip("onnx")

from benchmarks.journal.verdicts import Line
from benchmarks.soak import growth
from edge.records.audit import audit
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import select
from edge.records.summary import extent
from edge.verdict import Outcome


def test_the_page_has_the_bytes_of_a_verdict_and_the_time_of_each_reading(tmp_path: Path) -> None:
    options = ["--verdicts", "5000", "--docs", tmp_path, "--work", tmp_path / "work", "--out", tmp_path / "out.json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.journal", *map(str, options)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["audit"]["problems"] == []
    written = found["written"]
    assert written["rows"] + written["verdicts_in_blocks"] == 5000
    assert 40 < written["payload"] / written["verdicts_in_blocks"] < 120
    assert 1.2 * written["json_bytes"] < written["row_bytes"] < 2.5 * written["json_bytes"]
    page = (tmp_path / "journal.md").read_text()
    assert "| one part by its id |" in page
    assert not list((tmp_path / "work").iterdir())


def test_drawn_verdicts_keep_the_rules_and_have_ids_and_times_of_their_own() -> None:
    sampled = [verdict(1), verdict(2, Outcome.REJECT), verdict(3, Outcome.UNKNOWN)]
    made = [*Line(sampled, "ab12", datetime(2026, 1, 2, tzinfo=UTC), reject_share=0.3).verdicts(500)]
    assert len({one.part for one in made}) == 500
    assert 80 < sum(one.verdict is Outcome.REJECT for one in made) < 220
    assert all(one.fields for one in made)


def test_the_long_records_are_sound_and_hold_the_same_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "BASE", 600)
    monkeypatch.setattr(growth, "sample", lambda folder: [verdict(1), verdict(2, Outcome.REJECT)])
    growth.make_records(tmp_path, 1800)
    for name in ("rows", "blocks"):
        with closing(open_to_read(tmp_path / name)) as journal:
            assert extent(journal).verdicts == len([*select(journal)]) >= 1600
    assert audit(tmp_path / "rows").is_sound
