"""The station's side of the verdict channel: an XPUB socket that knows who listens."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import zmq

from edge.channel.access_control import Doorkeeper
from edge.channel.control_messages import check_station_name
from edge.channel.limits import (
    LARGEST_MESSAGE,
    LARGEST_SUBSCRIPTION,
    LARGEST_SUBSCRIPTION_WITHOUT_KEYS,
    PUBLISHED_ALLOWANCE,
    PUBLISHED_WAITING,
    SHOWN_WAITING,
)
from edge.channel.preview import About, topic_of
from edge.channel.sockets import VERDICTS_THREAD, VIEWERS_THREAD, bind, check_path, take_thread
from edge.channel.viewers import Viewers, change
from edge.errors import ChannelError
from edge.security.loopback import check_reach
from edge.verdict import Heartbeat, StateChange, Verdict, topic

_SUBSCRIPTIONS_WAITING = 16
"""Of one connection, before ZeroMQ stops reading it: those that wait are entered while a verdict is sent."""

_MOST_SUBSCRIPTIONS = 10_000
_MOST_NOTES = 200
"""Notes of subscribers who came and went that are read at a time: a flood of them holds up no verdict."""

_LINGER_MS = 500

_FIRST, _LAST = int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.NOBLOCK)
"""Flags of the two frames of a message, combined once."""


class Publisher:
    """Binds the verdict endpoint and the viewers'. Sending never blocks, and no viewer can touch a controller."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        station: str,
        verdicts: str,
        viewers: str | None = None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        """With a doorkeeper, which must be of the same context, only its clients are let in, within limits.

        Raises ChannelError, in one line, if an endpoint is in use or is none.
        """
        check_station_name(station)
        self._topics = {
            Verdict: topic(station, "verdict"),
            Heartbeat: topic(station, "heartbeat"),
            StateChange: topic(station, "state"),
        }
        self._subscribed: dict[bytes, int] = {}
        self._doorkeeper = doorkeeper
        self._socket = self._bound(context, verdicts, "--bind", VERDICTS_THREAD)
        self.endpoint = self._last_endpoint
        self._viewers = None
        if viewers is not None:
            try:
                self._viewers = Viewers(self._bound(context, viewers, "--viewers", VIEWERS_THREAD), doorkeeper)
            except ChannelError:
                self._socket.close(0)
                raise

    def _bound(
        self, context: "zmq.Context[zmq.Socket[bytes]]", endpoint: str, option: str, thread: int
    ) -> "zmq.Socket[bytes]":
        socket = context.socket(zmq.XPUB)
        take_thread(socket, thread)
        socket.set(zmq.XPUB_VERBOSER, 1)
        socket.set(zmq.SNDHWM, SHOWN_WAITING if thread == VIEWERS_THREAD else PUBLISHED_WAITING)
        socket.set(zmq.RCVHWM, _SUBSCRIPTIONS_WAITING)
        has_keys = self._doorkeeper is not None and self._doorkeeper.has_keys
        socket.set(zmq.MAXMSGSIZE, LARGEST_SUBSCRIPTION if has_keys else LARGEST_SUBSCRIPTION_WITHOUT_KEYS)
        socket.set(zmq.LINGER, _LINGER_MS)
        if self._doorkeeper is not None:
            self._doorkeeper.guard(socket, PUBLISHED_ALLOWANCE)
        self._last_endpoint = bind(socket, endpoint, option)
        return socket

    def send(self, message: Verdict | Heartbeat | StateChange) -> bytes:
        """Publish one message as two frames, topic and JSON; returns the JSON."""
        payload = message.model_dump_json().encode()
        topic = self._topics[type(message)]
        self._socket.send(topic, _FIRST)
        self._socket.send(payload, _LAST)
        if self._viewers is not None:
            self._viewers.send([topic, payload])
        return payload

    @property
    def wants_previews(self) -> bool:
        """Whether a viewer subscribes to previews now."""
        return self._viewers is not None and self._viewers.wants_previews

    def send_preview(self, about: About, jpeg: bytes) -> None:
        """Publish a preview to viewers as three frames, topic, JSON and JPEG. It is dropped if they are behind."""
        if self._viewers is not None and 0 < len(jpeg) < LARGEST_MESSAGE:
            self._viewers.send_preview([topic_of(about.station), about.model_dump_json().encode(), jpeg])

    def subscribers(self) -> int:
        """How many subscriptions match verdicts now. A listener that subscribes twice counts twice.

        Takes the notes of who came and went off the sockets.
        """
        for note in self._notes():
            data, by = note.bytes, change(note)
            if by:
                count = self._subscribed.pop(data[1:], 0) + by
                if count > 0 and len(self._subscribed) < _MOST_SUBSCRIPTIONS:
                    self._subscribed[data[1:]] = count
        verdicts = self._topics[Verdict]
        return sum(count for prefix, count in self._subscribed.items() if verdicts.startswith(prefix))

    def close(self) -> None:
        """Send what is queued, for half a second at most once the context is terminated, and free the ports."""
        self._socket.close()
        if self._viewers is not None:
            self._viewers.close()

    def _notes(self) -> Iterator[zmq.Frame]:
        """Notes of who came and went; the doorkeeper sees each, so that it knows whose connection is whose."""
        for _ in range(_MOST_NOTES):
            try:
                note = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if self._doorkeeper is not None:
                self._doorkeeper.met(note, change(note))
            yield note

    @property
    def failure(self) -> Exception | None:
        """What ended the viewers' thread before its time."""
        return None if self._viewers is None else self._viewers.failure


def check_endpoint(endpoint: str, allow_insecure: bool, has_keys: bool = False) -> None:
    """Raise ChannelError unless the endpoint is on loopback, or has keys, or the person meant the open network."""
    try:
        url = urlsplit(endpoint)
        host, _ = url.hostname or "", url.port
    except ValueError:
        url, host = urlsplit(""), ""
    if url.scheme == "ipc":
        if not (has_keys or allow_insecure):
            check_path(endpoint)
        return
    if url.scheme != "tcp" or not host:
        raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570")
    danger = f"{endpoint} can be reached from the network and its verdicts are neither encrypted nor authenticated"
    check_reach(host, has_keys or allow_insecure, danger, "make keys with edge-keys init, bind 127.0.0.1")
