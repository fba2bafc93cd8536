"""edge-audit --plc: every pass bit that was ever 1 belongs to an in-time final good; a tampered log is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.line import ran, running_line
from support.plc import plc_at, running_plc, until
from support.records import enter, recorder, verdict

from edge.channel.control_messages import Fate
from edge.plc.codes import Code
from edge.plc.log import PlcLog
from edge.plc.process_image import Entry, Event
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.verdict import Outcome

G, R, U = Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN
SIX = [G, G, R, G, U, R]
Line = dict[str, Any]


def records_of_six(folder: Path, client: str = "plc1") -> None:
    journal = recorder(folder)
    for seq, outcome in enumerate(SIX, 1):
        enter(journal, verdict(seq, outcome))
        journal.acknowledge("ab12", seq, Fate.PASSED if outcome is G else Fate.REJECTED, client)
    journal.close("told to stop", 6)


def log_of_six(path: Path) -> list[Line]:
    """What edge-plc wrote about them."""
    log = PlcLog(path)
    for seq, outcome in enumerate(SIX, 1):
        shown: Event = "pass" if outcome is G else "fail"
        code = {G: Code.CLEAR, R: Code.DEFECT, U: Code.LATE}[outcome]
        for event in (shown, "acknowledged"):
            log.write("line1", "order", Entry(event, "ab12", seq, f"part-{seq}", seq, code))
    log.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


def problems(folder: Path, lines: list[Line]) -> list[tuple[Kind, str]]:
    log = folder / "tampered.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [(problem.kind, problem.text) for problem in audit(folder, plc_log=log).problems]


def test_a_sound_log_is_proven(tmp_path: Path) -> None:
    records_of_six(tmp_path)
    log = tmp_path / "plc.jsonl"
    log_of_six(log)
    done = ran("audit", tmp_path, "--plc", log)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "plc: 3 pass bits: 3 proven" in done.stdout
    assert "plc: 3 fails: 2 defect, 1 late" in done.stdout
    said = json.loads(ran("audit", tmp_path, "--plc", log, "--json").stdout)["plc"]
    assert said["passes"] == {"proven": 3}


def changed(**changes: Any) -> Callable[[list[Line]], list[Line]]:
    """The line that shows part 1, changed."""
    return lambda lines: [lines[0] | changes, *lines[1:]]


TAMPERED: dict[str, tuple[Callable[[list[Line]], list[Line]], Kind, str]] = {
    "a reject passes": (
        lambda lines: [*lines[:4], lines[4] | {"event": "pass", "code": "clear"}, *lines[5:]],
        Kind.ESCAPE, "its verdict was reject/defect",
    ),
    "an unknown passes": (
        lambda lines: [*lines[:8], lines[8] | {"event": "pass", "code": "clear"}, *lines[9:]],
        Kind.ESCAPE, "its verdict was unknown/late",
    ),
    "a fail that says clear": (
        lambda lines: [*lines[:4], lines[4] | {"code": "clear"}, *lines[5:]], Kind.ESCAPE, "its verdict was reject",
    ),
    "a pass of another epoch": (changed(epoch="cd34"), Kind.ESCAPE, "the journal has no such verdict"),
    "a pass of another part": (changed(part="part-2"), Kind.ESCAPE, "the verdict was good for part part-1"),
    "a pass with another number": (changed(number=2), Kind.ESCAPE, "the number is not that of verdict 1"),
    "a number that the PLC never gave": (changed(numbers="plc"), Kind.ESCAPE, "triggered no such part"),
    "a pass without a verdict": (changed(seq=None), Kind.ESCAPE, "it has no verdict"),
    "two passes on one verdict": (lambda lines: [lines[0], *lines], Kind.ESCAPE, "second pass bit on one verdict"),
    "a pass that was taken out": (lambda lines: lines[1:], Kind.PLC, "the log does not say it was shown"),
    "both its lines taken out": (lambda lines: lines[2:], Kind.PLC, "the log has no pass bit of it"),
    "a pass that says defect": (changed(code="defect"), Kind.PLC, "contradicts itself: pass, defect"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_log_is_found(tmp_path: Path, name: str) -> None:
    tamper, kind, text = TAMPERED[name]
    records_of_six(tmp_path)
    found = problems(tmp_path, tamper(log_of_six(tmp_path / "plc.jsonl")))
    assert any(one is kind and text in said for one, said in found), found


def test_lines_of_another_station_are_counted_and_not_judged(tmp_path: Path) -> None:
    records_of_six(tmp_path)
    lines = log_of_six(tmp_path / "plc.jsonl")
    assert problems(tmp_path, [*lines, lines[0] | {"station": "line2", "epoch": "ff"}]) == []


def test_a_log_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    records_of_six(tmp_path)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"decision": "pass"}\n')
    for log, text in ((bad, "line 1 is no line of edge-plc"), (tmp_path / "none", "give the log that edge-plc wrote")):
        done = ran("audit", tmp_path, "--plc", log)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert text in done.stderr
    assert "leave out --part" in ran("audit", tmp_path, "--plc", bad, "--part", "x").stderr


def test_the_pass_bits_of_a_real_run_are_proven_by_its_journal(tmp_path: Path) -> None:
    records, log = tmp_path / "records", tmp_path / "plc.jsonl"
    with running_line(
        "--source", "demo", "--size", "320x180", "--limit", 30, "--records", records, "--wait-subscribers", 2
    ) as line:
        options = ("--insecure", "--allow-simulated", "--hold-ms", 20_000, "--log", log)
        with running_plc(tmp_path, "--connect", line.endpoint, *options) as bridge, plc_at(bridge.port) as plc:
            until(lambda: plc.cycle() is not None and len(plc.decided) >= 8)
            line.to_the_end()
    found = audit(records, plc_log=log)
    assert found.problems == []
    assert found.plc is not None
    assert found.plc.passes["proven"] >= 1
    assert set(found.plc.passes) == {"proven"}
