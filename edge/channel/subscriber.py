"""The listener's side of the verdict channel: messages in order, with every gap in the sequence seen."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import zmq

from edge.errors import ChannelError
from edge.verdict import PROTOCOL, Heartbeat, StateChange, Verdict, parse


@dataclass(frozen=True)
class Received:
    """One message. `missed` counts the verdicts lost right before this one; `at_ns` is the monotonic clock."""

    message: Verdict | Heartbeat | StateChange
    missed: int
    at_ns: int


class Subscriber:
    """Connects to a station, which need not run yet, and keeps the books of what came."""

    def __init__(self, endpoint: str, station: str) -> None:
        """Raises ChannelError if `endpoint` is no endpoint."""
        self.missed = 0
        self.malformed = 0
        self._epoch: str | None = None
        self._last_seq = 0
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.set(zmq.RCVHWM, 10_000)
        self._socket.set(zmq.LINGER, 0)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ChannelError(f"{endpoint!r} is no endpoint; one looks like tcp://127.0.0.1:5570") from error
        self._socket.subscribe(f"{PROTOCOL}/{station}/")

    def messages(self, silence_s: float | None = None) -> Iterator[Received]:
        """Messages as they come, until none has come for `silence_s` seconds. A malformed one is counted, not given."""
        while self._socket.poll(None if silence_s is None else int(silence_s * 1000)):
            topic, *payload = self._socket.recv_multipart()
            try:
                message = parse(topic, payload[0] if payload else b"")
            except ValueError:
                self.malformed += 1
                continue
            yield Received(message, self._follow(message), time.monotonic_ns())

    def _follow(self, message: Verdict | Heartbeat | StateChange) -> int:
        """Verdicts lost before this message. A heartbeat or state change also says how far the sequence is."""
        if message.epoch != self._epoch:
            joined_late = message.seq - 1 if isinstance(message, Verdict) else message.last_seq
            self._epoch, self._last_seq = message.epoch, joined_late
            if isinstance(message, Verdict):
                self._last_seq = message.seq
            return 0
        expected = self._last_seq + 1 if isinstance(message, Verdict) else self._last_seq
        reached = message.seq if isinstance(message, Verdict) else message.last_seq
        self._last_seq = max(self._last_seq, reached)
        missed = max(0, reached - expected)
        self.missed += missed
        return missed

    def close(self) -> None:
        """Leave at once."""
        self._socket.close()
        self._context.term()
