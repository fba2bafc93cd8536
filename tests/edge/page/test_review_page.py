"""People judge parts on the page: by name, with an undo, and without any effect on the journal."""

import sqlite3
from contextlib import closing
from pathlib import Path

from support.page import browser, made_site, record, token
from support.records import Archive, enter, recorder, verdict
from support.reviewed import record_of, scored

from edge import review
from edge.records.audit import audit
from edge.records.part_history import story_of
from edge.records.retention import Keeping
from edge.verdict import Outcome, Reason

SAME = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}


def dump(folder: Path) -> list[str]:
    """The journal as SQL."""
    with closing(sqlite3.connect(folder / "journal.db")) as journal:
        return list(journal.iterdump())


def test_a_judgement_has_a_name_and_can_be_undone(tmp_path: Path) -> None:
    folder = record(tmp_path / "line1")
    before = dump(folder)
    one = "/s/line1/parts/ab12/1"
    with browser(made_site((folder,))) as client:
        form = {"token": token(client), "choice": "good", "by": "Ana <b>", "comment": "<script>dust</script>"}
        assert client.post(f"{one}/decide", data=form, headers=SAME).headers["location"] == one
        text = client.get(one).text
        assert "Judged: Good after all" in text
        assert "Ana &lt;b&gt;" in text
        assert "<script>dust" not in text
        (decision,) = review.Reviews(folder).of_verdict("ab12", 1)
        assert (decision.by, decision.choice, decision.way) == ("Ana <b>", review.Choice.GOOD, review.Way.CHOSEN)
        undo = {"token": token(client), "decision": str(decision.id), "by": "Bo"}
        assert client.post("/s/line1/undo", data=undo, headers=SAME).status_code == 303
        assert review.Reviews(folder).standing("ab12", 1).choice is None
        assert "Judged:" not in client.get(one).text
        again = client.post("/s/line1/undo", data=undo, headers=SAME)
        assert again.status_code == 400, "one line of the reviews, and no more"
        wrong = client.post("/s/line1/parts/ab12/77/decide", data=form, headers=SAME)
        assert wrong.status_code == 400
        for choice in ("", "pass", "open"):
            assert client.post(f"{one}/decide", data=form | {"choice": choice}, headers=SAME).status_code == 400
    assert dump(folder) == before


def test_a_part_after_one_that_was_skipped_is_chosen_and_not_drawn(tmp_path: Path) -> None:
    folder = record_of(tmp_path / "line1", [scored(seq, 0.9) for seq in range(1, 4)])
    first, second, _ = review.Reviews(folder).undecided(review.Kind.REJECT)
    with browser(made_site((folder,))) as client:
        form = {"token": token(client), "choice": "bad", "by": "Ana", "way": "drawn", "kind": "reject"}
        for part, way in ((second, review.Way.CHOSEN), (first, review.Way.DRAWN)):
            client.post(f"/s/line1/parts/ab12/{part.seq}/decide", data=form, headers=SAME)
            (decision,) = review.Reviews(folder).of_verdict("ab12", part.seq)
            assert decision.way is way


def test_the_queue_offers_what_nobody_has_decided(tmp_path: Path) -> None:
    folder = record(tmp_path / "line1")
    with browser(made_site((folder,))) as client:
        text = client.get("/s/line1/review?kind=reject").text
        assert "código 7" in text
        assert "0 judged, 1 open" in text
        form = {"token": token(client), "choice": "bad", "by": "Ana", "way": "drawn", "kind": "reject"}
        answer = client.post("/s/line1/parts/ab12/1/decide", data=form, headers=SAME)
        assert answer.headers["location"].startswith("/s/line1/review?kind=reject&undo=")
        text = client.get(answer.headers["location"]).text
        assert "Everything of this kind is judged." in text
        assert "Undo the last judgement" in text
        assert 'value="Ana"' in text, "the name is asked for once"
        (decision,) = review.Reviews(folder).of_verdict("ab12", 1)
        assert decision.way is review.Way.DRAWN


def test_an_undo_in_the_queue_comes_back_to_the_part_which_stays_drawn(tmp_path: Path) -> None:
    folder = record_of(tmp_path / "line1", [scored(seq, 0.9) for seq in range(1, 4)])
    first, second, _ = review.Reviews(folder).undecided(review.Kind.REJECT)
    with browser(made_site((folder,))) as client:
        form = {"token": token(client), "choice": "bad", "by": "Ana", "way": "drawn", "kind": "reject"}
        undos = []
        for part in (first, second):
            answer = client.post(f"/s/line1/parts/ab12/{part.seq}/decide", data=form, headers=SAME)
            undos.append(answer.headers["location"].partition("undo=")[2])
            text = client.get(answer.headers["location"]).text
            assert f'name="decision" value="{undos[-1]}"><input type="hidden" name="kind" value="reject">' in text
        for number in undos:
            answer = client.post("/s/line1/undo", data=form | {"decision": number}, headers=SAME)
        assert answer.headers["location"] == f"/s/line1/review?kind=reject&at=ab12-{second.seq}"
        assert f"/s/line1/parts/ab12/{second.seq}/decide" in client.get(answer.headers["location"]).text
        client.post(f"/s/line1/parts/ab12/{second.seq}/decide", data=form | {"choice": "good"}, headers=SAME)
        (*_, decision) = review.Reviews(folder).of_verdict("ab12", second.seq)
        assert (decision.choice, decision.way) == (review.Choice.GOOD, review.Way.DRAWN)


def test_parts_of_a_suspension_are_neither_pictured_nor_reviewed(tmp_path: Path) -> None:
    suspended, late = (
        scored(seq, None).model_copy(update={"reason": reason})
        for seq, reason in ((1, Reason.SUSPENDED), (2, Reason.LATE))
    )
    folder = record_of(tmp_path / "line1", [suspended, late])  # as an earlier version kept them
    reviews = review.Reviews(folder)
    assert [one.seq for one in reviews.undecided(review.Kind.UNKNOWN)] == [2]
    assert reviews.progress()[review.Kind.UNKNOWN] == (0, 1)
    archive = Archive(Keeping(tmp_path / "other", min_free_bytes=0))
    archive.start()
    assert not archive.offer(suspended)
    assert archive.archiving.skipped == 0, "it is not missing"
    assert archive.offer(late)
    archive.close()


def test_the_audit_misses_no_picture_of_a_suspension(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    for seq, reason in ((1, Reason.SUSPENDED), (2, Reason.LATE)):
        enter(journal, verdict(seq, Outcome.UNKNOWN).model_copy(update={"reason": reason}))
    journal.close("told to stop", 2)
    assert audit(tmp_path).without_image == {"unknown": 1}
    assert "suspended or stopped" in story_of(tmp_path, "ab12", 1).image.why
