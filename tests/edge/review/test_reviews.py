"""Decisions on recorded parts: what stands, what a kill leaves, who may read, and what is refused."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from support.records import until
from support.reviewed import record_of, scored

from edge.errors import EdgeError
from edge.review import Choice, Kind, Reviews, Way
from edge.review.store import REVIEWS

EPOCH = "ab12"


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    """Of a record with goods 1 to 20, rejects 21 to 24 and the unknown 25; the pictures of goods 10 and 20 are kept."""
    scores = [*(0.1 for _ in range(20)), 0.6, 0.7, 0.8, 0.9, None]
    return Reviews(record_of(tmp_path / "record", [scored(seq, score) for seq, score in enumerate(scores, 1)]))


def test_nothing_is_created_before_the_first_decision(reviews: Reviews) -> None:
    assert reviews.current() == {}
    assert reviews.log() == []
    assert not (reviews.folder / REVIEWS).exists()


def test_a_decision_stands_with_its_name_and_its_verdict(reviews: Reviews) -> None:
    made = reviews.decide(EPOCH, 22, Choice.GOOD, " Ana ", "only a reflex")
    assert (made.by, made.part, made.choice, made.way) == ("Ana", "part-22", Choice.GOOD, Way.CHOSEN)
    assert (made.judged.score, made.judged.threshold, made.judged.bundle) == (0.7, 0.5, "part@0123456789ab")
    assert reviews.standing(EPOCH, 22).choice is Choice.GOOD
    assert reviews.of_part("part-22") == [made]


def test_an_undo_brings_back_what_the_same_person_said_before(reviews: Reviews) -> None:
    reviews.decide(EPOCH, 22, Choice.BAD, "Ana")
    second = reviews.decide(EPOCH, 22, Choice.GOOD, "Ana")
    undo = reviews.undo(second.id, "Ben", "look again")
    assert reviews.standing(EPOCH, 22).choice is Choice.BAD
    assert (undo.takes_back, undo.choice, undo.by) == (second.id, None, "Ben")
    assert len(reviews.of_verdict(EPOCH, 22)) == 3


def test_an_undo_is_taken_once(reviews: Reviews) -> None:
    made = reviews.decide(EPOCH, 22, Choice.BAD, "Ana")
    undo = reviews.undo(made.id, "Ana")
    with pytest.raises(EdgeError, match="taken back by Ana"):
        reviews.undo(made.id, "Ben")
    with pytest.raises(EdgeError, match="no decision"):
        reviews.undo(undo.id, "Ben")
    assert reviews.current() == {}


def test_two_people_who_contradict_each_other_decide_nothing(reviews: Reviews) -> None:
    reviews.decide(EPOCH, 22, Choice.BAD, "Ana")
    reviews.decide(EPOCH, 22, Choice.UNSURE, "Cem")
    assert reviews.standing(EPOCH, 22).choice is Choice.BAD
    reviews.decide(EPOCH, 22, Choice.GOOD, "Ben")
    standing = reviews.standing(EPOCH, 22)
    assert standing.choice is None
    assert standing.is_contradicting


def test_the_queue_offers_each_part_with_a_picture_once_in_the_same_order(reviews: Reviews) -> None:
    listed = [one.seq for one in reviews.undecided(Kind.REJECT)]
    assert sorted(listed) == [21, 22, 23, 24]
    assert listed != [21, 22, 23, 24]
    offered = []
    while (part := reviews.next(Kind.REJECT)) is not None:
        offered.append(part.seq)
        assert (reviews.folder / part.image).is_file()
        reviews.decide(part.epoch, part.seq, Choice.BAD, "Ana", way=Way.DRAWN)
    assert offered == listed
    assert reviews.progress()[Kind.REJECT] == (4, 0)


def test_the_queue_can_skip_a_part_and_show_the_newest(reviews: Reviews) -> None:
    first, second, *_ = reviews.undecided(Kind.REJECT)
    assert reviews.next(Kind.REJECT, after=first) == second
    assert reviews.next(Kind.REJECT, "newest").seq == 24


def test_goods_that_wait_are_those_kept_by_number(reviews: Reviews) -> None:
    assert {one.seq for one in reviews.undecided(Kind.GOOD)} == {10, 20}
    assert reviews.decide(EPOCH, 10, Choice.GOOD, "Ana").judged.every == 10
    assert reviews.decide(EPOCH, 9, Choice.GOOD, "Ana").judged.every == 0


def test_a_missed_part_is_a_good_that_is_bad_and_is_marked(reviews: Reviews) -> None:
    made = reviews.miss("part-7", "Gate 2", "found by hand")
    assert (made.seq, made.choice, made.way) == (7, Choice.BAD, Way.MISSED)
    for part in ("part-22", "part-99"):
        with pytest.raises(EdgeError, match="a part is missed if it passed as good"):
            reviews.miss(part, "Gate 2")


@pytest.mark.parametrize(
    ("seq", "by", "comment", "said"),
    [
        (99, "Ana", "", "no verdict 99"),
        (22, "", "", "no name is given"),
        (22, "A" * 65, "", "64 are the most"),
        (22, "Ana\x1b[2J", "", "not printable"),
        (22, "Ana", "x" * 501, "500 are the most"),
    ],
)
def test_what_cannot_be_decided_is_said_in_one_line_and_adds_nothing(
    reviews: Reviews, seq: int, by: str, comment: str, said: str
) -> None:
    with pytest.raises(EdgeError, match=said):
        reviews.decide(EPOCH, seq, Choice.BAD, by, comment)
    assert reviews.log() == []


def test_decisions_are_for_their_owner_alone_and_are_only_added(reviews: Reviews) -> None:
    before = os.umask(0)
    try:
        reviews.decide(EPOCH, 22, Choice.BAD, "Ana")
    finally:
        os.umask(before)
    assert stat.S_IMODE((reviews.folder / REVIEWS).stat().st_mode) == 0o600
    for statement in ("DELETE FROM decisions", "UPDATE decisions SET choice = 'good'"):
        refused = pytest.raises(sqlite3.IntegrityError, match="only added")
        with closing(sqlite3.connect(reviews.folder / REVIEWS)) as file, refused:
            file.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW v AS SELECT 1",
        "DROP TRIGGER decisions_are_not_deleted",
        "PRAGMA user_version = 7",
        "INSERT INTO decisions VALUES (9,'t','a','s','e',1,'p','bad','???','',NULL,'good',1.0,1.0,'b',NULL,'t',0)",
    ],
)
def test_a_file_that_review_did_not_write_is_refused(reviews: Reviews, statement: str) -> None:
    reviews.decide(EPOCH, 22, Choice.BAD, "Ana")
    with closing(sqlite3.connect(reviews.folder / REVIEWS, isolation_level=None)) as file:
        file.execute(statement)
    with pytest.raises(EdgeError, match=r"decisions|later version"):
        reviews.current()


def test_a_link_and_a_damaged_file_are_refused(reviews: Reviews) -> None:
    path = reviews.folder / REVIEWS
    path.symlink_to("/etc/passwd")
    for call in (reviews.current, lambda: reviews.decide(EPOCH, 22, Choice.BAD, "Ana")):
        with pytest.raises(EdgeError, match="no regular file"):
            call()
    path.unlink()
    path.write_bytes(b"SQLite format 3\0" + os.urandom(4096))
    with pytest.raises(EdgeError, match="move it aside"):
        reviews.current()


WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from edge.review import Choice, Reviews
    reviews, name = Reviews(Path(sys.argv[1])), sys.argv[2]
    for number in range(int(sys.argv[3])):
        made = reviews.decide("ab12", 1 + number % 25, Choice.BAD, name, str(number))
        print(made.id, number, flush=True)
""")


def _writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_several_processes_may_decide_at_once(reviews: Reviews) -> None:
    writers = [_writer(reviews.folder, name, 15) for name in ("Ana", "Ben", "Cem")]
    told = [line.split() for one in writers for line in one.communicate(timeout=120)[0].splitlines()]
    assert [one.returncode for one in writers] == [0, 0, 0]
    assert sorted(int(number) for number, _ in told) == list(range(1, 46))
    assert len(reviews.log()) == 45


def test_a_kill_loses_nothing_that_was_answered(reviews: Reviews) -> None:
    for turn in range(3):
        told: list[str] = []
        with _writer(reviews.folder, f"P{turn}", 100_000) as writer:
            assert writer.stdout is not None
            while len(told) < 5 + turn:
                told.append(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            told += writer.stdout.readlines()
        kept = {row.id: row.comment for row in reviews.log() if row.by == f"P{turn}"}
        answered = dict(line.split() for line in told if line.endswith("\n"))
        assert {int(number): comment for number, comment in answered.items()}.items() <= kept.items()
        reviews.decide(EPOCH, 22, Choice.GOOD, "Ana")  # the file is usable at once
        until(lambda: not (reviews.folder / f"{REVIEWS}-journal").exists())
