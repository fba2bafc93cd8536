"""A station with all buses of edge-plc attached against the same station without, in turns."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from asyncua import Client
from asyncua.ua import UaError

from benchmarks.markdown import paragraph, table
from benchmarks.plc.broker import Broker, listening
from benchmarks.plc.client import PollingPlc
from benchmarks.plc.page import quantile
from benchmarks.plc.runs import poll, running_plc
from edge.channel.endpoints import free_endpoint
from edge.errors import EdgeError
from edge.plc.vision_nodes import NAMESPACE
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import select
from edge.station.process.runner import EdgeRun

PATIENCE_S = 60.0
NONE, ALL = "none", "Modbus TCP, MQTT, Sparkplug B, OPC UA"
TITLE = "## A station with all buses and without\n"
WARM_UP = 20
"""Parts at the beginning of a turn that do not count."""

CONFIG = """
[plc.mqtt]
broker = "127.0.0.1:{broker}"
records = {{ line1 = "{records}" }}
cursor = "{folder}/mqtt-cursor.json"

[plc.sparkplug]
broker = "127.0.0.1:{broker}"
group = "edge"
records = {{ line1 = "{records}" }}
cursor = "{folder}/sparkplug-cursor.json"

[plc.opcua]
bind = "127.0.0.1:{opcua}"
"""


def beside_run(folder: Path, rounds: int, parts: int, rate: str, cycle_ms: float) -> dict[str, Any]:
    """The shipped bundle on the built-in line, `rounds` turns each of `parts` parts; ages in ms from exposure to
    publication.
    """
    ages: dict[str, list[list[float]]] = {NONE: [], ALL: []}
    for number in range(rounds):
        for buses, found in ages.items():
            place = folder / f"{number}-{'all' if buses == ALL else 'none'}"
            place.mkdir(parents=True)
            found.append(_turn(place, buses == ALL, parts, rate, cycle_ms))
    return {"ages_ms": ages, "parts": parts, "rounds": rounds, "rate": rate, "cycle_ms": cycle_ms}


def _turn(folder: Path, with_buses: bool, parts: int, rate: str, cycle_ms: float) -> list[float]:
    endpoint, records = free_endpoint(), folder / "records"
    station = EdgeRun(
        bind=endpoint, limit=parts, records=records, keep_gib=0.02, log=folder / "station.log",
        source="demo", rate=rate, wait_subscribers=1 if with_buses else 0,
    )  # fmt: skip
    try:
        with ExitStack() as until:
            if with_buses:
                _attach(folder, endpoint, records, station, cycle_ms, until)
            else:
                station.process.wait()
    finally:
        station.stop()
    with closing(open_to_read(records)) as journal:
        return [stored.verdict.age_ms for stored in select(journal)][WARM_UP:]


def _attach(folder: Path, endpoint: str, records: Path, station: EdgeRun, cycle_ms: float, until: ExitStack) -> None:
    """Read everything on all buses until the station has ended."""
    broker = Broker(folder / "broker")
    until.callback(broker.stop)
    broker.start()
    listener = until.enter_context(listening(broker.port))
    opcua = int(free_endpoint().rpartition(":")[2])
    config = folder / "plc.toml"
    said = CONFIG.format(broker=broker.port, records=records.absolute(), folder=folder.absolute(), opcua=opcua)
    config.write_text(said, encoding="utf-8")
    port = until.enter_context(running_plc(folder, endpoint, "--config", config))
    plc = until.enter_context(closing(PollingPlc(port)))
    until.enter_context(_subscribed(opcua))
    poll(plc, station, cycle_ms)
    if silent := [bus for bus, came in listener.came.items() if not came]:
        raise EdgeError(f"no verdict came over {' and '.join(silent)}: nothing was measured with it")


@contextmanager
def _subscribed(port: int) -> Iterator[None]:
    """An OPC UA client in a thread that subscribes to each result."""
    is_over = threading.Event()

    results: list[Any] = []

    class Results:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            """Take a result."""
            results.append(value)

    async def listen() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError, asyncio.TimeoutError, UaError):
                async with Client(f"opc.tcp://127.0.0.1:{port}/edge") as client:
                    index = await client.get_namespace_index(NAMESPACE)
                    node = client.get_node(f"ns={index};s=line1.ResultManagement.Result")
                    subscription = await client.create_subscription(50, Results())
                    await subscription.subscribe_data_change(node, queuesize=100)
                    while not is_over.is_set():
                        await asyncio.sleep(0.1)
            await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(listen()), daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(PATIENCE_S)
    if not any(results):
        raise EdgeError("the OPC UA client got no result: nothing was measured with it")


def render_beside(result: dict[str, Any]) -> str:
    """The section of the page."""
    rows = []
    for buses, turns in result["ages_ms"].items():
        together = [age for turn in turns for age in turn]
        each = ", ".join(f"{quantile(turn, 0.99):.1f}" for turn in turns)
        rows.append((buses, f"{quantile(together, 0.5):.2f}", f"{quantile(together, 0.99):.2f}", each))
    return "\n".join(
        [
            TITLE,
            table(("buses", "p50", "p99", "p99 of each turn"), rows, words=1),
            paragraph(
                f"From exposure to publication, in ms: the shipped bundle on the built-in line, {result['rate']}, "
                f"{result['rounds']} turns of {result['parts']:,} parts each, in turns. With all buses a PLC polls "
                f"each {result['cycle_ms']:g} ms, mosquitto and a subscriber take MQTT and Sparkplug B, and an OPC UA "
                "client subscribes to the results; all of that on this machine, beside the station."
            ),
        ]
    )
