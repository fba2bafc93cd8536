"""edge-audit finds every problem of a record, and prints the history of a part."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.line import ran
from support.records import (
    enter,
    journal_taken,
    once_made,
    payload,
    recorder,
    settle,
    small_disk,
    spoil,
    verdict,
    with_image,
)

from edge.channel.control_messages import Fate
from edge.gate.log import GateLog
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.gate_log import GateReport, read_decisions
from edge.records.journal import JOURNAL
from edge.records.recorder import Recorder
from edge.records.tables import VERDICTS
from edge.verdict import Outcome

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN


def edge_audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ran("audit", *arguments)


SIX = [G, G, R, G, U, R]


def line_of_six(folder: Path, clients: tuple[str, ...] = ("gate1",)) -> None:
    """A sound record of a run with six parts, of which 1, 2 and 4 are good and passed."""
    if clients == ("gate1",) and not (folder.exists() and any(folder.iterdir())):
        once_made(_line_of_six, folder)
        return
    _line_of_six(folder, clients)


def _line_of_six(folder: Path, clients: tuple[str, ...] = ("gate1",)) -> None:
    journal = recorder(folder)
    for seq, outcome in enumerate(SIX, 1):
        enter(journal, verdict(seq, outcome))
        for client in clients:
            journal.acknowledge("ab12", seq, Fate.PASSED if outcome is G else Fate.REJECTED, client)
    journal.late_result("ab12", 5, 0.25, None)
    journal.close("told to stop", 6)


def test_a_sound_record_has_no_problem_and_its_ledger_balances(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    found = audit(tmp_path)
    assert found.problems == []
    (run,) = found.runs
    assert (run.accepted, run.good, run.reject, run.unknown, run.lost, run.passed) == (6, 3, 2, 1, 0, 3)
    done = edge_audit(tmp_path)
    assert done.returncode == 0
    assert "the record is sound" in done.stderr
    said = json.loads(edge_audit(tmp_path, "--json").stdout)
    assert said["sound"]
    assert said["runs"][0]["good"] == 3


SPOILT = {
    "passed a reject": ("UPDATE acknowledgements SET fate = 'passed' WHERE seq = 3", Kind.ESCAPE),
    "passed an unknown": ("UPDATE acknowledgements SET fate = 'passed' WHERE seq = 5", Kind.ESCAPE),
    "passed what never was": ("UPDATE acknowledgements SET seq = 7 WHERE seq = 1", Kind.ESCAPE),
    "passed in a strange run": ("UPDATE acknowledgements SET epoch = 'ff00' WHERE seq = 1", Kind.ESCAPE),
    "passed a late good": (
        """UPDATE verdicts SET json = replace(json, '"budget_ms":500', '"budget_ms":12') WHERE seq = 1""",
        Kind.ESCAPE,
    ),
    "a gap": ("DELETE FROM verdicts WHERE seq = 3", Kind.SEQUENCE),
    "the last ones missing": ("DELETE FROM verdicts WHERE seq > 4", Kind.SEQUENCE),
    "one too many": ("UPDATE runs SET last_seq = 5, accepted = 5", Kind.SEQUENCE),
    "one twice": ("INSERT INTO verdicts SELECT * FROM verdicts WHERE seq = 3", Kind.SEQUENCE),
    "accepted and never answered": ("UPDATE runs SET accepted = 7", Kind.LEDGER),
    "another part": ("UPDATE verdicts SET part = 'x' WHERE seq = 3", Kind.VERDICT),
    "a reject turned good": ("UPDATE verdicts SET verdict = 'good' WHERE seq = 3", Kind.VERDICT),
    "no JSON": ("UPDATE verdicts SET json = '{' WHERE seq = 3", Kind.VERDICT),
    "an impossible good": (
        """UPDATE verdicts SET json = replace(json, '"score":0.9', '"score":0.1') WHERE seq = 3""",
        Kind.VERDICT,
    ),
    "verdicts without a run": ("DELETE FROM runs", Kind.RUN),
    "never ended": ("UPDATE runs SET ended = NULL, cause = NULL, last_seq = NULL", Kind.RUN),
    "lost": ("INSERT INTO lost_ranges VALUES ('ab12', 7, NULL, 9, 'killed', '')", Kind.LOST),
    "two fates": ("INSERT INTO acknowledgements VALUES ('ab12', 1, 'rejected', 'gate1', '')", Kind.ACKNOWLEDGEMENT),
}


FOLLOWS = {
    "passed a late good": [Kind.VERDICT],
    "one too many": [Kind.LEDGER],
}
"""Further problems that follow from a damage, by the damage's name."""


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_found(tmp_path: Path, what: str) -> None:
    statement, kind = SPOILT[what]
    line_of_six(tmp_path)
    spoil(tmp_path, statement)
    found = audit(tmp_path)
    assert kind in found.counts, found.problems
    assert set(found.counts) <= {kind, *FOLLOWS.get(what, ())}, found.problems
    assert not found.is_sound


def test_epochs_and_boots_are_told_apart(tmp_path: Path) -> None:
    for epoch in ("ab12", "ab12", "cd34"):
        recorder(tmp_path, epoch).close("told to stop", 0)
    spoil(tmp_path, "UPDATE runs SET boot = 1 WHERE epoch = 'cd34'")
    assert sorted(problem.text for problem in audit(tmp_path).problems) == [
        "2 runs have the same epoch",
        "boot 1 came after boot 2",
    ]


def test_a_gap_that_the_journal_owns_up_to_is_lost_and_not_a_hole(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    spoil(
        tmp_path,
        "DELETE FROM verdicts WHERE seq BETWEEN 2 AND 5",
        "DELETE FROM acknowledgements WHERE seq BETWEEN 2 AND 5",
        "INSERT INTO lost_ranges VALUES ('ab12', 4, 5, 5, 'slow', ''), ('ab12', 2, 3, 5, 'slow', '')",
    )
    found = audit(tmp_path)
    assert dict(found.counts) == {Kind.LOST: 2}
    assert (found.runs[0].lost, found.runs[0].accepted) == (4, 6)


def test_a_pass_in_a_range_that_was_lost_is_unproven_and_outside_of_it_an_escape(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    spoil(
        tmp_path,
        "UPDATE runs SET last_seq = NULL",
        "INSERT INTO lost_ranges VALUES ('ab12', 7, NULL, 9, 'killed', '')",
        "INSERT INTO acknowledgements VALUES ('ab12', 7, 'passed', 'gate1', '')",
    )
    assert dict(audit(tmp_path).counts) == {Kind.LOST: 1, Kind.UNPROVEN: 1}
    spoil(tmp_path, "UPDATE lost_ranges SET lost_from = 8")
    assert audit(tmp_path).counts[Kind.ESCAPE] == 1


def test_the_pass_of_a_run_that_a_damaged_journal_held_is_unproven(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    os.truncate(tmp_path / JOURNAL, 5000)
    journal = recorder(tmp_path, "cd34")
    settle(journal)
    log = decisions(tmp_path, ("ab12", 1, "part-1", "pass"), ("cd34", 1, "part-1", "pass"))
    journal.close("told to stop", 0)
    found = audit(tmp_path, log)
    assert (found.counts[Kind.UNPROVEN], found.counts[Kind.ESCAPE]) == (1, 1)


def test_an_escape_is_loud(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    spoil(tmp_path, "UPDATE acknowledgements SET fate = 'passed' WHERE seq = 3")
    done = edge_audit(tmp_path)
    assert done.returncode == 1
    assert "ESCAPE ab12: gate1 let part 3 pass: its verdict was reject/defect" in done.stdout
    told = edge_audit(tmp_path, "--part", "part-3")
    assert told.returncode == 1
    assert "ESCAPE: its verdict was reject/defect" in told.stdout


def test_a_live_record_is_audited_while_it_is_written(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    enter(journal, verdict(1), verdict(2, R))
    settle(journal)
    log = decisions(tmp_path, ("ab12", 1, "part-1", "pass"), ("ab12", 3, "part-3", "pass"))
    with journal_taken(tmp_path):
        found = audit(tmp_path, log)
    assert found.is_live
    assert found.is_sound
    assert found.runs[0].is_live
    assert found.gate is not None
    assert found.gate.passes == {"proven": 1, "pending": 1}, "the third verdict is on its way to the disk"
    enter(journal, verdict(3))
    journal.close("told to stop", 3)
    assert audit(tmp_path, log).gate.passes == {"proven": 2}  # type: ignore[union-attr]


def test_a_record_on_a_disk_that_cannot_be_written_is_audited(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        line_of_six(disk / "records")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert audit(disk / "records").is_sound


def test_an_audit_changes_nothing_that_it_audits(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    before = (tmp_path / JOURNAL).read_bytes()
    assert audit(tmp_path).is_sound
    assert (tmp_path / JOURNAL).read_bytes() == before
    recorder(tmp_path, "cd34").close("told to stop", 0)


def test_a_damaged_journal_is_a_finding_and_no_traceback(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    with open(tmp_path / JOURNAL, "r+b") as file:
        file.seek(5000)
        file.write(os.urandom(30_000))
    done = edge_audit(tmp_path)
    assert done.returncode == 1
    assert "JOURNAL" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere"], "nowhere holds no journal"),
        (["records", "--part", "nobody"], "knows no part 'nobody'"),
        (["records", "--hold", "part-1"], "keeps no image of part 'part-1'"),
        (["records", "--gate", "nolog"], "nolog cannot be read"),
        (["records", "--gate", "bad.log"], "bad.log line 2 is no decision of a gate: decision"),
        (["records", "--part", "a", "--hold", "b"], "give one of them"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], complaint: str
) -> None:
    line_of_six(tmp_path / "records")
    (tmp_path / "bad.log").write_text('{"decision":"reject"}\n{"decision":"maybe"}\n')
    monkeypatch.chdir(tmp_path)
    done = edge_audit(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_part_that_is_asked_for_without_its_folder_is_named(tmp_path: Path) -> None:
    journal = recorder(tmp_path / "records")
    enter(journal, verdict(1, part="bad/cell%1.png"), verdict(2, part="bad/subcell%1.png"))
    journal.close("told to stop", 2)
    done = edge_audit(tmp_path / "records", "--part", "cell%1.png")
    assert done.returncode == 2
    assert done.stderr.endswith("knows no part 'cell%1.png'; did you mean 'bad/cell%1.png'?\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_records_that_are_not_for_this_user_are_one_line_too(tmp_path: Path) -> None:
    line_of_six(tmp_path / "records")
    (tmp_path / "records").chmod(0o700)
    code = (
        f"import os; from pathlib import Path; from edge.errors import RecordsError\n"
        f"from edge.records.audit import audit\nos.setuid(65534)\n"
        f"try: audit(Path({str(tmp_path / 'records')!r}))\nexcept RecordsError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "run as the user of the station" in done.stdout, done.stderr


# ---------------------------------------------------------------------------------------------------- the gate's log


def decisions(folder: Path, *made: tuple[Any, Any, Any, str]) -> Path:
    """Write a gate's log with these decisions."""
    log = folder / "gate.log"
    names = ("epoch", "seq", "part", "decision")
    lines = [dict(zip(names, one, strict=True), why="clear", fate="passed", time="") for one in made]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return log


@pytest.mark.parametrize(
    ("made", "standing"),
    [
        (("ab12", 1, "part-1", "pass"), "proven"),
        (("ab12", 1, "part-2", "pass"), "escape"),
        (("ab12", 3, "part-3", "pass"), "escape"),
        (("ab12", 5, "part-5", "pass"), "escape"),
        (("ab12", 7, "part-7", "pass"), "escape"),
        (("cd34", 1, "part-1", "pass"), "escape"),
        ((None, None, None, "pass"), "escape"),
    ],
)
def test_only_an_in_time_final_good_for_that_very_part_proves_a_pass(
    tmp_path: Path, made: tuple[Any, Any, Any, str], standing: str
) -> None:
    line_of_six(tmp_path, clients=())
    found = audit(tmp_path, decisions(tmp_path, made))
    assert found.gate is not None
    assert found.gate.passes == {standing: 1}
    assert found.is_sound == (standing == "proven")


def test_two_parts_never_pass_on_one_verdict(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    found = audit(tmp_path, decisions(tmp_path, *[("ab12", 1, "part-1", "pass")] * 2))
    assert found.gate is not None
    assert found.gate.passes == {"proven": 1, "escape": 1}


def test_the_first_final_verdict_stands_whatever_comes_after_it(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    late = verdict(3, G)
    with closing(sqlite3.connect(tmp_path / JOURNAL)) as journal:
        journal.execute(*VERDICTS.entry(late, json=payload(late).decode()))
        journal.commit()
    found = audit(tmp_path, decisions(tmp_path, ("ab12", 3, "part-3", "pass")))
    assert found.counts[Kind.ESCAPE] == 1


WHYS = {G: "clear", R: "defect", U: "unknown"}


def log_of_six(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log of the gate in `line_of_six`."""
    said = {True: ("pass", "passed"), False: ("reject", "rejected")}
    return [
        {"epoch": "ab12", "seq": seq, "part": f"part-{seq}", "why": WHYS[outcome]}
        | dict(zip(("decision", "fate"), said[outcome is G], strict=True))
        for seq, outcome in enumerate(SIX, 1)
    ]


def test_the_log_of_another_station_is_told_from_one_that_is_wrong(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    question = "is it the log of another station or record?"
    other = written(tmp_path, [line | {"epoch": "cd34"} for line in log_of_six(tmp_path)])
    done = edge_audit(tmp_path, "--gate", other)
    assert done.returncode == 1, "passes that nothing proves stay problems"
    assert question in done.stdout
    assert question not in edge_audit(tmp_path, "--gate", written(tmp_path, log_of_six(tmp_path))).stdout


def written(folder: Path, lines: list[dict[str, Any]], more: str = "") -> Path:
    log = folder / "gate.log"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines) + more)
    return log


def test_decisions_are_counted_with_the_gates_reasons(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    done = edge_audit(tmp_path, "--gate", written(tmp_path, log_of_six(tmp_path)))
    assert done.returncode == 0, done.stdout
    assert "gate: 3 passes: 3 proven" in done.stdout
    assert "gate: 3 rejects: 2 defect, 1 unknown" in done.stdout
    assert "the record is sound" in done.stderr


def test_half_a_last_line_is_said_and_is_a_problem_once_the_station_is_gone(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    enter(journal, verdict(1))
    settle(journal)
    log = written(tmp_path, log_of_six(tmp_path)[:1], '{"epoch": "ab12", "se')
    live = edge_audit(tmp_path, "--gate", log)
    journal.close("told to stop", 1)
    dead = edge_audit(tmp_path, "--gate", log)
    assert (live.returncode, dead.returncode) == (0, 1)
    assert "gate: a line has no end" in live.stdout
    assert "GATE a line of the gate's log has no end" in dead.stdout
    assert dead.stderr == "1 problem\n"


SPOILT_LOGS: dict[str, tuple[int, dict[str, str], str]] = {
    "a pass turned to a reject": (
        1,
        {"decision": "reject"},
        "part part-1 (1) contradicts itself: reject, clear, passed",
    ),
    "with its fate": (1, {"decision": "reject", "fate": "rejected"}, "contradicts itself: reject, clear, rejected"),
    "a reject that passed": (3, {"fate": "passed"}, "contradicts itself: reject, defect, passed"),
    "a reject turned to a pass": (3, {"decision": "pass", "why": "not joined"}, "contradicts itself: pass, not joined"),
    "a good that was not joined turned to a pass": (
        5,
        {"decision": "pass", "why": "clear", "fate": "passed"},
        "acknowledged part 5 as rejected, and its log says passed",
    ),
    "a whole pass turned to a reject": (
        1,
        {"decision": "reject", "why": "late", "fate": "late_reject"},
        "acknowledged part 1 as passed, and its log says late_reject",
    ),
}


@pytest.mark.parametrize("what", SPOILT_LOGS)
def test_a_line_of_the_log_that_cannot_be_is_found(tmp_path: Path, what: str) -> None:
    seq, change, said = SPOILT_LOGS[what]
    line_of_six(tmp_path)
    lines = log_of_six(tmp_path)
    lines[seq - 1] |= change
    found = audit(tmp_path, written(tmp_path, lines))
    assert any(problem.kind is Kind.GATE and said in problem.text for problem in found.problems), found.problems


def test_a_line_that_says_anywhere_that_a_part_passed_must_be_proven(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    lines = log_of_six(tmp_path)
    lines[2]["fate"] = "passed"
    assert audit(tmp_path, written(tmp_path, lines)).counts[Kind.ESCAPE] == 1


@pytest.mark.parametrize("seq", [1, 3])
def test_what_was_acknowledged_and_is_not_in_the_log_is_found(tmp_path: Path, seq: int) -> None:
    line_of_six(tmp_path)
    lines = log_of_six(tmp_path)
    del lines[seq - 1]
    (problem,) = audit(tmp_path, written(tmp_path, lines)).problems
    assert (problem.kind, problem.seq) == (Kind.GATE, seq)
    assert "its log does not say what became of it" in problem.text


def test_an_empty_log_is_a_problem_and_so_is_one_that_lacks_a_run(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    (problem,) = audit(tmp_path, written(tmp_path, [])).problems
    assert problem.text == "the gate's log holds no decision, and the journal 6 verdicts"
    strange = {"epoch": "cd34", "seq": 1, "part": "a", "decision": "reject", "why": "gap", "fate": "missed"}
    (problem,) = audit(tmp_path, written(tmp_path, [strange])).problems
    assert problem.text == "the gate acknowledged 6 parts of this run, and its log has no line of it"


def test_a_decision_without_an_acknowledgement_is_no_problem(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    spoil(tmp_path, "DELETE FROM acknowledgements WHERE seq IN (1, 3)")
    assert audit(tmp_path, written(tmp_path, log_of_six(tmp_path))).is_sound


def test_a_part_that_was_decided_before_its_verdict_came_may_be_acknowledged_after(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    spoil(tmp_path, "UPDATE acknowledgements SET fate = 'late_reject' WHERE seq IN (3, 5)")
    lines = log_of_six(tmp_path)
    lines[2] |= {"why": "late", "fate": "missed"}
    lines[4] |= {"why": "late", "fate": "missed", "seq": None}
    assert audit(tmp_path, written(tmp_path, lines)).is_sound


def test_a_log_is_compared_with_no_acknowledgements_where_it_is_not_known_whose_they_are(tmp_path: Path) -> None:
    line_of_six(tmp_path, clients=("gate1", "gate2"))
    done = edge_audit(tmp_path, "--gate", written(tmp_path, log_of_six(tmp_path)[1:]))
    assert done.returncode == 0
    assert "2 controllers acknowledged parts: the log was held against the verdicts alone" in done.stdout


# -------------------------------------------------------------------------------------------------- images and parts


def test_an_image_that_is_not_what_was_stored_is_found(tmp_path: Path) -> None:
    image = tmp_path / with_image(tmp_path).path
    assert audit(tmp_path).is_sound
    assert audit(tmp_path).images == 1
    was = image.read_bytes()
    image.write_bytes(was[:-1] + b"\0")
    assert audit(tmp_path).counts == {Kind.IMAGE: 1}
    assert audit(tmp_path, with_images=False).is_sound
    image.write_bytes(was)
    beside = image.with_suffix(".json")
    beside.write_text(beside.read_text().replace("0.9", "0.8"))
    assert "its sidecar says something else" in audit(tmp_path).problems[0].text
    beside.write_text("{")
    assert "its sidecar is damaged" in audit(tmp_path).problems[0].text
    image.unlink()
    assert ".png cannot be read" in audit(tmp_path).problems[0].text


def test_an_image_that_was_removed_to_make_room_is_no_problem(tmp_path: Path) -> None:
    stored = with_image(tmp_path)
    journal = recorder(tmp_path, "cd34")
    journal.image_gone(stored.path, "the disk is full")
    journal.close("told to stop", 0)
    for path in (tmp_path / stored.path, (tmp_path / stored.path).with_suffix(".json")):
        path.unlink()
    found = audit(tmp_path)
    assert (found.is_sound, found.images, found.images_gone) == (True, 0, 1)


def test_an_image_that_the_journal_does_not_know_is_found(tmp_path: Path) -> None:
    stored = with_image(tmp_path)
    (tmp_path / stored.path).with_name("00000002-reject.png").write_bytes(b"")
    (problem,) = audit(tmp_path).problems
    assert problem.text == "images/2026-01-02/ab12/00000002-reject.png: the journal knows no such image"
    (tmp_path / stored.path).with_name("00000002-reject.png").unlink()
    (tmp_path / stored.path).with_suffix(".hold").touch()
    assert audit(tmp_path).is_sound
    spoil(tmp_path, "DELETE FROM images")
    assert [Path(problem.text.partition(":")[0]).suffix for problem in audit(tmp_path).problems] == [".json", ".png"]
    assert audit(tmp_path, with_images=False).is_sound


@pytest.mark.parametrize("what", ["image", "sidecar", "folder", "row"])
def test_an_image_that_lies_elsewhere_is_found_however_right_it_is(tmp_path: Path, what: str) -> None:
    image = tmp_path / "records" / with_image(tmp_path / "records").path
    moved = {"image": image, "sidecar": image.with_suffix(".json"), "folder": image.parent, "row": image.parent}[what]
    moved.rename(tmp_path / "elsewhere")
    if what == "row":
        spoil(tmp_path / "records", "UPDATE images SET path = '../elsewhere/' || substr(path, -19)")
    else:
        moved.symlink_to(tmp_path / "elsewhere")
    said = "does not lie among the images" if what == "row" else "is a link"
    assert any(said in problem.text for problem in audit(tmp_path / "records").problems)


def test_the_images_of_a_station_may_be_on_another_disk(tmp_path: Path) -> None:
    with_image(tmp_path / "records")
    (tmp_path / "records" / "images").rename(tmp_path / "disk")
    (tmp_path / "records" / "images").symlink_to(tmp_path / "disk")
    assert audit(tmp_path / "records").is_sound


def test_it_is_said_how_many_have_no_image_and_whether_images_were_looked_at(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    done = edge_audit(tmp_path)
    assert done.returncode == 0, "images are dropped when the disk is full"
    assert "0 images, 0 more removed to make room" in done.stdout
    assert "no image: 2 rejects and 1 unknown with a frame" in done.stdout
    spoil(tmp_path, """UPDATE runs SET config = '{"keep_goods": 1}'""")
    assert "no image: 2 rejects and 1 unknown and 3 goods with a frame" in edge_audit(tmp_path).stdout
    spoil(tmp_path, """UPDATE runs SET config = '{"keep_goods": 0}'""")
    assert "good" not in edge_audit(tmp_path, "--json").stdout.partition('"without_image"')[2].partition("}")[0]
    done = edge_audit(tmp_path, "--no-images")
    assert "images: not looked at" in done.stdout
    assert "0 images" not in done.stdout
    assert json.loads(edge_audit(tmp_path, "--no-images", "--json").stdout)["images"] is None


def test_the_images_of_a_part_are_held_and_released(tmp_path: Path) -> None:
    image = tmp_path / with_image(tmp_path).path
    done = edge_audit(tmp_path, "--hold", "código 7")
    assert (done.returncode, done.stdout) == (0, f"{image}: held\n")
    assert image.with_suffix(".hold").exists()
    assert "held" in edge_audit(tmp_path, "--part", "código 7").stdout
    assert edge_audit(tmp_path, "--release", "código 7").returncode == 0
    assert not image.with_suffix(".hold").exists()


def test_the_story_of_a_part_tells_all_that_happened_to_it(tmp_path: Path) -> None:
    line_of_six(tmp_path)
    done = edge_audit(tmp_path, "--part", "part-5")
    assert done.returncode == 0
    for said in (
        "part part-5: unknown/late, verdict 5 of line1, run ab12",
        "SIMULATED",
        "captured from demo",
        "+12.50 ms  published unknown/late",
        "gate1 acknowledged: rejected",
        "a result came too late and moved nothing: score 0.25",
    ):
        assert said in done.stdout
    (told,) = json.loads(edge_audit(tmp_path, "--part", "part-5", "--json").stdout)
    assert told["verdict"]["reason"] == "late"
    assert told["late_results"][0]["score"] == 0.25


def test_a_part_that_came_twice_has_two_stories(tmp_path: Path) -> None:
    for epoch in ("ab12", "cd34"):
        journal: Recorder = recorder(tmp_path, epoch)
        enter(journal, verdict(1, epoch=epoch, part="same"))
        journal.close("told to stop", 1)
    assert edge_audit(tmp_path, "--part", "same").stdout.count("part same: good/clear") == 2


def test_no_text_of_a_record_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    name = "a\x1b[2J\r\n\u202eb\x9b"
    one = verdict(1, U, part=name).model_copy(update={"detail": "d\x1b[1m\n"})
    journal = recorder(tmp_path)
    enter(journal, one)
    journal.close("e\x1b[0m", 1)
    lines = written(tmp_path, [log_of_six(tmp_path)[0] | {"part": name}])
    for arguments in (("--part", name), ("--part", name, "--json"), ("--gate", lines), ("--part", name + "?")):
        done = edge_audit(tmp_path, *arguments)
        said = (done.stdout + done.stderr).replace("\n", "")
        assert said.isprintable(), said
    assert "part a\\x1b[2J\\r\\n\\u202eb\\x9b: unknown/late" in edge_audit(tmp_path, "--part", name).stdout


def test_a_picture_that_lay_there_before_the_trigger_is_said_to_have_and_has_no_negative_time(tmp_path: Path) -> None:
    journal = recorder(tmp_path)
    one = verdict(1)
    timing = one.timing.model_copy(update={"in_ring": one.timing.captured - 2_979_050_000})
    enter(journal, one.model_copy(update={"timing": timing}))
    journal.close("told to stop", 1)
    told = edge_audit(tmp_path, "--part", "part-1").stdout
    assert "before  in shared memory: a stored picture, which lay there before the trigger" in told
    assert "-2979" not in told


def test_a_gate_that_starts_again_after_a_torn_line_begins_a_line_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "gate.jsonl"
    whole = '{"epoch":"ab12","seq":1,"part":"a","decision":"reject","why":"defect","fate":"rejected"}\n'
    log.write_text(whole + whole[:40])
    GateLog(log).close()
    with log.open("a") as file:
        file.write(whole.replace('"seq":1', '"seq":3'))
    report = GateReport()
    assert [decision.seq for decision in read_decisions(log, report)] == [1, 3]
    assert report.is_cut
    GateLog(log).close()
    assert log.read_text().count("#cut") == 1
