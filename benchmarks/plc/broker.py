"""mosquitto as a broker that is stopped and started, and a listener on both MQTT buses of edge-plc."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection, create_server
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import EdgeError
from edge.plc.sparkplug_payload import Payload

PATIENCE_S = 60.0
HOST = "spBv1.0/STATE/scada"
BUSES = ("MQTT", "Sparkplug B")


class Broker:
    """mosquitto on a free port; it keeps what is queued for a listener over a restart."""

    def __init__(self, folder: Path) -> None:
        """Write its configuration. `start` raises EdgeError if it does not answer, OSError if it is not installed."""
        with create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        folder.mkdir(parents=True)
        self._folder = folder.absolute()
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true",
                 f"persistence_location {self._folder}/", "max_queued_messages 0", "user root")  # fmt: skip
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                ["mosquitto", "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            try:
                create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise EdgeError(f"mosquitto does not answer: {(self._folder / 'log.txt').read_text()}")

    def stop(self) -> None:
        """Stop it, in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None


@dataclass
class Listener:
    """What came on each bus, as (epoch, seq) and the local time in nanoseconds, in the order of arrival."""

    came: dict[str, list[tuple[tuple[str, int], int]]] = field(default_factory=lambda: {bus: [] for bus in BUSES})
    historical: int = 0
    is_there: bool = False

    def connected(self, client: mqtt.Client, *_: Any) -> None:
        """Subscribe, on each connection."""
        client.subscribe([("edge/+/verdict", 1), ("spBv1.0/edge/DDATA/#", 1)])

    def subscribed(self, client: mqtt.Client, *_: Any) -> None:
        """Say as a Sparkplug host that it is online."""
        client.publish(HOST, json.dumps({"online": True, "timestamp": time.time_ns() // 1_000_000}), 1, True)
        self.is_there = True

    def take(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        """Note a verdict."""
        at_ns = time.monotonic_ns()
        if message.topic.startswith("edge/"):
            said = json.loads(message.payload)
            self.came["MQTT"].append(((said["epoch"], said["seq"]), at_ns))
            return
        metrics = {metric.name: metric for metric in Payload.FromString(bytes(message.payload)).metrics}
        if "Result/Verdict" in metrics:
            key = metrics["Station/Epoch"].string_value, metrics["Station/Seq"].long_value
            self.came["Sparkplug B"].append((key, at_ns))
            self.historical += metrics["Result/Verdict"].is_historical


@contextmanager
def listening(port: int) -> Iterator[Listener]:
    """A listener whose session stays when the broker goes."""
    listener = Listener()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
    client.reconnect_delay_set(1, 1)
    client.on_connect, client.on_subscribe, client.on_message = listener.connected, listener.subscribed, listener.take
    client.will_set(HOST, json.dumps({"online": False, "timestamp": time.time_ns() // 1_000_000}), 1, True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        ends = time.monotonic() + PATIENCE_S
        while not listener.is_there and time.monotonic() < ends:
            time.sleep(0.05)
        yield listener
    finally:
        client.disconnect()
        client.loop_stop()
