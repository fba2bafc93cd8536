"""Pages of a record that has very many verdicts read a bounded number of them."""

from pathlib import Path
from typing import Any

import pytest
from support.page import browser, made_site
from support.records import enter, recorder, settle, verdict, with_image

from edge.page import record_view
from edge.page.pictures import Pictures
from edge.page.record_view import BATCH, MOST_LOOKED_AT, Place, RecordView, Selection
from edge.records import part_history
from edge.verdict import Box, Defect, Outcome

CENTRE = (Defect(box=Box(x=18, y=12, width=2, height=2), area=4, peak=1.0),)


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[object]:
    """The calls of a function of a module from now on."""
    calls, function = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *these: calls.append(these) or function(*these))
    return calls


def test_the_story_of_a_part_with_thousands_of_verdicts_reads_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_image(tmp_path)
    journal = recorder(tmp_path, "cd34")
    enter(journal, *(verdict(seq, epoch="cd34", part="código 7") for seq in range(1, 3001)))
    journal.close("told to stop", 3000)
    read = counted(monkeypatch, part_history, "_story")
    story, near = RecordView(tmp_path).story("cd34", 2000)
    assert (story.verdict.epoch, story.verdict.seq) == ("cd34", 2000)
    assert [one.verdict.seq for one in near] == [1997, 1998, 1999, 2001, 2002, 2003]
    assert Pictures().jpeg(RecordView(tmp_path), "ab12", 1, 320).startswith(b"\xff\xd8\xff")
    assert len(read) == 2


def test_a_gallery_by_place_opens_each_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = recorder(tmp_path, "cd34")
    boxed = [verdict(seq, Outcome.REJECT, "cd34").model_copy(update={"defects": CENTRE}) for seq in (1, 2, 3)]
    enter(journal, *boxed)
    journal.close("told to stop", 3)
    monkeypatch.setattr(record_view, "_picture_of", lambda *of: "images/one.png")
    opened: list[str] = []

    def size_of(folder: Path, path: str) -> tuple[int, int]:
        opened.append(path)
        return 10_000, 10_000

    monkeypatch.setattr(record_view, "frame_size", size_of)
    listed = RecordView(tmp_path).listed(Selection(), 48, place=Place("top-left"))
    assert (len(listed.found), len(opened)) == (3, 3)


def test_a_gallery_by_place_is_read_in_batches_and_goes_on_with_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "line1"
    with_image(folder)
    journal = recorder(folder, "cd34")
    for seq in range(1, MOST_LOOKED_AT + 2 * BATCH):
        enter(journal, verdict(seq, Outcome.REJECT, "cd34").model_copy(update={"defects": CENTRE if seq % 2 else ()}))
        if seq % BATCH == 0:
            settle(journal)
    journal.close("told to stop", MOST_LOOKED_AT)
    headers = counted(monkeypatch, record_view, "_picture_of")
    states = counted(monkeypatch, record_view, "open_to_read")
    view, place = RecordView(folder), Place("middle-centre")
    found, older, _ = view.listed(Selection(outcome=Outcome.REJECT), 48, place=place)
    assert (found, len(states)) == ([], MOST_LOOKED_AT // BATCH), "no reading takes all in one state of the journal"
    assert len(headers) == MOST_LOOKED_AT // 2, "a verdict without a box has no place"
    assert older is not None
    found, older, _ = view.listed(Selection(outcome=Outcome.REJECT), 48, older, place)
    assert older is None
    with browser(made_site((tmp_path,))) as client:
        first = client.get("/s/line1/rejects?span=all&place=middle-centre").text
        assert "Older looks further" in first
        assert "No part matches" not in first
        assert "No part matches" in client.get("/s/line1/rejects?span=all&place=middle-centre&before=5").text
