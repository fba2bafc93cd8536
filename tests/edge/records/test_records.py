"""The records: published verdicts are on disk in order, and no caller waits for the disk."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.records import (
    Archive,
    enter,
    journal_taken,
    payload,
    recorder,
    rows,
    settle,
    spoil,
    until,
    verdict,
    with_image,
)

from edge.channel.control_messages import Fate
from edge.errors import RecordsError
from edge.records.audit import audit
from edge.records.journal import JOURNAL
from edge.records.recorder import Recorder, is_taken
from edge.records.retention import HOLD, IMAGES, SIDECAR, Keeping, NoRoomError, Shelf
from edge.station.archive.child import NICENESS
from edge.station.archive.process import MOST_LOANS
from edge.station.process.messages import Copied, NotStored, Removed, Stored
from edge.station.process.ring import Attached
from edge.verdict import Outcome, Verdict

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN


# ---------------------------------------------------------------------------------------------------- the journal


def test_no_thread_of_the_records_is_left_after_the_end(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    journal = recorder(tmp_path)
    enter(journal, verdict(1))
    journal.read("token", "ab12", 1, 1)
    mine = set(threading.enumerate()) - before
    assert {thread.name for thread in mine} == {"edge-journal", "edge-replay", "edge-upkeep"}
    journal.close("told to stop", 1, patience_s=30)
    until(lambda: not any(thread.is_alive() for thread in mine))
    assert [token for token, _ in journal.replays()] == ["token"]


def test_every_verdict_is_on_disk_as_published_and_durable_seq_says_so(tmp_path: Path) -> None:
    verdicts = [verdict(seq, outcome) for seq, outcome in enumerate([G, R, U] * 100, 1)]
    journal = recorder(tmp_path)
    enter(journal, *verdicts)
    settle(journal)
    assert journal.durable_seq == 300
    assert [text.encode() for (text,) in rows(tmp_path, "SELECT json FROM verdicts ORDER BY rowid")] == [
        payload(v) for v in verdicts
    ]
    journal.close("told to stop", 300)
    ended = rows(tmp_path, "SELECT epoch, boot, station, accepted, cause, last_seq FROM runs")
    assert ended == [("ab12", 1, "line1", 300, "told to stop", 300)]
    assert rows(tmp_path, "SELECT * FROM lost_ranges") == []
    assert journal.alarms == ()


def test_all_that_came_of_a_part_has_its_row(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    enter(journal, verdict(1), verdict(2, U))
    journal.acknowledge("ab12", 1, Fate.PASSED, "gate1")
    journal.late_result("ab12", 2, 0.25, None)
    journal.image("ab12", 2, "images/a.png", "00", 7)
    journal.image_gone("images/a.png", "the disk is full")
    journal.event("restart", "the inference process died")
    journal.close("told to stop", 2)
    assert rows(tmp_path, "SELECT epoch, seq, fate, client FROM acknowledgements") == [("ab12", 1, "passed", "gate1")]
    assert rows(tmp_path, "SELECT epoch, seq, score, fault FROM late_results") == [("ab12", 2, 0.25, None)]
    ((path, gone),) = rows(tmp_path, "SELECT path, gone FROM images")
    assert path == "images/a.png"
    assert gone.startswith("the disk is full, ")
    assert rows(tmp_path, "SELECT epoch, kind, text FROM events") == [("ab12", "restart", "the inference process died")]


def test_a_name_that_is_no_text_does_not_hold_up_the_journal(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    journal.event("source", "b\udcff.png is gone")
    enter(journal, verdict(1))
    journal.close("b\udcff.png", 1)
    assert rows(tmp_path, "SELECT text FROM events") == [("b\\udcff.png is gone",)]
    assert rows(tmp_path, "SELECT cause, last_seq FROM runs") == [("b\\udcff.png", 1)]


def test_the_folder_is_the_stations_own(tmp_path: Path) -> None:
    journal = recorder(tmp_path / "a" / "records")
    assert (tmp_path / "a" / "records").stat().st_mode & 0o777 == 0o700
    assert is_taken(tmp_path / "a" / "records")
    with pytest.raises(RecordsError, match="another station writes its records there; stop it") as caught:
        Recorder(tmp_path / "a" / "records", "line2")
    assert "\n" not in str(caught.value)
    journal.close("told to stop", 0)
    assert not is_taken(tmp_path / "a" / "records")
    recorder(tmp_path / "a" / "records").close("told to stop", 0)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o377])
def test_what_a_record_holds_is_its_owners_alone_whatever_the_umask_and_the_folder(tmp_path: Path, umask: int) -> None:
    records = tmp_path / "records"
    records.mkdir(mode=0o755)
    old = os.umask(umask)
    try:
        journal = recorder(records)
        archive = Archive(Keeping(records, min_free_bytes=0))
        archive.start()
        assert archive.offer(verdict(1, R))
        archive.until(Stored, 1)
        enter(journal, verdict(1, R))
        settle(journal)
        modes = {p.relative_to(records).as_posix(): p.stat().st_mode & 0o777 for p in records.rglob("*")}
        archive.close()
        journal.close("told to stop", 1)
    finally:
        os.umask(old)
    files = {"boot", "lock", "reserve", JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm"}
    place = "images/2026-01-02/ab12/00000001-reject"
    assert modes == {
        **dict.fromkeys([*files, f"{place}.png", f"{place}.json"], 0o600),
        **dict.fromkeys(["images", "images/2026-01-02", "images/2026-01-02/ab12"], 0o700),
    }


def test_a_journal_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    recorder(tmp_path).close("told to stop", 0)
    (tmp_path / JOURNAL).chmod(0o644)
    recorder(tmp_path, "cd34").close("told to stop", 0)
    assert (tmp_path / JOURNAL).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="records cannot be kept there"):
        Recorder(tmp_path / "file", "line1")


def test_a_journal_of_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    recorder(tmp_path).close("told to stop", 0)
    with closing(sqlite3.connect(tmp_path / JOURNAL)) as journal:
        journal.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordsError, match="of a later version"):
        Recorder(tmp_path, "line1")
    assert list(tmp_path.glob("journal-damaged-*")) == []


def test_boot_counts_every_run_and_never_goes_back(tmp_path: Path) -> None:
    def boot() -> int:
        journal = recorder(tmp_path)
        journal.close("told to stop", 0)
        return journal.boot

    assert [boot(), boot()] == [1, 2]
    (tmp_path / "boot").unlink()
    assert boot() == 3, "the journal knows it too"
    (tmp_path / JOURNAL).write_bytes(b"no journal" * 1000)
    assert boot() == 4, "and the file does"
    (tmp_path / "boot").write_text("\0")
    assert boot() == 5


def test_a_full_queue_loses_verdicts_says_so_and_names_them_in_the_journal(tmp_path: Path) -> None:
    journal = recorder(tmp_path, most_waiting=10)
    enter(journal, verdict(1))
    settle(journal)
    with journal_taken(tmp_path):
        enter(journal, *(verdict(seq) for seq in range(2, 41)))
        journal.acknowledge("ab12", 1, Fate.PASSED, "gate1")
        assert journal.backlog == 10
        assert journal.lost == 29
        assert any("lost 29 verdicts and 1 other rows" in alarm for alarm in journal.alarms)
    settle(journal)
    assert journal.durable_seq == 11
    enter(journal, verdict(41))
    journal.close("told to stop", 41)
    assert journal.durable_seq == 11, "what comes after a hole is not all there"
    assert [seq for (seq,) in rows(tmp_path, "SELECT seq FROM verdicts ORDER BY rowid")] == [*range(1, 12), 41]
    assert rows(tmp_path, "SELECT epoch, lost_from, lost_to FROM lost_ranges") == [("ab12", 12, 40)]


def test_a_row_that_can_never_be_written_is_an_event_and_holds_no_other_up(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    journal.image("ab12", 2**70, "images/x.png", "00", 1)
    enter(journal, verdict(1))
    journal.close("told to stop", 1)
    assert rows(tmp_path, "SELECT seq FROM verdicts") == [(1,)]
    assert [text for (text,) in rows(tmp_path, "SELECT text FROM events") if "refused" in text]


def test_a_flood_of_acknowledgements_while_the_disk_is_slow_costs_no_verdict(tmp_path: Path) -> None:
    journal = recorder(tmp_path, most_waiting=20)
    settle(journal)
    with journal_taken(tmp_path):
        for _ in range(100):
            journal.acknowledge("ab12", 1, Fate.PASSED, "gate1")
        enter(journal, *(verdict(seq) for seq in range(1, 11)))
        assert journal.lost == 0
    journal.close("told to stop", 10, patience_s=30)
    assert journal.durable_seq == 10


def test_what_is_lost_at_the_very_end_is_named_too(tmp_path: Path) -> None:
    journal = recorder(tmp_path, most_waiting=10)
    settle(journal)
    with journal_taken(tmp_path):
        enter(journal, *(verdict(seq) for seq in range(1, 31)))
    journal.close("told to stop", 30, patience_s=30)
    assert rows(tmp_path, "SELECT lost_from, lost_to FROM lost_ranges") == [(11, 30)]


def test_a_replay_gives_what_is_on_disk_as_published(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    verdicts = [verdict(seq) for seq in range(1, 21)]
    enter(journal, *verdicts)
    settle(journal)
    journal.read("a", "ab12", 5, 7)
    journal.read("b", "ab12", 19, 30)
    journal.read("c", "ff00", 1, 30)
    answers: dict[object, list[bytes]] = {}
    until(lambda: answers.update(journal.replays()) or len(answers) == 3)
    assert answers["a"] == [payload(v) for v in verdicts[4:7]]
    assert answers["b"] == [payload(v) for v in verdicts[18:]]
    assert answers["c"] == []
    journal.close("told to stop", 20)


def test_the_recorder_loads_neither_pixels_nor_a_runtime() -> None:
    code = (
        "import sys, edge.records.recorder, edge.station.archive.process, edge.cli.audit; "
        "sys.exit(bool({'cv2', 'numpy', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# ------------------------------------------------------------------------------------------------------ retention


def shelve(shelf: Shelf, seq: int, outcome: Outcome, size: int = 1000) -> Path:
    """Store an image of `size` bytes with its sidecar."""
    path = shelf.keeping.folder / IMAGES / "2026-01-02" / "ab12" / f"{seq:08}-{outcome}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size - 2))
    path.with_suffix(SIDECAR).write_text("{}")
    shelf.add(path)
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.stem.lstrip("0") for path in folder.rglob("*.png"))


def test_goods_go_first_then_unknowns_rejects_last_and_the_oldest_of_each(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_bytes=6000, min_free_bytes=0))
    for seq, outcome in enumerate([R, U, G, R, U, G], 1):
        shelve(shelf, seq, outcome)
    went = [Path(gone.path).stem.lstrip("0") for gone in shelf.make_room(6000, R)]
    assert went == ["3-good", "6-good", "2-unknown", "5-unknown", "1-reject", "4-reject"]
    assert shelf.size == 0
    assert not (tmp_path / IMAGES / "2026-01-02").exists(), "empty folders go too"


def test_an_image_never_drives_out_one_that_is_worth_more(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_bytes=3000, min_free_bytes=0))
    for seq, outcome in enumerate([R, U, R], 1):
        shelve(shelf, seq, outcome)
    with pytest.raises(NoRoomError, match="none may go for a good"):
        list(shelf.make_room(1000, G))
    assert left(tmp_path) == ["1-reject", "2-unknown", "3-reject"]
    list(shelf.make_room(1000, U))
    assert left(tmp_path) == ["1-reject", "3-reject"]


def test_a_held_image_stays_until_it_is_released(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_bytes=2000, max_age_days=1e-9, min_free_bytes=0))
    held = shelve(shelf, 1, G)
    held.with_suffix(HOLD).touch()
    shelve(shelf, 2, G)
    with pytest.raises(NoRoomError):
        list(shelf.make_room(2000, R))
    assert left(tmp_path) == ["1-good"]
    time.sleep(0.01)
    assert list(shelf.expire()) == []
    held.with_suffix(HOLD).unlink()
    assert len(list(shelf.make_room(2000, R))) == 1
    assert left(tmp_path) == []


def test_what_is_too_old_goes_whatever_it_is(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_age_days=1e-9, min_free_bytes=0))
    for seq, outcome in enumerate([R, U, G], 1):
        shelve(shelf, seq, outcome)
    time.sleep(0.01)
    assert {gone.why for gone in shelf.expire()} == {"older than 1e-09 days"}
    assert left(tmp_path) == []


def test_a_new_process_takes_stock_and_tidies_up_after_a_crash(tmp_path: Path) -> None:
    before = Shelf(Keeping(tmp_path, max_bytes=3000, min_free_bytes=0))
    first, second = shelve(before, 1, G), shelve(before, 2, G)
    (first.parent / "00000003-good.png.new").write_bytes(b"half")
    (first.parent / "00000004-good.json").write_text("{}")
    shelf = Shelf(before.keeping)
    shelf.look()
    assert shelf.size == 2000
    assert sorted(p.name for p in first.parent.iterdir()) == sorted(
        p.name for one in (first, second) for p in (one, one.with_suffix(SIDECAR))
    )
    assert [Path(gone.path).name for gone in shelf.make_room(2000, G)] == [first.name]


def test_that_an_image_goes_is_said_while_it_is_still_there(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_bytes=1000, min_free_bytes=0))
    image = shelve(shelf, 1, G)
    going = shelf.make_room(1000, G)
    assert tmp_path / next(going).path == image
    assert image.exists()
    assert not list(going)
    assert not image.exists()


def test_an_image_that_cannot_be_removed_stays_on_its_shelf(tmp_path: Path) -> None:
    shelf = Shelf(Keeping(tmp_path, max_bytes=1000, min_free_bytes=0))
    image = shelve(shelf, 1, G)
    image.unlink()
    image.mkdir()  # not even root can unlink a folder
    for _ in range(2):
        with pytest.raises(OSError, match=r"directory"):
            list(shelf.make_room(1000, G))
    assert shelf.size == 1000
    assert image.with_suffix(SIDECAR).exists()


def test_rejects_and_unknowns_are_all_wanted_and_goods_one_in_so_many(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path, good_every=10)
    assert all(keeping.wants(outcome, seq) for outcome in (R, U) for seq in range(1, 100))
    assert [seq for seq in range(1, 41) if keeping.wants(G, seq)] == [10, 20, 30, 40]
    assert not any(Keeping(tmp_path, good_every=0).wants(G, seq) for seq in range(1, 1000))


# -------------------------------------------------------------------------------------------------- the archive child


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Archive]:
    line = Archive(Keeping(tmp_path, good_every=10, min_free_bytes=0))
    line.start()
    yield line
    line.close()


def test_the_image_of_a_reject_is_its_frame_to_the_last_bit_and_its_verdict_lies_beside_it(
    line: Archive, tmp_path: Path
) -> None:
    assert line.offer(verdict(3, R), slot=2)
    (stored,) = line.until(Stored, 1)
    assert isinstance(stored, Stored)
    assert stored.path == "images/2026-01-02/ab12/00000003-reject.png"
    path = tmp_path / stored.path
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    assert np.array_equal(image, line.frames[2])
    assert stored.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert stored.size == path.stat().st_size
    beside = json.loads(path.with_suffix(SIDECAR).read_bytes())
    assert Verdict.model_validate(beside["verdict"]) == verdict(3, R)
    assert beside["image"]["sha256"] == stored.sha256
    assert sorted(p.suffix for p in path.parent.iterdir()) == [SIDECAR, ".png"]


def test_a_slot_is_lent_and_comes_back_once_and_never_more_than_two_are_away(line: Archive) -> None:
    taken = [line.offer(verdict(seq, R), slot) for slot, seq in enumerate((1, 2, 3))]
    assert taken == [True] * MOST_LOANS + [False]
    assert line.archiving.skipped == 1
    line.until(Copied, 2)
    assert line.offer(verdict(4, R), slot=2)
    line.until(Stored, 3)
    assert line.heard(Copied) == [Copied(0), Copied(1), Copied(2)]


def test_a_slot_that_came_back_may_be_filled_at_once(tmp_path: Path) -> None:
    line = Archive(Keeping(tmp_path, min_free_bytes=0), size=(1080, 1920))
    line.start()
    for slot in (0, 1):
        assert line.offer(verdict(slot + 1, R), slot)
    line.until(Copied, 2)
    ring = Attached()
    ring.frame(line.ring.name(1), 1080, 1920)[...] = 0
    line.close()
    image = cv2.imread(str(tmp_path / "images/2026-01-02/ab12/00000002-reject.png"))
    assert image is not None
    assert np.array_equal(image, line.frames[1])


def test_a_good_that_is_no_sample_is_not_kept_and_nothing_is_missed(line: Archive) -> None:
    assert not line.offer(verdict(9))
    assert line.archiving.skipped == 0
    assert line.offer(verdict(10))
    line.until(Stored, 1)
    assert line.archiving.alarms == ()


def test_only_the_thread_that_writes_images_steps_back_for_all_else(line: Archive) -> None:
    tasks = Path(f"/proc/{line.archiving.child._process.pid}/task")
    if not tasks.is_dir():
        pytest.skip("there is no /proc here")
    until(lambda: NICENESS in {int(stat.read_text().rpartition(")")[2].split()[16]) for stat in tasks.glob("*/stat")})
    copying = tasks / str(line.archiving.child._process.pid) / "stat"
    assert int(copying.read_text().rpartition(")")[2].split()[16]) == os.getpriority(os.PRIO_PROCESS, 0)


def test_the_end_waits_for_the_images_that_were_taken(tmp_path: Path) -> None:
    line = Archive(Keeping(tmp_path, min_free_bytes=0), size=(1080, 1920))
    line.start()
    assert line.offer(verdict(1, R), 0)
    assert line.offer(verdict(2, U), 1)
    line.close()
    assert {message.seq for message in line.heard(Stored) if isinstance(message, Stored)} == {1, 2}


def test_an_image_that_the_journal_did_not_hear_of_is_told_of_by_the_next_archive_once(
    tmp_path: Path,
) -> None:
    with_image(tmp_path)
    image = tmp_path / with_image(tmp_path, "cd34").path
    spoil(tmp_path, "DELETE FROM images")
    of_no_run = Path(shutil.copytree(image.parent, image.parent.with_name("5555")), image.name).with_suffix(SIDECAR)
    of_no_run.write_text(of_no_run.read_text().replace("cd34", "5555"))
    for suffix in (".png", ".json"):
        shutil.copy(image.with_suffix(suffix), image.with_name(f"00000009-reject{suffix}"))  # of another part
    line = Archive(Keeping(tmp_path, min_free_bytes=0))
    line.start()
    told = line.until(Stored, 2)
    line.close()
    assert told == line.heard(Stored)
    journal = recorder(tmp_path, "ef56")
    for _ in range(2):
        for stored in told:
            assert isinstance(stored, Stored)
            journal.image(*stored)
    journal.close("told to stop", 0)
    assert rows(tmp_path, "SELECT epoch, seq FROM images ORDER BY epoch") == [("ab12", 1), ("cd34", 1)]
    found = audit(tmp_path)
    assert found.images == 2
    strangers = {Path(problem.text.partition(":")[0]).parts[-2:] for problem in found.problems}
    assert strangers == {
        (folder, f"0000000{seq}-reject{suffix}")
        for folder, seq in (("5555", 1), ("cd34", 9))
        for suffix in (".png", ".json")
    }


@pytest.mark.parametrize(
    "wrong",
    [
        lambda said: said["image"].update(bytes=None),
        lambda said: said["image"].update(bytes=2**64),
        lambda said: said["image"].update(sha256={}),
        lambda said: said["image"].update(sha256="none"),
        lambda said: said["verdict"].update(seq=[1]),
        lambda said: said["verdict"].update(seq=None),
        lambda said: said["verdict"].update(verdict="splendid"),
        lambda said: said.update(verdict=[]),
        lambda said: said.pop("image"),
    ],
)
def test_a_sidecar_that_says_nonsense_is_not_told_of_and_holds_nothing_up(
    tmp_path: Path, wrong: Callable[[dict[str, Any]], object]
) -> None:
    beside = (tmp_path / with_image(tmp_path).path).with_suffix(SIDECAR)
    (beside.parent / os.fsdecode(b"\xff-reject.png")).write_bytes(b"")
    spoil(tmp_path, "DELETE FROM images")
    said = json.loads(beside.read_bytes())
    wrong(said)
    beside.write_text(json.dumps(said))
    line = Archive(Keeping(tmp_path, min_free_bytes=0))
    line.start()
    assert line.offer(verdict(7, R))
    assert [message.seq for message in line.until(Stored, 1) if isinstance(message, Stored)] == [7]
    line.close()
    assert {message.seq for message in line.heard(Stored) if isinstance(message, Stored)} == {7}


def test_images_make_room_for_each_other_and_the_station_hears_of_it(tmp_path: Path) -> None:
    line = Archive(Keeping(tmp_path, max_bytes=150_000, min_free_bytes=0))  # two of random pixels, 58 kB each
    line.start()
    for seq in (1, 2, 3):
        assert line.offer(verdict(seq, R))
        line.until(Stored, seq)
    assert [message.path for message in line.heard(Removed) if isinstance(message, Removed)] == [
        "images/2026-01-02/ab12/00000001-reject.png"
    ]
    assert left(tmp_path) == ["2-reject", "3-reject"]
    line.close()


def test_what_is_too_old_goes_while_images_keep_coming(tmp_path: Path) -> None:
    old = shelve(Shelf(Keeping(tmp_path)), 1, R)
    os.utime(old, (0, 0))
    line = Archive(Keeping(tmp_path, max_age_days=365, min_free_bytes=0))
    line.start()
    assert line.offer(verdict(2, R))
    line.until(Removed, 1)
    line.close()
    assert left(tmp_path) == ["2-reject"]


def test_a_disk_without_room_to_spare_gets_no_images(tmp_path: Path) -> None:
    line = Archive(Keeping(tmp_path, min_free_bytes=2**60))
    line.start()
    assert line.offer(verdict(1, R))
    line.until(NotStored, 1)
    assert any("the disk is full" in alarm for alarm in line.archiving.alarms)
    assert left(tmp_path) == []
    line.close()
