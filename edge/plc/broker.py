"""A connection to an MQTT broker in a thread of its own: what the plain topics and Sparkplug share."""

import contextlib
import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import ChannelError, ConfigError
from edge.plc.journal_forwarding import JournalForwarding
from edge.plc.settings import BrokerTable, check_private_key, read_password
from edge.security.loopback import check_reach

log = logging.getLogger("edge.plc")

LOOK_S = 0.1
RECONNECT_S = (1, 10)
SHORT_S, MOST_SHORT = 3.0, 3
"""Connections in a row that last no longer than this are said to be closed by the broker for a cause."""

FAILED_S = 10.0
"""Pause after an error that the thread does not know, before it goes on in a new connection."""


class BrokerThread(threading.Thread, ABC):
    """Connects from `start` until `close`. The loop of edge-plc and the other buses never wait for it."""

    most_unacknowledged = 200
    """Verdicts of a station that the broker has not acknowledged."""

    def __init__(self, client_id: str, title: str, where: str, stations: list[str], table: BrokerTable) -> None:
        """Read the cursor; `title` begins each line for people, `where` names the table in errors.

        Raises ChannelError, ConfigError or KeyFileError, in one line.
        """
        super().__init__(name=client_id, daemon=True)
        self._title, self._where, self._table = title, where, table
        self._closing = threading.Event()
        self._said = ""
        self._connections = self._short = 0
        self._connected_s = 0.0
        self._is_unreached = False
        self.connection = 0
        """Number of the present connection; 0 without one."""

        self.journals = JournalForwarding(stations, table, where, self.most_unacknowledged, self._say)
        self._client = self._new_client(client_id)

    @abstractmethod
    def _turn(self) -> None:
        """Publish what is new; called each LOOK_S while connected."""

    @abstractmethod
    def _leave(self) -> None:
        """Publish the last message before the connection is closed."""

    def _new_client(self, client_id: str) -> mqtt.Client:
        table, place = self._table, urlsplit(f"//{self._table.broker}")
        try:
            host, port = place.hostname, place.port or (8883 if table.ca else 1883)
        except ValueError:
            host, port = None, 0
        if not host or "/" in table.broker:
            raise ChannelError(f"{table.broker!r} is no broker; one looks like 127.0.0.1:1883")
        danger = f"MQTT to {table.broker} is not encrypted: anybody on the way can read it and speak as the broker"
        is_meant = table.insecure or table.ca is not None
        check_reach(host, is_meant, danger, f"give ca = FILE in {self._where}", "insecure = true there")
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.reconnect_delay_set(*RECONNECT_S)
        client.on_connect = self._connected
        client.on_connect_fail = self._unreached
        client.on_disconnect = self._disconnected
        if table.user is None and table.password_file is not None:
            raise ConfigError(f"{self._where}: password_file needs user")
        if table.ca is None and (table.cert or table.key):
            raise ConfigError(f"{self._where}: cert and key need ca: without it there is no TLS")
        if table.user is not None:
            client.username_pw_set(table.user, read_password(table.password_file, "for the broker"))
        if table.ca is not None:
            for name in ("ca", "cert", "key"):
                if (file := getattr(table, name)) is not None and not file.is_file():
                    raise ConfigError(f"{self._where}: {name} = {file} is no file; give one in PEM")
            check_private_key(table.key or table.cert)
            ca, cert, key = (None if file is None else str(file) for file in (table.ca, table.cert, table.key))
            try:
                client.tls_set(ca, cert, key)
            except (OSError, ValueError) as error:
                raise ConfigError(f"{self._where}: ca, cert or key cannot be used: {error}; give PEM files") from error
        self._place = host, port
        return client

    def _connected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """In the thread of paho: nothing is published here."""
        if reason.is_failure:
            self._say(f"the broker {self._table.broker} refused the connection: {reason}")
            return
        self._connections += 1
        self.connection = self._connections
        self._connected_s = time.monotonic()
        if self._is_unreached:
            self._is_unreached, self._said = False, ""
            log.info("%s: the broker %s answers again", self._title, self._table.broker)

    def _disconnected(self, client: mqtt.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        """In the thread of paho."""
        self.connection = 0
        is_short = time.monotonic() - self._connected_s < SHORT_S and not self._closing.is_set()
        self._short = self._short + 1 if is_short else 0
        if self._short == MOST_SHORT:
            self._say(
                f"the broker {self._table.broker} closed {MOST_SHORT} connections in a row at once, as when another "
                f"client has the id {self.name}: give each edge-plc a --name of its own"
            )

    def _unreached(self, client: mqtt.Client, data: Any) -> None:
        """In the thread of paho."""
        why = "does not answer, or ca has not signed its certificate" if self._table.ca else "does not answer"
        self._is_unreached = True
        self._say(f"the broker {self._table.broker} {why}; it is tried again")

    def run(self) -> None:
        """The thread. After an error that it does not know, the broker publishes the last will, and the thread goes on
        in a new connection.
        """
        self.journals.begin()
        self._connect()
        while not self._closing.wait(LOOK_S):
            try:
                if self._client.is_connected():
                    self._turn()
            except Exception as error:
                self._fail(error)
                self._closing.wait(FAILED_S)
        try:
            self._leave()
        except Exception as error:
            self._fail(error)
        self._disconnect()

    def _fail(self, error: Exception) -> None:
        """Say so, and close the connection without DISCONNECT. The thread of paho makes the next one."""
        self._say(f"{type(error).__name__}: {error}; the connection to {self._table.broker} is made again")
        log.debug("%s", self._title, exc_info=error)
        self.connection = 0
        if isinstance(connection := self._client.socket(), socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> None:
        self._client.connect_async(*self._place)
        self._client.loop_start()

    def _disconnect(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def close(self) -> None:
        """Leave; what the broker has not acknowledged is published at the next start."""
        self._closing.set()
        if self.ident is not None:
            self.join(2.0)

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            log.warning("%s: %s", self._title, line)
