"""The whole line: the station as edge-run starts it, its record, its gate, and a network that can be broken."""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from support.line import DEMO_BUNDLE, command, free_endpoint, ran, running_line
from support.records import fill, small_disk

from edge.channel.control_messages import AskReplay, Replayed, ReplayEnd
from edge.channel.subscriber import Subscriber
from edge.drill.drill import as_json, drill
from edge.drill.faults import PLC_FAULTS
from edge.records.audit import audit
from edge.records.audit_result import Kind
from edge.records.journal import JOURNAL, open_to_read
from edge.records.selection import Selection
from edge.records.stored_verdicts import select
from edge.security.keystore import KeyStore
from edge.verdict import Outcome, Reason, Verdict

LINE = ("--source", "demo", "--size", "320x180")


def test_in_the_drill_nothing_escapes_all_is_noticed_and_the_line_comes_back_each_time() -> None:
    outcomes, problems = drill(DEMO_BUNDLE, lambda what: None)
    unseen = [o for o in outcomes if o.recovered_ms is None or (o.is_felt and o.noticed_ms is None) or o.escapes]
    assert as_json(outcomes, problems)["passed"], (unseen, problems)
    by_name = {outcome.fault: outcome for outcome in outcomes}
    assert all(outcome.escapes == 0 and outcome.passed for outcome in outcomes)
    assert by_name["inference process killed"].unknown
    assert by_name["inference process frozen"].unknown
    assert by_name["station frozen for 2 s"].unknown
    assert by_name["network cut for 3 s, then all at once"].rejected > 40
    assert {fault.name for fault in PLC_FAULTS} < by_name.keys()
    assert by_name["edge-plc killed, started again"].lost
    assert by_name["PLC silent for 1 s"].lost
    assert by_name["PLC's network cut for 1 s, then all at once"].rejected


def test_after_kill_9_the_next_run_counts_on_says_what_is_lost_and_replays_the_one_before(tmp_path: Path) -> None:
    records = tmp_path / "records"
    with running_line(*LINE, "--rate", "50/s", "--records", records) as line:
        line.until(40)
        line.process.kill()
        line.process.wait()
    before = line.verdicts
    with running_line(*LINE, "--rate", "50/s", "--records", records) as line, line.asking() as ask:
        line.until(3)
        assert line.verdicts[0].epoch != before[0].epoch
        assert (before[0].boot, line.verdicts[0].boot) == (1, 2)
        replies = [ask(AskReplay(epoch=before[0].epoch, from_seq=1, to_seq=20))]
        while not isinstance(replies[-1], ReplayEnd):
            replies.append(ask.next())
        assert [r.verdict for r in replies if isinstance(r, Replayed)] == before[:20]
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    found = audit(records)
    kinds = {problem.kind for problem in found.problems}
    assert Kind.LOST in kinds
    assert kinds <= {Kind.LOST, Kind.IMAGE}, "an image may be stored that the journal did not hear of"
    with closing(open_to_read(records)) as journal:
        kept = [one.seq for one in select(journal, Selection(epoch=before[0].epoch))]
        lost = journal.execute("SELECT epoch, lost_from, lost_to FROM lost_ranges").fetchall()
    assert kept == list(range(1, len(kept) + 1))
    assert [tuple(one) for one in lost] == [(before[0].epoch, len(kept) + 1, None)], "whether it was heard or not"


def test_a_run_leaves_a_record_that_tells_each_part_and_keeps_its_rejects(tmp_path: Path) -> None:
    records = tmp_path / "records"
    with running_line(*LINE, "--limit", 60, "--records", records, "--keep-goods", 10) as line:
        assert line.to_the_end() == 0, line.stderr
    assert audit(records).is_sound
    kept = {int(path.name.split("-")[0]) for path in records.rglob("*.png")}
    wanted = {v.seq for v in line.verdicts if v.verdict is not Outcome.GOOD or v.seq % 10 == 0}
    assert kept <= wanted
    assert len(kept) > len(wanted) // 2, "back to back the archive may not be ready for each"
    told = ran("audit", records, "--part", line.verdicts[-1].part)
    assert told.returncode == 0
    assert f"{line.verdicts[-1].verdict}" in told.stdout


def test_on_a_full_disk_verdicts_go_on_in_time_and_an_alarm_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        with running_line(*LINE, "--rate", "20/s", "--records", disk / "records") as line:
            line.until(20)
            fill(disk)
            before = len(line.verdicts)
            line.until(before + 60)
            after = line.verdicts[before:]
            while not line.heartbeats[-1].alarms:
                line.until(len(line.verdicts) + 1)
            line.process.send_signal(signal.SIGTERM)
            assert line.to_the_end() == 0, line.stderr
        assert {v.verdict for v in after} == {Outcome.GOOD, Outcome.REJECT}
        assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))


def test_a_disk_whose_fsync_takes_two_seconds_delays_no_verdict(tmp_path: Path, slow_fsync: dict[str, str]) -> None:
    endpoint = free_endpoint()
    options = ["--bundle", DEMO_BUNDLE, "--bind", endpoint, "--records", tmp_path / "records", "--limit", 150]
    Path(slow_fsync["SLOW_FROM_NOW_ON"]).touch()
    done = subprocess.run(
        command("run", *options, *LINE, "--rate", "30/s", "--budget-ms", 1500, "--json"),
        env=os.environ | slow_fsync, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["accepted"] == 150
    assert result["unknown"] == 0, result["reasons"]


def test_two_stations_of_one_name_are_a_fault_of_the_gate(tmp_path: Path) -> None:
    ends = [free_endpoint(), free_endpoint()]
    stations = [
        subprocess.Popen(
            command("run", *LINE, "--rate", "20/s", "--bind", end, "--no-records"), stderr=subprocess.DEVNULL
        )
        for end in ends
    ]  # fmt: skip
    log = tmp_path / "gate.jsonl"
    options = ["--connect", ends[0], "--connect", ends[1], "--allow-simulated", "--log", log, "--travel-ms", 300]
    gate = subprocess.Popen(command("gate", *options), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        assert gate.stderr is not None
        said = next(line for line in gate.stderr if "FAULT" in line)
        faulted = len(log.read_text().splitlines())
        listener = Subscriber(ends[0], "line1")
        verdicts = (received for received in listener.messages(20) if isinstance(received.message, Verdict))
        assert len(list(itertools.islice(verdicts, 11))) == 11, "the stations go on"
        listener.close()
        decisions = [json.loads(line) for line in log.read_text().splitlines()]
        gate.terminate()
        assert gate.wait(20) == 1
    finally:
        for process in (*stations, gate):
            process.kill()
            process.wait()
    assert "two stations" in said
    assert not any(decision["decision"] == "pass" for decision in decisions[faulted + 1 :])


def test_a_gate_whose_key_is_revoked_is_cut_off_rejects_all_and_the_line_is_suspended(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    store.init()
    store.add("gate1")
    store.export("gate1", tmp_path / "gate1.key")
    endpoint, records, log = free_endpoint(), tmp_path / "records", tmp_path / "gate.jsonl"
    station = subprocess.Popen(
        command("run", *LINE, "--rate", "20/s", "--bind", endpoint, "--keys", store.folder, "--records", records,
                "--require", "gate1"),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    options = ["--connect", endpoint, "--keys", tmp_path / "gate1.key", "--allow-simulated", "--log", log]
    gate = subprocess.Popen(
        command("gate", *options, "--travel-ms", 500), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        while not (log.exists() and log.read_text().count('"pass"') > 3):  # the first are acknowledged then
            time.sleep(0.05)
        store.revoke("gate1")
        assert gate.stderr is not None
        assert station.stderr is not None
        assert any("refuses this key" in line for line in gate.stderr)
        said = [
            next(line for line in station.stderr if words in line) for words in ("may no longer connect", "suspend")
        ]
        station.terminate()
        assert station.wait(20) == 0
        gate.terminate()
        gate.wait(20)
    finally:
        for process in (station, gate):
            process.kill()
            process.wait()
    assert all("gate1" in line for line in said)
    decisions = [json.loads(line) for line in log.read_text().splitlines()]
    assert decisions[-1]["decision"] == "reject"
    found = audit(records, log)
    assert not any(problem.kind is Kind.ESCAPE for problem in found.problems)
    with sqlite3.connect(records / JOURNAL) as journal:
        clients = journal.execute("SELECT DISTINCT client FROM acknowledgements").fetchall()
    assert clients == [("gate1",)]


def test_a_picture_that_is_cut_off_or_of_another_shape_is_unknown_corrupt(tmp_path: Path) -> None:
    import cv2
    import numpy as np

    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)
    cv2.imwrite(str(folder / "a.jpg"), picture)
    whole = (folder / "a.jpg").read_bytes()
    (folder / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "c.jpg").write_bytes(whole[:20])
    cv2.imwrite(str(folder / "d.png"), picture.astype(np.uint16) * 256)
    cv2.imwrite(str(folder / "e.png"), picture[:8, :8])
    with running_line("--source", folder) as line:
        assert line.to_the_end() == 1
    reasons = {v.part: v.reason for v in line.verdicts}
    assert all(reasons[name] is Reason.CORRUPT for name in ("b.jpg", "c.jpg", "e.png")), reasons
    assert isinstance(line.verdicts[0], Verdict)
    assert line.verdicts[0].verdict is not Outcome.UNKNOWN
