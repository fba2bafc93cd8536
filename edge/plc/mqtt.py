"""MQTT: states and verdicts of the stations to a broker, for the record; it moves nothing.

The verdicts are read from the journals, in their order, and a cursor says how far the broker has them: what was judged
while the broker was away follows when it is back. A thread of its own; the loop of edge-plc and the other buses never
wait for it.
"""

import contextlib
import json
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edge.errors import ChannelError, ConfigError, RecordsError
from edge.plc.board import Board
from edge.plc.codes import STATE_CODES
from edge.plc.settings import MqttTable, read_password
from edge.records.durable_files import write_durably
from edge.records.journal import JOURNAL, open_to_read
from edge.security.loopback import check_reach

log = logging.getLogger("edge.plc")

LOOK_S = 0.1
MOST_UNACKNOWLEDGED = 200
"""Verdicts of a station that the broker has not acknowledged."""

RECONNECT_S = (1, 10)
BEGINNING: dict[str, Any] = {"rowid": 0, "epoch": "", "seq": 0}
NAMES = {number: str(state) for state, number in STATE_CODES.items()}


@dataclass
class _Forward:
    """The journal of a station, and how far it was published."""

    station: str
    records: Path
    at: dict[str, Any] | None  # the last row that the broker has: rowid, epoch, seq
    sent: int = 0
    under_way: deque[tuple[dict[str, Any], int]] = field(default_factory=deque)  # row and its message's number


class MqttPublisher(threading.Thread):
    """Publishes from `start` until `close`.

    TOPIC/NAME/online is 1 while this process is connected, retained; the broker sets it to 0 when the process is gone.
    TOPIC/STATION/state is retained and published when it changes. TOPIC/STATION/verdict has each verdict of the
    journal as the station published it, with QoS 1, in order. A broker that dies before its acknowledgement came gets
    a verdict again: `epoch` and `seq` name it.
    """

    def __init__(self, board: Board, stations: list[str], name: str, table: MqttTable) -> None:
        """Read the cursor. Raises ChannelError, ConfigError or KeyFileError, in one line."""
        super().__init__(name="edge-plc-mqtt", daemon=True)
        self._board, self._stations, self._name, self._table = board, stations, name, table
        self._closing = threading.Event()
        self._states: dict[str, str] = {}
        self._is_greeted = False
        self._said = ""
        self._acknowledged: deque[int] = deque()  # by the thread of paho
        self._settled: set[int] = set()
        if strange := sorted(set(table.records) - set(stations)):
            raise ConfigError(f"[plc.mqtt]: records name {strange[0]!r}, which is none of {', '.join(stations)}")
        cursor = _read_cursor(table)
        self._forwards = [
            _Forward(station, table.records[station], cursor.get(station))
            for station in stations
            if station in table.records
        ]
        self._client = self._new_client()

    def _new_client(self) -> mqtt.Client:
        table, place = self._table, urlsplit(f"//{self._table.broker}")
        try:
            host, port = place.hostname, place.port or (8883 if table.ca else 1883)
        except ValueError:
            host, port = None, 0
        if not host:
            raise ChannelError(f"{table.broker!r} is no broker; one looks like 127.0.0.1:1883")
        danger = f"MQTT to {table.broker} is not encrypted: anybody on the way can read it and speak as the broker"
        is_meant = table.insecure or table.ca is not None
        check_reach(host, is_meant, danger, "give ca = FILE in [plc.mqtt]", "insecure = true there")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-plc-{self._name}")
        client.will_set(f"{table.topic}/{self._name}/online", "0", qos=1, retain=True)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._connected
        client.on_connect_fail = self._unreached
        client.on_publish = self._published
        if table.user is None and table.password_file is not None:
            raise ConfigError("[plc.mqtt]: password_file needs user")
        if table.ca is None and (table.cert or table.key):
            raise ConfigError("[plc.mqtt]: cert and key need ca: without it there is no TLS")
        if table.user is not None:
            client.username_pw_set(table.user, read_password(table.password_file, "for the broker"))
        if table.ca is not None:
            ca, cert, key = (None if file is None else str(file) for file in (table.ca, table.cert, table.key))
            try:
                client.tls_set(ca, cert, key)
            except (OSError, ValueError) as error:
                raise ConfigError(f"[plc.mqtt]: ca, cert or key cannot be used: {error}; give PEM files") from error
        self._place = host, port
        return client

    def _connected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """In the thread of paho: nothing is published here."""
        self._is_greeted = False
        if reason.is_failure:
            self._say(f"the broker {self._table.broker} refused the connection: {reason}")

    def _unreached(self, client: mqtt.Client, data: Any) -> None:
        """In the thread of paho."""
        why = "does not answer, or ca has not signed its certificate" if self._table.ca else "does not answer"
        self._say(f"the broker {self._table.broker} {why}; it is tried again")

    def _published(self, client: mqtt.Client, data: Any, message: int, reason: Any, properties: Any) -> None:
        """In the thread of paho: the broker has this message."""
        self._acknowledged.append(message)

    def run(self) -> None:
        """The publisher's thread."""
        self._for_each(self._begin)
        self._client.connect_async(*self._place)
        self._client.loop_start()
        while not self._closing.wait(LOOK_S):
            if self._client.is_connected():
                self._turn()
        self._client.publish(f"{self._table.topic}/{self._name}/online", "0", qos=1, retain=True)
        self._settle()
        self._client.disconnect()
        self._client.loop_stop()

    def close(self) -> None:
        """Leave; what the broker has not acknowledged is published at the next start."""
        self._closing.set()
        if self.ident is not None:
            self.join(2.0)

    def _turn(self) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            self._states.clear()
            self._client.publish(f"{self._table.topic}/{self._name}/online", "1", qos=1, retain=True)
        for index, station in enumerate(self._stations):
            if (state := _state(self._board, index)) != self._states.get(station):
                self._states[station] = state
                self._client.publish(f"{self._table.topic}/{station}/state", state, qos=1, retain=True)
        self._settle()
        self._for_each(self._forward)

    def _for_each(self, do: Callable[[_Forward], None]) -> None:
        for forward in self._forwards:
            try:
                do(forward)
            except (sqlite3.Error, RecordsError, OSError) as error:
                self._say(f"{forward.records}: {str(error).splitlines()[0]}")

    def _begin(self, forward: _Forward) -> None:
        """Without a cursor, what was judged before this moment is history; what comes before the broker does is not."""
        if forward.at is None:
            if (forward.records / JOURNAL).exists():
                with contextlib.closing(open_to_read(forward.records)) as journal:
                    forward.at = _last_row(journal)
            else:
                forward.at = dict(BEGINNING)
            forward.sent = forward.at["rowid"]
            self._save()

    def _forward(self, forward: _Forward) -> None:
        """Publish the rows of the journal that follow, as many as may be under way."""
        room = MOST_UNACKNOWLEDGED - len(forward.under_way)
        if room <= 0:
            return
        self._begin(forward)
        assert forward.at is not None
        with contextlib.closing(open_to_read(forward.records)) as journal:
            if not forward.under_way:
                forward.sent = forward.at["rowid"] if _has(journal, forward.at) else 0  # 0: another journal
            rows = journal.execute(
                "SELECT rowid, epoch, seq, json FROM verdicts WHERE rowid > ? AND typeof(json) = 'text' "
                "ORDER BY rowid LIMIT ?",
                (forward.sent, room),
            ).fetchall()
        for rowid, epoch, seq, text in rows:
            info = self._client.publish(f"{self._table.topic}/{forward.station}/verdict", text, qos=1)
            if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
                return
            forward.under_way.append(({"rowid": rowid, "epoch": epoch, "seq": seq}, info.mid))
            forward.sent = rowid

    def _settle(self) -> None:
        """Move the cursors over what the broker has acknowledged, in order."""
        has_moved = False
        while self._acknowledged:
            self._settled.add(self._acknowledged.popleft())
        for forward in self._forwards:
            while forward.under_way and forward.under_way[0][1] in self._settled:
                forward.at, has_moved = forward.under_way.popleft()[0], True
        self._settled &= {message for forward in self._forwards for _, message in forward.under_way}
        if has_moved:
            self._save()

    def _save(self) -> None:
        assert self._table.cursor is not None
        text = json.dumps({one.station: one.at for one in self._forwards if one.at is not None})
        try:
            write_durably({self._table.cursor: f"{text}\n".encode()})
        except OSError as error:
            self._say(f"{self._table.cursor} cannot be written: {error.strerror}; make room there")

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            log.warning("MQTT: %s", line)


def _state(board: Board, index: int) -> str:
    """The retained state of a station, as JSON."""
    image = board.image(index)
    said = {"state": NAMES.get(image.state), "ready": image.ready, "epoch": image.epoch or None}
    return json.dumps(said | {"overruns": image.overruns, "error": image.error.name.lower()})


def _last_row(journal: sqlite3.Connection) -> dict[str, Any]:
    row = journal.execute("SELECT rowid, epoch, seq FROM verdicts ORDER BY rowid DESC LIMIT 1").fetchone()
    return dict(zip(BEGINNING, row, strict=True)) if row else dict(BEGINNING)


def _has(journal: sqlite3.Connection, at: dict[str, Any]) -> bool:
    """Whether the journal is the one that the cursor was made from."""
    row = journal.execute("SELECT epoch, seq FROM verdicts WHERE rowid = ?", (at["rowid"],)).fetchone()
    return bool(at["rowid"] == 0 or row == (at["epoch"], at["seq"]))


def _read_cursor(table: MqttTable) -> dict[str, dict[str, Any]]:
    if not table.records:
        return {}
    if table.cursor is None:
        raise ConfigError("[plc.mqtt]: records need cursor = FILE, which says how far the broker has them")
    try:
        said = json.loads(table.cursor.read_text(encoding="utf-8")) if table.cursor.exists() else {}
        return {
            str(station): {"rowid": int(at["rowid"]), "epoch": str(at["epoch"]), "seq": int(at["seq"])}
            for station, at in said.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{table.cursor} is no cursor of edge-plc; move it away to begin at the present") from error
