"""A damaged block of a journal: lists, parts and trends say that parts may be missing; nobody denies its verdicts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.page import browser, made_site
from support.records import spoil
from support.sealed import G, R, line_of, seal, small_blocks

from edge.errors import RecordsError
from edge.page.record_view import RecordView
from edge.records.part_history import story_of

BEGUN = datetime.now(UTC).replace(minute=0, second=0) - timedelta(hours=2)
"""A block holds verdicts of one hour, and this run lies within one."""

LEFT_OUT = "the block of verdicts 5 to 8 is damaged, and left out"


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a record with blocks of four rejects, whose second one cannot be inflated."""
    small_blocks(monkeypatch)
    folder = tmp_path / "line1"
    line_of(folder, [R] * 23, begun=BEGUN)
    assert seal(folder) == 5
    spoil(folder, "UPDATE verdict_blocks SET payload = x'00' WHERE first_seq = 5")
    return folder


def test_lists_of_parts_say_that_a_damaged_block_is_left_out(damaged: Path) -> None:
    with browser(made_site((damaged.parent,))) as client:
        assert LEFT_OUT in client.get("/s/line1/rejects").text
        assert LEFT_OUT not in client.get("/s/line1/rejects?before=5").text, "none of its verdicts belongs there"
        assert LEFT_OUT not in client.get("/s/line1/rejects?outcome=good").text, "its columns count no good"
        missing = client.get("/s/line1/part?id=part-6")
        assert missing.status_code == 404
        assert "is damaged" in missing.text


def test_a_verdict_in_a_damaged_block_is_not_denied(damaged: Path) -> None:
    told = "verdict 6 of the run ab12 cannot be read: the block of verdicts 5 to 8 is damaged"
    with pytest.raises(RecordsError, match=told):
        story_of(damaged, "ab12", 6)
    with pytest.raises(RecordsError, match=told):
        RecordView(damaged).verdict("ab12", 6)
    with pytest.raises(RecordsError, match="has no verdict 60 of the run ab12"):
        RecordView(damaged).verdict("ab12", 60)
    with browser(made_site((damaged.parent,))) as client:
        answer = client.get("/s/line1/parts/ab12/6")
        assert answer.status_code == 404
        assert told in answer.text


def test_a_part_beside_a_damaged_block_says_that_neighbours_may_be_missing(damaged: Path) -> None:
    with browser(made_site((damaged.parent,))) as client:
        assert LEFT_OUT in client.get("/s/line1/parts/ab12/9").text
        assert LEFT_OUT not in client.get("/s/line1/parts/ab12/16").text


@pytest.mark.parametrize("column", ["counts", "scores"])
def test_trends_say_that_a_block_with_damaged_counts_is_left_out(damaged: Path, column: str) -> None:
    with browser(made_site((damaged.parent,))) as client:
        assert "is damaged" not in client.get("/s/line1/trends").text, "its counts are there"
        spoil(damaged, f"UPDATE verdict_blocks SET {column} = 'nothing' WHERE first_seq = 5")
        assert LEFT_OUT in client.get("/s/line1/trends").text


def test_a_record_without_damage_has_no_remark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    line_of(tmp_path / "line1", [R, G] * 10, begun=BEGUN)
    assert seal(tmp_path / "line1")
    with browser(made_site((tmp_path,))) as client:
        for address in ("rejects", "parts/ab12/9", "trends"):
            assert "is damaged" not in client.get(f"/s/line1/{address}").text
