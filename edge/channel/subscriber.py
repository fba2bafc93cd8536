"""The subscriber's side of the verdict channel: messages in order, with detection of every gap in the sequence."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zmq

from edge.channel.client_security import ClientKeys, HandshakeWatch, secure
from edge.channel.limits import LARGEST_MESSAGE, RECEIVED_WAITING
from edge.channel.station_name import NameInquiry
from edge.errors import ChannelError
from edge.verdict import PROTOCOL, Heartbeat, StateChange, Verdict, parse

LOOK_MS = 250
"""Interval at which a silent subscriber checks whether it was refused."""

ASK_AFTER_NS = 1_000_000_000
"""A subscriber that has heard nothing at all for this long asks which station answers. Heartbeats come every 0.1 s."""


@dataclass(frozen=True)
class Received:
    """One message. `missed` is the number of verdicts lost right before it; `at_ns` is its monotonic arrival time."""

    message: Verdict | Heartbeat | StateChange
    missed: int
    at_ns: int


class Subscriber:
    """Connects to a station, which need not run yet, and counts lost, repeated and malformed messages."""

    def __init__(
        self, endpoint: str, station: str, keys: ClientKeys | None = None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Raises ChannelError if `endpoint` is invalid. `say` is called with one line if the station refuses this
        subscriber, and if a station of another name answers there.
        """
        self.missed = 0
        self.malformed = 0
        self.repeated = 0
        self.first_seq = 1
        self._epoch: str | None = None
        self._past_epochs: set[str] = set()
        self._last_seq = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.RCVHWM, RECEIVED_WAITING)
        self._socket.set(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        self._socket.set(zmq.LINGER, 0)
        if keys is not None:
            secure(self._socket, keys)
        self._say = say
        self._keys, self._endpoint, self._station = keys, endpoint, station
        self._began_ns = time.monotonic_ns()
        self._inquiry: NameInquiry | None = None
        self._watch = HandshakeWatch(self._socket, endpoint, keys)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570") from error
        self._socket.subscribe(f"{PROTOCOL}/{station}/")

    def messages(self, silence_s: float | None = None) -> Iterator[Received]:
        """Messages as they arrive, until none has arrived for `silence_s` seconds.

        A malformed message, and a verdict that was already received, are counted and not returned.
        """
        while self._has_come(silence_s):
            topic, *payload = self._socket.recv_multipart()
            try:
                message = parse(topic, payload[0] if payload else b"")
            except ValueError:
                self.malformed += 1
                continue
            if isinstance(message, Verdict) and self._is_old(message):
                self.repeated += 1
                continue
            yield Received(message, self._follow(message), time.monotonic_ns())

    def _has_come(self, silence_s: float | None) -> bool:
        """Wait for a message; meanwhile check whether the station refuses this subscriber, or has another name."""
        ends_ms = None if silence_s is None else time.monotonic_ns() // 1_000_000 + int(silence_s * 1000)
        while True:
            left_ms = LOOK_MS if ends_ms is None else max(0, ends_ms - time.monotonic_ns() // 1_000_000)
            if self._socket.poll(min(LOOK_MS, left_ms)):
                return True
            for line in self._watch.failures():
                self._say(line)
            if (other := self._other_station()) is not None:
                self._say(other)
            if left_ms <= LOOK_MS and ends_ms is not None:
                return False

    def _other_station(self) -> str | None:
        """One line, once, if nothing was ever heard and a station of another name answers."""
        if self._epoch is not None or time.monotonic_ns() - self._began_ns < ASK_AFTER_NS:
            return None
        if self._inquiry is None:
            self._inquiry = NameInquiry(self._socket.context, self._endpoint, self._station, self._keys)
        return self._inquiry.other()

    def _ask_no_more(self) -> None:
        if self._inquiry is not None:
            self._inquiry.close()

    def _is_old(self, verdict: Verdict) -> bool:
        return verdict.epoch in self._past_epochs or (verdict.epoch == self._epoch and verdict.seq <= self._last_seq)

    def _follow(self, message: Verdict | Heartbeat | StateChange) -> int:
        """Number of verdicts lost before this message; heartbeats and changes of state also carry the last number.

        Verdicts before the first received message are history, not losses: `first_seq` is the number after them.
        """
        is_verdict = isinstance(message, Verdict)
        reached = message.seq if isinstance(message, Verdict) else message.last_seq
        if message.epoch != self._epoch:
            if message.epoch in self._past_epochs:
                return 0
            if self._epoch is None:
                self._ask_no_more()
                self._last_seq = reached - is_verdict
                self.first_seq = self._last_seq + 1
            else:
                self._past_epochs.add(self._epoch)
                self._last_seq = 0
            self._epoch = message.epoch
        missed = max(0, reached - is_verdict - self._last_seq)
        self._last_seq = max(self._last_seq, reached)
        self.missed += missed
        return missed

    def close(self) -> None:
        """Leave at once."""
        self._ask_no_more()
        self._watch.close()
        self._socket.close()
        self._context.term()
