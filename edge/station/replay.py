"""Verdicts again, for a controller's record: from memory while they are there, else from the journal.

A replay is sent a little at a time, between the turns of the station's loop, so that none holds up a verdict.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from edge.channel.control import MOST_REPLAYED, AskReplay, ReplayEnd
from edge.channel.control_socket import ControlSocket, Peer

if TYPE_CHECKING:
    from edge.records.recorder import Recorder

REMEMBERED = 10_000
"""Verdicts that are kept in memory."""

A_TURN = 64
"""Verdicts that are sent in a turn of the loop, all replays together."""

MOST_AT_ONCE = 16
"""Replays that wait to be sent; a further one is refused."""


class _Underway(NamedTuple):
    peer: Peer
    asked: AskReplay
    left: Iterator[bytes]


class Replays:
    """Remembers the verdicts of the epoch and serves them again."""

    def __init__(self, socket: ControlSocket, epoch: str, recorder: "Recorder | None") -> None:
        """Without a recorder only what is remembered can be had."""
        self._socket, self._epoch, self._recorder = socket, epoch, recorder
        self._remembered: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)
        self._reading: dict[int, tuple[Peer, AskReplay]] = {}
        self._sending: deque[_Underway] = deque()
        self._token = 0
        self._sent = 0

    def remember(self, seq: int, payload: bytes) -> None:
        """Keep a verdict, as it was published."""
        self._remembered.append((seq, payload))

    def ask(self, peer: Peer, asked: AskReplay) -> None:
        """Begin a replay. It has no more than the last MOST_REPLAYED of what was asked for."""
        if len(self._reading) + len(self._sending) >= MOST_AT_ONCE:
            self._socket.refuse(peer, asked, f"{MOST_AT_ONCE} replays are under way; ask again")
            return
        last = asked.to_seq
        if asked.epoch == self._epoch and self._remembered:
            last = min(last, self._remembered[-1][0])
        first = max(asked.from_seq, last - MOST_REPLAYED + 1)
        if self._is_remembered(asked.epoch, first) or self._recorder is None:
            self._sending.append(_Underway(peer, asked, iter(self._recall(asked.epoch, first, last))))
            return
        self._token += 1
        self._reading[self._token] = (peer, asked)
        self._recorder.read(self._token, asked.epoch, first, asked.to_seq)

    def _is_remembered(self, epoch: str, first: int) -> bool:
        return epoch == self._epoch and (not self._remembered or self._remembered[0][0] <= first)

    def _recall(self, epoch: str, first: int, last: int) -> list[bytes]:
        """What is remembered of it. Numbers have no gap, so none is looked for."""
        if epoch != self._epoch or not self._remembered:
            return []
        begin = self._remembered[0][0]
        found = islice(self._remembered, max(0, first - begin), max(0, last + 1 - begin))
        return [payload for _, payload in found]

    @property
    def is_sending(self) -> bool:
        """Whether there is something to send in the next turn."""
        return bool(self._sending)

    def serve(self) -> None:
        """Send a turn's worth of what is asked for."""
        if self._recorder is not None and self._reading:
            for token, payloads in self._recorder.replays():
                assert isinstance(token, int)
                peer, asked = self._reading.pop(token)
                self._sending.append(_Underway(peer, asked, iter(payloads)))
        for _ in range(A_TURN):
            if not self._sending:
                return
            peer, asked, left = self._sending[0]
            payload = next(left, None)
            if payload is not None:
                self._sent += 1
                self._socket.send(peer, b'{"type":"replayed","verdict":%b}' % payload)
                continue
            self._sending.popleft()
            end = ReplayEnd(epoch=asked.epoch, from_seq=asked.from_seq, to_seq=asked.to_seq, count=self._sent)
            self._sent = 0
            self._socket.reply(peer, end)
