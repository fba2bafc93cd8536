"""Listens to viewers' sockets: a thread for each endpoint, and the stations that were heard there, by name."""

import logging
import threading
import time
from contextlib import suppress

import zmq

from edge.channel.client_security import ClientKeys, HandshakeWatch, secure
from edge.channel.endpoints import VIEWERS, has_port, neighbour_endpoint
from edge.channel.limits import LARGEST_MESSAGE, SHOWN_RECEIVED_WAITING
from edge.channel.preview import PREVIEWS, Preview, parse_preview, topic_of
from edge.errors import ChannelError
from edge.page.station_live import StationLive
from edge.verdict import PROTOCOL, Heartbeat, StateChange, Verdict, parse

log = logging.getLogger("edge.page")

POLL_MS = 100
AT_ONCE = 200
"""Messages that are read between two looks at everything else."""

PREVIEWS_LAST_S = 5.0
"""A subscription to previews ends when no browser has asked for this long."""

MOST_STATIONS = 64
"""Names that are remembered: a peer that invents names fills no memory."""


class Stations:
    """The stations that are known, by name. Safe for several threads."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._lock = threading.Lock()
        self._stations: dict[str, StationLive] = {}

    def heard(self, name: str, endpoint: str) -> StationLive | None:
        """The station of this name, which is new if it was never heard.

        None if there are too many, or if another endpoint has the name and is not silent: two stations of one name
        are never mixed.
        """
        with self._lock:
            station = self._stations.get(name)
            if station is None and len(self._stations) < MOST_STATIONS:
                station = self._stations[name] = StationLive(name, endpoint)
            if station is None or not endpoint or station.is_at(endpoint, time.monotonic_ns()):
                return station
            return None

    def get(self, name: str) -> StationLive | None:
        """The station of this name."""
        with self._lock:
            return self._stations.get(name)

    def all(self) -> list[StationLive]:
        """All stations, by name."""
        with self._lock:
            return sorted(self._stations.values(), key=lambda station: station.name)


class Feed(threading.Thread):
    """Hears everything that a station publishes to viewers, from `start` until `close`."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, stations: Stations, keys: ClientKeys | None
    ) -> None:
        """`endpoint` is that of the verdicts; the viewers' is next to it. Raises ChannelError if it is none."""
        super().__init__(name="edge-feed", daemon=True)
        self.endpoint = endpoint
        self.malformed = 0
        self.problem: str | None = None
        self._stations = stations
        self._is_over = threading.Event()
        self._wanted: dict[str, float] = {}
        self._subscribed: set[str] = set()
        self._socket = context.socket(zmq.SUB)
        self._socket.set(zmq.RCVHWM, SHOWN_RECEIVED_WAITING)
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        self._socket.set(zmq.LINGER, 0)
        self._socket.set(zmq.RECONNECT_IVL, 200)
        self._socket.set(zmq.RECONNECT_IVL_MAX, 2_000)
        if keys is not None:
            secure(self._socket, keys)
        viewers = neighbour_endpoint(endpoint, VIEWERS)
        self._watch = HandshakeWatch(self._socket, viewers, keys)
        try:
            if not has_port(endpoint):
                raise zmq.ZMQError(zmq.EINVAL)
            self._socket.connect(viewers)
        except zmq.ZMQError as error:
            self._watch.close()
            self._socket.close(0)
            raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570") from error
        self._socket.subscribe(f"{PROTOCOL}/")

    def want_previews(self, station: str) -> None:
        """Somebody looks at this station: hear its previews for the next few seconds."""
        self._wanted[station] = time.monotonic() + PREVIEWS_LAST_S

    def run(self) -> None:
        """Hear until `close`."""
        try:
            while not self._is_over.is_set():
                if self._socket.poll(POLL_MS):
                    self._hear()
                for line in self._watch.failures():
                    self.problem = line
                    for station in self._stations.all():
                        if station.endpoint == self.endpoint:
                            station.note(line)
                self._follow_previews()
        except zmq.ContextTerminated:
            self.problem = "the page has ended"
        finally:
            self._watch.close()
            self._socket.close(0)

    def close(self) -> None:
        """Stop hearing."""
        self._is_over.set()
        self.join(2.0)

    def _hear(self) -> None:
        with suppress(zmq.Again):
            for _ in range(AT_ONCE):
                topic, *frames = self._socket.recv_multipart(zmq.NOBLOCK)
                try:
                    message = _parsed(topic, frames)
                except ValueError:
                    self.malformed += 1
                    continue
                name = message.about.station if isinstance(message, Preview) else message.station
                station = self._stations.heard(name, self.endpoint)
                if station is not None:
                    station.hear(message, time.monotonic_ns())

    def _follow_previews(self) -> None:
        now = time.monotonic()
        wanted = {name for name, until in list(self._wanted.items()) if until > now}
        for name in wanted - self._subscribed:
            self._socket.subscribe(topic_of(name))
        for name in self._subscribed - wanted:
            self._socket.unsubscribe(topic_of(name))
            self._wanted.pop(name, None)
        self._subscribed = wanted


def _parsed(topic: bytes, frames: list[bytes]) -> Verdict | Heartbeat | StateChange | Preview:
    if topic.startswith(f"{PREVIEWS}/".encode()):
        return parse_preview(topic, frames)
    return parse(topic, frames[0] if frames else b"")
