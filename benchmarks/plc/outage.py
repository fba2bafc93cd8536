"""A broker that is away in the middle of a run: what reaches it afterwards, and what the PLC reads meanwhile."""

import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.markdown import machine_words, paragraph, table
from benchmarks.plc.broker import BUSES, Broker, Listener, listening
from benchmarks.plc.client import PollingPlc, Seen
from benchmarks.plc.page import quantile
from benchmarks.plc.runs import PATIENCE_S, examine, running_plc
from edge.bench import machine
from edge.channel.endpoints import free_endpoint
from edge.plc.registers import Status
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import select
from edge.station.process.runner import EdgeRun

RATE, CYCLE_MS = 20, 20.0
AROUND_S = 20
"""The line runs so long before and after the outage."""

TITLE = "## A broker that is away\n"
TEXT = """\
Written by `python -m benchmarks.plc --broker-outage S --docs DIR`. A line runs with its records, and `edge-plc` serves
a polling PLC, a plain MQTT topic and a Sparkplug B edge node at once; both go to one mosquitto, which is stopped and
started again. Each verdict of the journal is looked for among those that a listener got, whose session stays. Lost are
verdicts that never came, out of order those that came after a later one, repeated those that came more than once.
Caught up says how long after its start the broker had passed on the last verdict that was judged without it.
"""
Key = tuple[str, int]


def outage_run(folder: Path, away_s: float, **options: Any) -> dict[str, Any]:
    """A run with a broker that is away for `away_s` seconds. Returns the counts of each bus and of the PLC."""
    folder.mkdir(parents=True)
    endpoint, broker, file = free_endpoint(), Broker(folder / "broker"), folder / "plc.toml"
    for bus in ("mqtt", "sparkplug"):
        (folder / f"{bus}.cursor").write_text('{"line1": {"rowid": 0, "epoch": "", "seq": 0}}')
    shared = f'broker = "127.0.0.1:{broker.port}"\nrecords = {{ line1 = "records" }}\ncursor = '
    file.write_text(f'[plc.mqtt]\n{shared}"mqtt.cursor"\n[plc.sparkplug]\nhost = "scada"\n{shared}"sparkplug.cursor"\n')
    broker.start()
    station = EdgeRun(
        bind=endpoint, limit=int(RATE * (away_s + 2 * AROUND_S)), rate=f"{RATE}/s", records=folder / "records",
        keep_gib=0.02, wait_subscribers=1, log=folder / "station.log", **options,
    )  # fmt: skip
    try:
        with (
            listening(broker.port) as listener,
            running_plc(folder, endpoint, "--config", file.absolute()) as port,
            closing(PollingPlc(port)) as plc,
        ):
            window = _poll(plc, station, broker, away_s)
            expected = _journal(folder)
            _wait_for(listener, expected)
        station.process.wait(PATIENCE_S)
    finally:
        station.stop()
        broker.stop()
    found = examine(folder, plc)
    stopped_ns, started_ns = window
    buses = {bus: count(listener, bus, expected, window) for bus in BUSES}
    return found | {
        "machine": machine(), "away_s": (started_ns - stopped_ns) / 1e9, "buses": buses,
        "historical": listener.historical,
        "latencies": latencies(plc.seen, expected, window, max(one["caught_up_s"] for one in buses.values())),
    }  # fmt: skip


def _poll(plc: PollingPlc, station: EdgeRun, broker: Broker, away_s: float) -> tuple[int, int]:
    """Until the station has ended and no result is shown any more. Returns when the broker went and came."""
    while not plc.seen:
        plc.cycle()
        time.sleep(CYCLE_MS / 1e3)
    begun = time.monotonic()
    stopped_ns = started_ns = 0
    while True:
        status, now = plc.cycle(), time.monotonic()
        if not stopped_ns and now - begun > AROUND_S:
            stopped_ns = time.monotonic_ns()
            broker.stop()
        if stopped_ns and not started_ns and now - begun > AROUND_S + away_s:
            broker.start()
            started_ns = time.monotonic_ns()
        if started_ns and station.process.poll() is not None and Status.VALID not in status:
            return stopped_ns, started_ns
        time.sleep(CYCLE_MS / 1e3)


def _journal(folder: Path) -> dict[Key, int]:
    """The verdicts in their order, with the local time of their publication in nanoseconds."""
    with closing(open_to_read(folder / "records")) as journal:
        return {(stored.epoch, stored.seq): stored.verdict.timing.published for stored in select(journal)}


def _wait_for(listener: Listener, expected: dict[Key, int]) -> None:
    """Until both buses have brought everything, or nothing comes any more for a minute."""
    came, ends = 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        if all(len({key for key, _ in listener.came[bus]}) >= len(expected) for bus in BUSES):
            return
        if (now := sum(map(len, listener.came.values()))) != came:
            came, ends = now, time.monotonic() + PATIENCE_S
        time.sleep(1.0)


def count(listener: Listener, bus: str, expected: dict[Key, int], window: tuple[int, int]) -> dict[str, Any]:
    """What came on a bus, against what was published when, and between which times the broker was away."""
    stopped_ns, started_ns = window
    first: dict[Key, int] = {}
    for key, at_ns in listener.came[bus]:
        first.setdefault(key, at_ns)
    place = {key: number for number, key in enumerate(expected)}
    latest, late = -1, 0
    for key in first:
        late += place.get(key, -1) < latest
        latest = max(latest, place.get(key, -1))
    away = [key for key, at_ns in expected.items() if stopped_ns <= at_ns < started_ns]
    arrivals = [first[key] for key in away if key in first]
    return {
        "away": len(away),
        "arrived": len(first),
        "lost": len(expected.keys() - first.keys()),
        "out_of_order": late,
        "repeated": len(listener.came[bus]) - len(first),
        "caught_up_s": (max(arrivals, default=started_ns) - started_ns) / 1e9,
    }


def latencies(
    seen: Iterable[Seen], expected: dict[Key, int], window: tuple[int, int], caught_up_s: float
) -> dict[str, list[float]]:
    """From the publication to the PLC in milliseconds: with the broker, without it, and while it gets what it missed,
    for `caught_up_s` from its start on.
    """
    published = {(int(epoch[:8], 16), seq): at_ns for (epoch, seq), at_ns in expected.items()}
    stopped_ns, started_ns = window
    found: dict[str, list[float]] = {"there": [], "away": [], "catching up": []}
    for one in seen:
        at_ns = published[one.epoch, one.seq]
        if not stopped_ns <= at_ns < started_ns + caught_up_s * 1e9:
            phase = "there"
        else:
            phase = "away" if at_ns < started_ns else "catching up"
        found[phase].append((one.at_ns - at_ns) / 1e6)
    return found


def render_outage(result: dict[str, Any]) -> str:
    """The section of the page."""
    counts = ("away", "arrived", "lost", "out_of_order", "repeated")
    rows = [
        (bus, f"{result['away_s']:.0f} s", *(f"{one[key]:,}" for key in counts), f"{one['caught_up_s']:.1f} s")
        for bus, one in result["buses"].items()
    ]
    heads = ("bus", "broker away", "judged meanwhile", "arrived", "lost", "out of order", "repeated", "caught up")
    latency = [
        (name, *(f"{quantile(values, share):.2f}" for share in (0.5, 0.99)), f"{max(values, default=0):.2f}")
        for name, values in result["latencies"].items()
    ]
    return "\n".join(
        [
            TITLE,
            paragraph(TEXT),
            paragraph(machine_words(result["machine"]) + "."),
            table(heads, rows),
            paragraph(
                f"{result['historical']:,} verdicts came over Sparkplug as historical. Of {result['parts']:,} parts "
                f"the PLC saw {result['shown']:,} results: {result['escapes']} escapes, {result['lost']} lost, "
                f"{result['twice']} twice, {result['dropped']} dropped; {result['proven']:,} of "
                f"{result['pass_bits']:,} pass bits are proven. From the publication of a verdict to the PLC, "
                f"which reads each {CYCLE_MS:g} ms, in ms:"
            ),
            table(("broker", "p50", "p99", "max"), latency),
        ]
    )


def wrong(result: dict[str, Any]) -> int:
    """What may not be: lost and disordered verdicts, and what a PLC may not see."""
    buses = sum(one[key] for one in result["buses"].values() for key in ("lost", "out_of_order"))
    return int(buses + sum(result[key] for key in ("escapes", "lost", "twice")) + len(result["problems"]))
