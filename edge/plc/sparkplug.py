"""Sparkplug B: an edge node with one device a station on an MQTT broker, for the record; it moves nothing.

By the Eclipse Sparkplug 3.0 specification. DDATA has QoS 0 there, which no broker acknowledges: after some of them the
node subscribes again to its own commands. A broker takes the packets of a connection in order, so that its answer says
that it has the data before it, too. What it had not yet passed on to a host is lost if it is killed then: the cursor
moves when the broker has answered one more subscription, which was sent SETTLED_S after that answer.
"""

import contextlib
import json
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode

from edge.errors import ConfigError
from edge.plc.board import Board
from edge.plc.broker import BrokerThread
from edge.plc.journal_forwarding import Row
from edge.plc.settings import SparkplugTable
from edge.plc.sparkplug_metrics import BD_SEQ, DEVICE_REBIRTH, NODE_REBIRTH, Device, now_ms
from edge.plc.sparkplug_payload import LARGEST_COMMAND, Metric, Type, commands, encode
from edge.records.durable_files import write_durably

NAMESPACE = "spBv1.0"
MOST_MESSAGES = 1_000
"""Commands and states of the host that wait for the next turn; the oldest is dropped."""

LONGEST_STATE = 512
"""Bytes of a state of the host that are read."""

SETTLED_S = 5.0
"""From the broker's answer until a subscription whose answer says that the broker still runs."""

HOST_RETURN_S = 10.0
"""A broker that was started again may still have the host's old state: so long the host has for a new one."""


class _ConnectionLostError(Exception):
    """The next connection begins with a birth."""


class SparkplugNode(BrokerThread):
    """Publishes from `start` until `close`.

    NBIRTH and DBIRTH name all metrics, DDATA has each verdict of the journal and each change of a state. NDEATH is the
    broker's last will, and is published when this process leaves. A device is there while its station is heard or
    verdicts of it are to be sent.
    """

    most_unacknowledged = 5_000

    def __init__(self, board: Board, stations: list[str], name: str, table: SparkplugTable) -> None:
        """Read the cursor. Raises ChannelError, ConfigError or KeyFileError, in one line."""
        super().__init__(f"edge-plc-{name}-sparkplug", "Sparkplug", "[plc.sparkplug]", stations, table)
        self._board, self._stations = board, stations
        self._group, self._node = table.group, table.node or name
        if set(self._node) & set("+#/"):
            raise ConfigError(f"[plc.sparkplug]: the node's id {self._node!r} has +, # or /; give node")
        self._host_topic = None if table.host is None else f"{NAMESPACE}/STATE/{table.host}"
        self._devices = {station: Device() for station in stations}
        self._bd_seq = _BdSeq(table.cursor)
        self._seq = self._begun = self._batch = 0
        self._is_born = False
        self._host_ms = self._former_host_ms = -1  # time of the host's last state; the same in the former connection
        self._host_since: float | None = None  # online, from this local time on
        self._messages: deque[tuple[str, bytes]] = deque(maxlen=MOST_MESSAGES)
        self._subscribed: deque[int] = deque()
        self._barriers: dict[int, tuple[float, int | None]] = {}  # subscriptions: when they were sent, after what batch
        self._answers: deque[tuple[float, int]] = deque()  # batches that the broker has, since when
        self._client.on_socket_open = self._opened
        self._client.on_message = self._heard
        self._client.on_subscribe = self._answered

    # ------------------------------------------------------------------------------------------- the thread of paho

    def _opened(self, client: mqtt.Client, data: Any, socket: Any) -> None:
        """Right before CONNECT, which has the will."""
        payload = encode([self._bd_seq.following()], now_ms(), None)
        client.will_set(self._topic("NDEATH"), payload, qos=1, retain=False)

    def _heard(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self._messages.append((message.topic, bytes(message.payload[: LARGEST_COMMAND + 1])))

    def _answered(self, client: mqtt.Client, data: Any, number: int, reasons: Any, properties: Any) -> None:
        self._subscribed.append(number)
        if any(reason.is_failure for reason in reasons):
            self._say(f"the broker {self._table.broker} refuses the subscription to commands: {reasons[0]}")

    # ------------------------------------------------------------------------------------------- the publisher's thread

    def _turn(self) -> None:
        with contextlib.suppress(_ConnectionLostError):
            if (connection := self.connection) == 0:
                return
            if connection != self._begun:
                self._begin_connection(connection)
            self._settle()
            rebirths = self._read_messages()
            if self._host_topic is not None and (self._host_since is None or time.monotonic() < self._host_since):
                return
            if not self._is_born or None in rebirths:
                self._publish_births()
            else:
                for station in rebirths:
                    if station is not None and self._devices[station].is_born:
                        self._publish_device_birth(station)
            self._look_at_stations()
            self._forward()
            self._publish_device_deaths()

    def _begin_connection(self, connection: int) -> None:
        """Subscribe; the births follow when the host is there."""
        self._begun = connection
        self._is_born = False
        self._former_host_ms, self._host_since = self._host_ms, None
        self._barriers.clear()
        self._subscribed.clear()
        self._answers.clear()
        self._subscribe(self._topic("NCMD"))
        self._subscribe(self._topic("DCMD", "+"))
        if self._host_topic is not None:
            self._subscribe(self._host_topic)

    def _read_messages(self) -> set[str | None]:
        """Take the host's state. Returns the devices whose birth a host asks for, None among them for the node."""
        rebirths: set[str | None] = set()
        for _ in range(len(self._messages)):
            topic, content = self._messages.popleft()
            try:
                if topic == self._host_topic:
                    self._take_host(content)
                elif topic == self._topic("NCMD"):
                    rebirths |= {None} if commands(content).get(NODE_REBIRTH) is True else set()
                elif commands(content).get(DEVICE_REBIRTH) is True:
                    rebirths |= {topic.rpartition("/")[2]} & set(self._devices)
            except ValueError as error:
                self._say(f"a message on {topic} is ignored: {error}")
        return rebirths

    def _take_host(self, content: bytes) -> None:
        """Raises ValueError if it is no state. When the host goes offline, NDEATH is published, and a new connection is
        made for the next birth.
        """
        try:
            said = json.loads(content[:LONGEST_STATE])
            is_online, at_ms = said["online"] is True, int(said["timestamp"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError("no state of a host") from error
        if at_ms < self._host_ms:
            return
        self._host_ms = at_ms
        is_new = at_ms > self._former_host_ms
        self._host_since = time.monotonic() + (0 if is_new else HOST_RETURN_S) if is_online else None
        if not is_online and self._is_born:
            self._say(f"the host {self._host_topic} is offline")
            self._publish_death()
            self._disconnect()
            self.connection = 0
            self._connect()
            raise _ConnectionLostError

    def _publish_births(self) -> None:
        if not self._is_born:
            self.journals.restart()
        self._seq = 0
        at_ms = now_ms()
        rebirth = Metric(NODE_REBIRTH, Type.BOOLEAN, False, at_ms)
        self._publish("NBIRTH", None, [replace(self._bd_seq.present, at_ms=at_ms), rebirth])
        self._is_born = True
        for index, station in enumerate(self._stations):
            device = self._devices[station]
            device.is_born = False
            image = self._board.image(index)
            device.state_changes(image)
            if image.state:
                self._publish_device_birth(station)

    def _publish_device_birth(self, station: str) -> None:
        self._publish("DBIRTH", station, self._devices[station].birth())
        self._devices[station].is_born = True

    def _look_at_stations(self) -> None:
        """The states that have changed; a station that is heard again is born."""
        for index, station in enumerate(self._stations):
            device, image = self._devices[station], self._board.image(index)
            changes = device.state_changes(image)
            if device.is_born and changes:
                self._publish("DDATA", station, changes)
            elif image.state and not device.is_born:
                self._publish_device_birth(station)

    def _forward(self) -> None:
        """Verdicts that follow, and the subscription whose answer says that the broker has them."""
        if self._barriers:
            return
        self._batch += 1
        self.journals.forward(self._publish_verdict)
        if any(device.batch == self._batch for device in self._devices.values()):
            self._ask(self._batch)

    def _ask(self, batch: int | None) -> None:
        """Subscribe once more to the commands of the node, after this batch or only for the answer."""
        self._barriers[self._subscribe(self._topic("NCMD"))] = time.monotonic(), batch

    def _settle(self) -> None:
        """Move the cursor over the verdicts that the broker has had for SETTLED_S: it has answered a subscription after
        them, and another one that was sent so much later.
        """
        now = time.monotonic()
        while self._subscribed:
            if (barrier := self._barriers.pop(self._subscribed.popleft(), None)) is None:
                continue
            sent, batch = barrier
            while self._answers and sent - self._answers[0][0] >= SETTLED_S:
                self.journals.acknowledge(self._answers.popleft()[1])
            if batch is not None:
                self._answers.append((now, batch))
        if self._answers and now - self._answers[0][0] >= SETTLED_S and not self._barriers:
            self._ask(None)
        self.journals.settle()

    def _publish_verdict(self, station: str, row: Row) -> int:
        device = self._devices[station]
        device.batch = self._batch
        try:
            metrics, has_new = device.enter(row.text, row.is_backlog)
        except (AttributeError, OverflowError, RecursionError, TypeError, ValueError) as error:
            self._say(f"a verdict of {station} cannot be read or encoded and is left out: {error}")
            return self._batch
        if has_new or not device.is_born:
            self._publish_device_birth(station)
        self._publish("DDATA", station, metrics)
        return self._batch

    def _publish_device_deaths(self) -> None:
        for index, station in enumerate(self._stations):
            device = self._devices[station]
            if device.is_born and not self._board.image(index).state and device.batch != self._batch:
                self._publish("DDEATH", station, [])
                device.is_born = False

    def _publish(self, kind: str, device: str | None, metrics: list[Metric]) -> None:
        if self.connection != self._begun:
            raise _ConnectionLostError
        content = encode(metrics, now_ms(), self._seq)
        if self._client.publish(self._topic(kind, device), content, qos=0).rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise _ConnectionLostError
        self._seq = (self._seq + 1) % 256

    def _subscribe(self, topic: str) -> int:
        rc, number = self._client.subscribe(topic, qos=1)
        if rc is not MQTTErrorCode.MQTT_ERR_SUCCESS or number is None:
            raise _ConnectionLostError
        return number

    def _topic(self, kind: str, device: str | None = None) -> str:
        return f"{NAMESPACE}/{self._group}/{kind}/{self._node}" + ("" if device is None else f"/{device}")

    def _publish_death(self) -> None:
        payload = encode([self._bd_seq.present], now_ms(), None)
        self._client.publish(self._topic("NDEATH"), payload, qos=0)

    def _leave(self) -> None:
        if self._is_born and self.connection == self._begun:
            self._publish_death()


class _BdSeq:
    """The number that a death and the birth before it share: one more with each connection, 0 to 255. The file beside
    the cursor keeps it over a restart; without one it begins at any number.
    """

    def __init__(self, cursor: Path | None) -> None:
        self._file = None if cursor is None else cursor.with_name(f"{cursor.name}.bdseq")
        number = int(time.time()) % 256
        if self._file is not None:
            with contextlib.suppress(OSError, ValueError):
                number = int(self._file.read_text()) % 256
        self.present = Metric(BD_SEQ, Type.INT64, number, 0)

    def following(self) -> Metric:
        """The number of the connection that is made now."""
        number = (int(self.present.value or 0) + 1) % 256
        self.present = Metric(BD_SEQ, Type.INT64, number, now_ms())
        if self._file is not None:
            with contextlib.suppress(OSError):
                write_durably({self._file: f"{number}\n".encode()})
        return self.present
