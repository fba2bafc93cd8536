"""A host application of Sparkplug B that shares no code with edge-plc: its own reading of protocol buffers, and its
own rules for what an edge node may send.
"""

import contextlib
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from support.plc import until

NAME, TIMESTAMP, DATATYPE, HISTORICAL, NULL = 1, 3, 4, 5, 7
REBIRTH = {"NCMD": "Node Control/Rebirth", "DCMD": "Device Control/Rebirth"}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        size, at = (8, at) if key & 7 == 1 else (4, at) if key & 7 == 5 else _varint(data, at)
        yield key >> 3, data[at : at + size]
        at += size


@dataclass
class Seen:
    """A metric."""

    value: Any = None
    type: int = 0
    at_ms: int = 0
    is_historical: bool = False


@dataclass
class Heard:
    """A message of the edge node."""

    kind: str
    device: str | None
    qos: int
    seq: int | None = None
    at_ms: int = 0
    metrics: dict[str, Seen] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.metrics[name].value

    @property
    def is_historical(self) -> bool:
        """Whether all metrics are historical, or none."""
        said = {metric.is_historical for metric in self.metrics.values()}
        assert len(said) == 1
        return said == {True}


def heard(topic: str, payload: bytes, qos: int) -> Heard:
    """Decode a message by the field numbers of the specification."""
    _, _, kind, _, *device = topic.split("/")
    message = Heard(kind, device[0] if device else None, qos)
    for number, value in _fields(payload):
        if number == 1:
            message.at_ms = value
        elif number == 3:
            message.seq = value
        elif number == 2:
            metric, said = Seen(), dict(_fields(value))
            metric.type, metric.at_ms = said.get(DATATYPE, 0), said[TIMESTAMP]
            metric.is_historical = bool(said.get(HISTORICAL))
            found = {one: said[one] for one in said if one >= 10}
            assert len(found) == (0 if said.get(NULL) else 1), said
            for one, raw in found.items():
                metric.value = {11: int, 14: bool, 15: lambda text: text.decode()}.get(
                    one, lambda eight: struct.unpack("<d", eight)[0]
                )(raw)
            message.metrics[said[NAME].decode()] = metric
    return message


class SparkplugHost:
    """Hears an edge node of the group `edge`, and sends it commands. With an id it says when it is online."""

    def __init__(self, port: int, host_id: str | None, reconnect_s: int) -> None:
        self.messages: list[Heard] = []
        self.is_subscribed = False
        self._state = None if host_id is None else f"spBv1.0/STATE/{host_id}"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(reconnect_s, reconnect_s)
        self._client.on_connect = lambda client, *_: client.subscribe([("spBv1.0/edge/#", 1)])
        self._client.on_subscribe = self._subscribed
        self._client.on_message = lambda _, __, one: self._take(one)
        self._client.on_disconnect = lambda *_: setattr(self, "is_subscribed", False)
        if self._state is not None:
            self._client.will_set(self._state, self._said(False), qos=1, retain=True)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        until(lambda: self.is_subscribed)

    def _said(self, is_online: bool) -> str:
        return json.dumps({"online": is_online, "timestamp": time.time_ns() // 1_000_000})

    def _subscribed(self, *_: Any) -> None:
        self.is_subscribed = True
        if self._state is not None:
            self._client.publish(self._state, self._said(True), qos=1, retain=True)

    def _take(self, message: mqtt.MQTTMessage) -> None:
        if "CMD/" not in message.topic:
            self.messages.append(heard(message.topic, bytes(message.payload), message.qos))

    def of(self, kind: str) -> list[Heard]:
        """The messages of a kind."""
        return [one for one in self.messages if one.kind == kind]

    @property
    def kinds(self) -> list[str]:
        """The kinds of all messages, in order."""
        return [one.kind for one in self.messages]

    @property
    def verdicts(self) -> list[Heard]:
        return [one for one in self.of("DDATA") if "Result/Verdict" in one.metrics]

    def command(self, kind: str, device: str = "") -> None:
        """Ask for a rebirth."""
        name = REBIRTH[kind].encode()
        metric = bytes([0x0A, len(name)]) + name + b"\x20\x0b\x70\x01"
        self._client.publish(f"spBv1.0/edge/{kind}/plc1{device and '/' + device}", bytes([0x12, len(metric)]) + metric)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish anything."""
        self._client.publish(topic, payload, qos=1)

    def leave(self) -> None:
        """Say so, if it has an id, and disconnect."""
        if self._state is not None:
            with contextlib.suppress(RuntimeError):  # the broker is away
                self._client.publish(self._state, self._said(False), qos=1, retain=True).wait_for_publish(10)
        self._client.disconnect()
        self._client.loop_stop()

    def check(self) -> None:
        """What the specification asks of the messages of each connection: QoS 0, births first and with all metrics,
        `seq` from 0 without a gap and from 255 to 0, NDEATH with the `bdSeq` of the birth before it; types in each.
        """
        seq, bd_seq, known = -1, -1, dict[str, set[str]]()
        for one in self.messages:
            assert abs(one.at_ms - time.time() * 1000) < 600_000
            if one.kind == "NDEATH":
                assert (one.seq, one["bdSeq"]) == (None, bd_seq)
                known = {}
                continue
            assert one.qos == 0
            if one.kind == "NBIRTH":
                seq, bd_seq, known = -1, one["bdSeq"], {}
                assert one["Node Control/Rebirth"] is False
            seq = (seq + 1) % 256
            assert one.seq == seq, one
            assert all(metric.type for metric in one.metrics.values()), one
            if one.kind == "DBIRTH":
                known[str(one.device)] = set(one.metrics)
            elif one.device is not None:
                assert set(one.metrics) <= known[one.device], one
            if one.kind == "DDEATH":
                del known[str(one.device)]


@contextmanager
def hosting(port: int, host_id: str | None = None, reconnect_s: int = 1) -> Iterator[SparkplugHost]:
    """A host that is connected and subscribed."""
    host = SparkplugHost(port, host_id, reconnect_s)
    try:
        yield host
    finally:
        host.leave()
