"""What the buses of edge-plc show when its loop hangs, while their own threads go on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client
from support.broker import Broker, free_port, listening, needs_mosquitto
from support.line import free_endpoint
from support.plc import plc_at, until
from support.scripted_station import peer
from support.sparkplug_host import hosting

from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.cli.plc_bridge import open_bridge, read_settings
from edge.plc import board
from edge.plc.bridge import Bridge
from edge.plc.registers import Status
from edge.plc.vision_nodes import NAMESPACE

ALIVE_AT, STATE_AT = 1, 13


@contextmanager
def turning(bridge: Bridge) -> Iterator[None]:
    """The loop runs in a thread while the context is open; outside of it, it hangs."""
    is_over = threading.Event()

    def turn() -> None:
        while not is_over.is_set():
            bridge.turn()

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def opcua_values(port: int, *paths: str) -> list[Any]:
    """The values of nodes of the station; None if one is not known now, or the server does not listen yet."""

    async def read() -> list[Any]:
        async with Client(f"opc.tcp://127.0.0.1:{port}/edge", timeout=20) as client:
            index = await client.get_namespace_index(NAMESPACE)
            nodes = [client.get_node(f"ns={index};s=line1.VisionStateMachine.{path}") for path in paths]
            found = [await node.read_data_value(raise_on_bad_status=False) for node in nodes]
            return [one.Value.Value if one.StatusCode.is_good() else None for one in found]

    try:
        return asyncio.run(read())
    except OSError:
        return [None for _ in paths]


@needs_mosquitto
def test_a_hung_loop_is_a_station_that_is_not_heard_on_every_bus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "HUNG_NS", 1_000_000_000)
    broker, endpoint, opcua = Broker(tmp_path / "broker"), free_endpoint(), free_port()
    file = tmp_path / "line.toml"
    file.write_text(
        f'[plc]\ninsecure = true\nnumbers = "plc"\n[[plc.stations]]\nstation = "line1"\nconnect = "{endpoint}"\n'
        f'[plc.mqtt]\nbroker = "127.0.0.1:{broker.port}"\n[plc.sparkplug]\nbroker = "127.0.0.1:{broker.port}"\n'
        f'[plc.opcua]\nbind = "{opcua}"\n'
    )
    with ExitStack() as at_end:
        at_end.callback(broker.stop)
        broker.start()
        listener, host = at_end.enter_context(listening(broker)), at_end.enter_context(hosting(broker.port))
        at_end.enter_context(peer(endpoint, neighbour_endpoint(endpoint, CONTROL)))
        told: list[str] = []
        bridge = open_bridge(read_settings(file, {"modbus": "0"}), lambda *_: None, told.append, at_end)
        plc = at_end.enter_context(plc_at(int(told[0].rpartition(":")[2])))

        def mqtt() -> dict[str, Any]:
            states = listener.heard("edge/line1/state")
            return states[-1] if states else {"state": None, "ready": None}

        def sparkplug() -> list[str]:
            return [one.kind for one in host.messages if one.device is not None]

        def shows_the_station() -> bool:
            return bool(
                {Status.READY, Status.TRIGGER_READY} <= set(Status(plc.read()[0]))
                and mqtt()["ready"]
                and sparkplug()[-1:] not in ([], ["DDEATH"])
                and opcua_values(opcua, "State", "Ready") == ["executing", True]
            )

        with turning(bridge):
            until(shows_the_station, 0.1)
        until(lambda: Status(plc.read()[0]) & (Status.READY | Status.TRIGGER_READY) == Status(0))
        alive = plc.read()[ALIVE_AT]
        until(lambda: (mqtt()["state"], mqtt()["ready"]) == (None, False))
        until(lambda: sparkplug()[-1] == "DDEATH")
        until(lambda: opcua_values(opcua, "CurrentState", "State", "Ready") == [None, None, False], 0.1)
        assert (plc.read()[ALIVE_AT], plc.read()[STATE_AT]) == (alive, 0)
        with turning(bridge):
            until(shows_the_station, 0.1)
