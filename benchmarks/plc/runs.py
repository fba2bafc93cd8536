"""The runs: a station that edge-run starts, with its records, edge-plc, and a PLC that polls."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.plc.client import PollingPlc
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.plc.registers import Status
from edge.records.audit import audit
from edge.records.gate_log import read_lines
from edge.records.journal import open_to_read
from edge.records.plc_log import PlcLine
from edge.records.stored_verdicts import select
from edge.station.process.runner import EdgeRun
from edge.verdict import Outcome, Verdict

PATIENCE_S = 60.0


@contextmanager
def running_plc(folder: Path, endpoint: str, *options: object) -> Iterator[int]:
    """`edge-plc` on a free port, which is yielded; killed at the end."""
    command = [sys.executable, "-P", "-m", "edge.cli.plc", "--connect", endpoint, "--modbus", "0", "--insecure"]
    command += ["--allow-simulated", "--log", str(folder / "plc.jsonl"), *map(str, options)]
    said = folder / "plc.txt"
    with said.open("w") as out:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=out)
    try:
        ends = time.monotonic() + PATIENCE_S
        while (found := re.search(r"Modbus TCP at .*:(\d+)", said.read_text())) is None:
            if process.poll() is not None or time.monotonic() > ends:
                raise EdgeError(f"edge-plc did not start: {said.read_text()}")
            time.sleep(0.05)
        yield int(found[1])
        process.terminate()
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()


def line_run(folder: Path, parts: int, cycle_ms: float, **options: Any) -> dict[str, Any]:
    """A run of `parts` parts with a PLC that polls each `cycle_ms` milliseconds, 0 for as fast as it can; `options` are
    those of edge-run. Returns counts, latencies in milliseconds, and what the audit says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = free_endpoint()
    station = EdgeRun(
        bind=endpoint, limit=parts, records=folder / "records", keep_gib=0.02, wait_subscribers=1,
        log=folder / "station.log", **options,
    )  # fmt: skip
    try:
        with running_plc(folder, endpoint) as port, closing(PollingPlc(port)) as plc:
            begun = time.monotonic()
            poll(plc, station, cycle_ms)
            took_s = time.monotonic() - begun
        station.process.wait(PATIENCE_S)
    finally:
        station.stop()
    return examine(folder, plc) | {"cycle_ms": cycle_ms, "took_s": took_s}


def poll(plc: PollingPlc, station: EdgeRun, cycle_ms: float) -> None:
    """Until the station has ended and no result is shown any more."""
    due, checked, is_over = time.monotonic(), 0.0, False
    while True:
        status = plc.cycle()
        now = time.monotonic()
        if now - checked > 0.5:
            checked = now
            if is_over and Status.VALID not in status:
                return
            is_over = station.process.poll() is not None
        due = max(due + cycle_ms / 1e3, now)
        if due > now:
            time.sleep(due - now)


def examine(folder: Path, plc: PollingPlc) -> dict[str, Any]:
    """Each part of the journal against what the PLC saw, and the log of edge-plc against both."""
    verdicts: dict[tuple[int, int], Verdict] = {}
    with closing(open_to_read(folder / "records")) as journal:
        for stored in select(journal):
            verdict = stored.verdict
            verdicts[int(verdict.epoch[:8], 16), verdict.seq] = verdict
    lines = list(read_lines(folder / "plc.jsonl", PlcLine, "line", "the log"))
    dropped = {line.seq for line in lines if line.event == "overrun"}
    counts = Counter((one.epoch, one.seq) for one in plc.seen)
    passed = [verdicts.get((one.epoch, one.seq)) for one in plc.seen if one.passes]
    latencies = [(one.at_ns - verdicts[one.epoch, one.seq].timing.published) / 1e6 for one in plc.seen
                 if (one.epoch, one.seq) in verdicts and counts[one.epoch, one.seq] == 1]  # fmt: skip
    found = audit(folder / "records", with_images=False, plc_log=folder / "plc.jsonl")
    assert found.plc is not None
    goods = sum(verdict.verdict is Outcome.GOOD for verdict in verdicts.values())
    return {
        "parts": len(verdicts),
        "good": goods,
        "shown": len(plc.seen),
        "passed": len(passed),
        "escapes": sum(verdict is None or verdict.verdict is not Outcome.GOOD for verdict in passed),
        "lost": len([key for key in verdicts if key not in counts and key[1] not in dropped]),
        "twice": len([key for key, count in counts.items() if count > 1]),
        "dropped": len(dropped),
        "goods_rejected": goods - len(passed),
        "proven": found.plc.passes["proven"],
        "pass_bits": found.plc.passes.total(),
        "problems": [problem.text for problem in found.problems],
        "latency_ms": latencies,
    }


def trigger_run(folder: Path, parts: int, cycle_ms: float, every_ms: float) -> dict[str, Any]:
    """Parts that the PLC triggers, each `every_ms`, at the shipped bundle: from the trigger bit to the readable result.

    Returns latencies in milliseconds, and the samples of the PLC for the timing diagram.
    """
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = free_endpoint()
    station = EdgeRun(
        bind=endpoint, limit=parts, records=folder / "records", wait_subscribers=1, log=folder / "station.log",
        source="demo", trigger="external",
    )  # fmt: skip
    written: dict[int, int] = {}
    try:
        with running_plc(folder, endpoint, "--numbers", "plc") as port, closing(PollingPlc(port, samples=[])) as plc:
            ends = time.monotonic() + PATIENCE_S
            while Status.TRIGGER_READY not in plc.cycle() and time.monotonic() < ends:
                time.sleep(cycle_ms / 1e3)
            for number in range(1001, 1001 + parts):
                _one_trigger(plc, number, written, cycle_ms, every_ms)
        station.process.wait(PATIENCE_S)
    finally:
        station.stop()
    seen = {one.number: one.at_ns for one in plc.seen}
    latencies = [(seen[number] - at_ns) / 1e6 for number, at_ns in written.items() if number in seen]
    assert plc.samples is not None
    return {"triggered": len(written), "latency_ms": latencies, "samples": plc.samples, "seen": plc.seen,
            "cycle_ms": cycle_ms, "every_ms": every_ms}  # fmt: skip


def _one_trigger(plc: PollingPlc, number: int, written: dict[int, int], cycle_ms: float, every_ms: float) -> None:
    """Trigger, hold the bit until it is acknowledged, and read until the next part is due and this one is decided."""
    begun = time.monotonic()
    ends = begun + PATIENCE_S
    written[number] = time.monotonic_ns()
    plc.trigger(True, number)
    is_held = True
    while time.monotonic() < ends:
        status = plc.cycle()
        if is_held and status & (Status.TRIGGER_ACKNOWLEDGED | Status.MISSED_TRIGGER):
            is_held = False
            plc.trigger(False)
        is_decided = bool(plc.seen) and plc.seen[-1].number == number and Status.VALID not in status
        if is_decided and not is_held and time.monotonic() - begun >= every_ms / 1e3:
            return
        time.sleep(cycle_ms / 1e3)
