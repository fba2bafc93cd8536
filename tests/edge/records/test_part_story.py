"""edge-audit prints the history of a part, with the gate's decision and the picture's path, and draws the picture."""

import json
import subprocess
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.line import ran
from support.records import Archive, enter, once_made, recorder, spoil, verdict, with_image

from edge.channel.control_messages import Fate
from edge.gate.decision import Why
from edge.records.retention import Keeping
from edge.station.process.messages import Stored
from edge.verdict import Box, Defect, Outcome

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN
DEFECT = Defect(box=Box(x=30, y=40, width=20, height=10), area=150, peak=0.75)
PASSED = {"decision": "pass", "why": "clear", "fate": "passed"}
STOPPED = {"decision": "reject", "why": "station stopped", "fate": "rejected"}


def edge_audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ran("audit", *arguments)


def line(folder: Path) -> Path:
    """The records of four parts: a good that passed, two rejects with pictures, the second with a box, and a good
    without acknowledgement.
    """
    folder.mkdir(exist_ok=True)
    once_made(_line, folder)
    return folder


def _line(folder: Path) -> None:
    journal = recorder(folder)
    second = verdict(3, R).model_copy(update={"defects": (DEFECT,)})
    parts = [verdict(1), verdict(2, R), second, verdict(4)]
    enter(journal, *parts)
    journal.acknowledge("ab12", 1, Fate.PASSED, "gate1")
    archive = Archive(Keeping(folder, min_free_bytes=0))
    archive.start()
    for slot, part in enumerate(parts[1:3], 1):
        assert archive.offer(part, slot)
    for stored in archive.until(Stored, 2):
        assert isinstance(stored, Stored)
        journal.image(*stored)
    archive.close()
    journal.close("the source has ended", 4)


def log_of(folder: Path, *decisions: dict[str, Any]) -> Path:
    """Write a gate's log with these decisions."""
    log = folder / "gate.jsonl"
    about = {"epoch": "ab12", "time": "2026-01-02T03:04:06.789+00:00"}
    log.write_text("".join(json.dumps(about | one) + "\n" for one in decisions))
    return log


# ------------------------------------------------------------------------------------------------------- at the gate


def test_the_journal_tells_what_was_acknowledged_and_where_the_reason_is(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    passed = edge_audit(records, "--part", "part-1").stdout
    assert "gate1 acknowledged: passed" in passed
    assert "gate's own log" not in passed
    silent = edge_audit(records, "--part", "part-4").stdout
    assert "not acknowledged" in silent
    assert "in the gate's own log: add --gate LOG" in silent


def test_the_gates_log_tells_when_it_decided_what_and_why(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    log = log_of(
        tmp_path, {"seq": 1, "part": "part-1"} | PASSED, {"seq": 4, "part": "part-4"} | STOPPED,
    )  # fmt: skip
    passed = edge_audit(records, "--part", "part-1", "--gate", log)
    assert passed.returncode == 0
    assert f"2026-01-02T03:04:06.789+00:00  the gate decided: passed, clear: {Why.CLEAR.meaning}" in passed.stdout
    stopped = edge_audit(records, "--last", "good", "--gate", log).stdout
    assert f"the gate decided: rejected, station stopped: {Why.STATION_STOPPED.meaning}" in stopped
    assert "not acknowledged" in stopped
    assert "add --gate LOG" not in stopped
    (told,) = json.loads(edge_audit(records, "--part", "part-4", "--gate", log, "--json").stdout)
    (decided,) = told["gate"]
    assert (decided["decision"], decided["why"], decided["passed"]) == ("reject", "station stopped", None)


@pytest.mark.parametrize(
    "decision",
    [
        {"seq": None, "part": "part-4", "decision": "reject", "why": "late", "fate": "missed"},
        {"seq": 2, "to_seq": 4, "part": None, "decision": "reject", "why": "gap", "fate": "missed"},
    ],
)
def test_a_part_that_was_decided_before_its_verdict_came_or_with_others_is_found(
    tmp_path: Path, decision: dict[str, Any]
) -> None:
    records, log = line(tmp_path / "records"), log_of(tmp_path, decision)
    assert (
        f"the gate decided: rejected, {decision['why']}"
        in edge_audit(records, "--part", "part-4", "--gate", log).stdout
    )
    assert "no decision on this part" in edge_audit(records, "--part", "part-1", "--gate", log).stdout


@pytest.mark.parametrize(
    "decision", [{"seq": 4, "part": "part-4"}, {"seq": None, "part": "part-4"}, {"seq": 1, "to_seq": 9, "part": None}]
)
def test_a_decision_of_another_run_is_not_that_of_the_part(tmp_path: Path, decision: dict[str, Any]) -> None:
    records = line(tmp_path / "records")
    log = log_of(tmp_path, {"epoch": "cd34"} | decision | STOPPED)
    assert "no decision on this part" in edge_audit(records, "--part", "part-4", "--gate", log).stdout


def test_a_pass_in_the_log_that_no_good_proves_is_an_escape(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    log = log_of(tmp_path, {"seq": 3, "part": "part-3"} | PASSED, {"seq": 4, "part": "part-4"} | PASSED)
    escaped = edge_audit(records, "--part", "part-3", "--gate", log)
    assert "ESCAPE: its verdict was reject/defect" in escaped.stdout
    assert escaped.returncode == 1
    proven = edge_audit(records, "--part", "part-4", "--gate", log)
    assert "ESCAPE" not in proven.stdout
    assert proven.returncode == 0


# ------------------------------------------------------------------------------------------------------- the newest


def test_the_newest_parts_of_a_verdict_are_told_the_newest_last(tmp_path: Path) -> None:
    records = line(tmp_path / "records")

    def parts(*last: object) -> list[str]:
        done = edge_audit(records, "--last", *last, "--json")
        return [story["verdict"]["part"] for story in json.loads(done.stdout)]

    assert [parts("reject"), parts("good")] == [["part-3"], ["part-4"]]
    assert [parts("reject", 2), parts("good", 9)] == [["part-2", "part-3"], ["part-1", "part-4"]]
    assert "part part-3: reject/defect" in edge_audit(records, "--last", "reject").stdout


# ------------------------------------------------------------------------------------------------------ its picture


def test_the_path_of_the_picture_and_the_boxes_are_told(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    told = edge_audit(records, "--last", "reject").stdout.splitlines()
    (at,) = [each for each in told if "picture stored" in each]
    assert Path(at.rpartition(": ")[2]).is_file()
    assert told[-1].strip() == "box 20×10 at (30, 40), peak 0.75, 150 pixels"
    assert "no box: the station looked for no place" in edge_audit(records, "--part", "part-2").stdout


WHY_NONE = {
    "removed": (
        "part-3",
        ["UPDATE images SET gone = 'older than 3 days, 2026-01-06'"],
        "no picture: it was removed: older than 3 days, 2026-01-06",
    ),
    "no frame": (
        "part-4",
        ["""UPDATE verdicts SET json = replace(json, '"in_ring":2000000', '"in_ring":null')"""],
        "no picture: no frame of this part came",
    ),
    "one good in ten": (
        "part-4",
        ["""UPDATE runs SET config = '{"keep_goods": 10}'"""],
        "no picture: of the goods this run kept those whose number is a multiple of 10",
    ),
    "no goods": ("part-4", ["""UPDATE runs SET config = '{"keep_goods": 0}'"""], "no picture: this run kept no goods"),
    "its own good": ("part-4", ["""UPDATE runs SET config = '{"keep_goods": 4}'"""], "no picture: it was not stored"),
    "unknown": ("part-4", [], "no picture: only some goods are kept"),
    "not stored": ("part-3", ["DELETE FROM images"], "no picture: it was not stored, as when the disk is full"),
}


@pytest.mark.parametrize("why", WHY_NONE)
def test_why_there_is_no_picture_is_told(tmp_path: Path, why: str) -> None:
    part, statements, said = WHY_NONE[why]
    records = line(tmp_path / "records")
    spoil(records, *statements)
    assert said in edge_audit(records, "--part", part).stdout
    done = edge_audit(records, "--part", part, "--draw", tmp_path / "x.png")
    assert done.returncode == 1
    assert "1 part not drawn" in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_a_picture_that_is_missing_without_a_word_is_told(tmp_path: Path) -> None:
    stored = with_image(tmp_path)
    (tmp_path / stored.path).unlink()
    assert f"no picture: {stored.path} is missing" in edge_audit(tmp_path, "--part", "código 7").stdout


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in folder.rglob("*") if file.is_file() and not file.name.startswith("journal.db-")
    }  # fmt: skip


def test_the_picture_is_drawn_elsewhere_and_the_records_stay_as_they_are(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    before = everything(records)
    done = edge_audit(records, "--last", "reject", "--draw", tmp_path / "reject.png")
    assert done.returncode == 0
    assert f"drawn in {tmp_path / 'reject.png'}" in done.stdout
    stored, sheet = (cv2.imread(str(file)) for file in (*records.rglob("*3-reject.png"), tmp_path / "reject.png"))
    assert stored is not None
    assert sheet is not None
    large = cv2.resize(stored, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
    box = large[160:200, 120:200]
    assert cv2.minMaxLoc(cv2.matchTemplate(sheet, box, cv2.TM_SQDIFF))[0] == 0, "the pixels of the box are covered"
    assert everything(records) == before


def test_several_pictures_are_drawn_into_a_folder(tmp_path: Path) -> None:
    records, folder = line(tmp_path / "records"), tmp_path / "drawn"
    folder.mkdir()
    told = json.loads(edge_audit(records, "--last", "reject", 2, "--draw", folder, "--json").stdout)
    names = ["ab12-00000002-reject.png", "ab12-00000003-reject.png"]
    assert [story["drawing"] for story in told] == [str(folder / name) for name in names]
    assert sorted(file.name for file in folder.iterdir()) == names


def test_a_picture_that_is_not_what_was_stored_is_not_drawn(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    (image,) = records.rglob("*3-reject.png")
    image.write_bytes(image.read_bytes() + b"\0")
    done = edge_audit(records, "--last", "reject", "--draw", tmp_path / "x.png")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{image} is not the image that was stored" in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_nothing_is_drawn_among_images_that_lie_on_another_disk(tmp_path: Path) -> None:
    records = line(tmp_path / "records")
    (records / "images").rename(tmp_path / "disk")
    (records / "images").symlink_to(tmp_path / "disk")
    done = edge_audit(records, "--last", "reject", "--draw", tmp_path / "disk")
    assert done.returncode == 2
    assert "lies in the records" in done.stderr
    assert edge_audit(records, "--last", "reject", "--draw", tmp_path / "x.png").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--last", "bad"], "--last bad: no verdict is called so; give good, reject, unknown or flip"),
        (["--last", "unknown"], "has no verdict unknown"),
        (["--last", "reject", "--part", "part-1"], "give one of them"),
        (["--hold", "part-2", "--gate", "gate.jsonl"], "leave out --gate"),
        (["3"], "give --last reject 3"),
        (["--draw", "x.png"], "give --part ID or --last reject"),
        (["--last", "reject", "--draw", "x.jpg"], "no name that ends in .png"),
        (["--last", "reject", "2", "--draw", "x.png"], "takes one picture, and there are 2; give a folder"),
        (["--last", "reject", "--draw", "records/x.png"], "lies in the records"),
        (["--last", "reject", "--draw", "records/images"], "lies in the records"),
        (["--last", "reject", "--draw", "nowhere/x.png"], "nowhere/x.png cannot be written: No such file"),
        (["--last", "reject", "--gate", "nolog"], "nolog cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    before = everything(line(tmp_path / "records"))
    monkeypatch.chdir(tmp_path)
    done = edge_audit("records", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert everything(tmp_path / "records") == before
