"""Verdicts again, for a controller's record: from memory while they are there, else from the journal.

A replay is sent a little at a time, between the turns of the station's loop, so that none holds up a verdict.
"""

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from edge.channel.control_messages import MOST_REPLAYED, AskReplay, ReplayEnd
from edge.channel.control_socket import ControlSocket, Peer
from edge.channel.limits import REPLAY_STALLS_S, REPLAYS, REPLAYS_AT_ONCE, REPLAYS_OF_A_PEER
from edge.channel.pace import Paces

if TYPE_CHECKING:
    from edge.records.recorder import Recorder

REMEMBERED = 10_000
"""Verdicts that are kept in memory."""

A_TURN = 16
"""Verdicts that are sent in a turn of the loop, all replays together."""


@dataclass
class _Underway:
    peer: Peer
    asked: AskReplay
    left: deque[bytes]
    moved_s: float  # when a verdict was last sent
    sent: int = 0


class Replays:
    """Remembers the verdicts of the epoch and serves them again."""

    def __init__(self, socket: ControlSocket, epoch: str, recorder: "Recorder | None") -> None:
        """Without a recorder only what is remembered can be had."""
        self._socket, self._epoch, self._recorder = socket, epoch, recorder
        self._remembered: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)
        self._reading: dict[int, tuple[Peer, AskReplay]] = {}
        self._sending: deque[_Underway] = deque()
        self._token = 0
        self._paces = Paces(REPLAYS)
        self._waits = False

    def remember(self, seq: int, payload: bytes) -> None:
        """Keep a verdict, as it was published."""
        self._remembered.append((seq, payload))

    def ask(self, peer: Peer, asked: AskReplay) -> None:
        """Begin a replay. It has no more than the last MOST_REPLAYED of what was asked for."""
        if (why := self._is_too_much(peer)) is not None:
            self._socket.limit(peer, asked.type, "replays", why)
            return
        last = asked.to_seq
        if asked.epoch == self._epoch and self._remembered:
            last = min(last, self._remembered[-1][0])
        first = max(asked.from_seq, last - MOST_REPLAYED + 1)
        if self._is_remembered(asked.epoch, first) or self._recorder is None:
            self._begin(peer, asked, self._recall(asked.epoch, first, last))
            return
        self._token += 1
        self._reading[self._token] = (peer, asked)
        self._recorder.read(self._token, asked.epoch, first, asked.to_seq)

    def _is_too_much(self, peer: Peer) -> str | None:
        """Why this peer may not begin a replay now, if it may not."""
        underway = [one.id for one, _ in self._reading.values()] + [one.peer.id for one in self._sending]
        if underway.count(peer.id) >= REPLAYS_OF_A_PEER:
            return "the last replay is under way; ask again when it has ended"
        if len(underway) >= REPLAYS_AT_ONCE:
            return f"{REPLAYS_AT_ONCE} replays are under way; ask again"
        if not self._paces.admits(peer.id):
            return f"more than {REPLAYS.a_second:g} replays a second; ask again"
        return None

    def _begin(self, peer: Peer, asked: AskReplay, payloads: Iterable[bytes]) -> None:
        self._sending.append(_Underway(peer, asked, deque(payloads), time.monotonic()))

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
        return bool(self._sending) and not self._waits

    def serve(self) -> None:
        """Send a turn's worth of what is asked for."""
        if self._recorder is not None and self._reading:
            for token, payloads in self._recorder.replays():
                assert isinstance(token, int)
                peer, asked = self._reading.pop(token)
                self._begin(peer, asked, payloads)
        self._send()

    def _send(self) -> None:
        """A turn's worth, the replays one after the other. One whose peer reads nothing lets the others go first."""
        stalled = 0
        for _ in range(A_TURN):
            if stalled == len(self._sending):
                break
            one = self._sending[0]
            if self._goes_on(one):
                stalled = 0
                continue
            self._sending.popleft()
            if one.left and time.monotonic() - one.moved_s < REPLAY_STALLS_S:
                self._sending.append(one)
                stalled += 1
        self._waits = stalled == len(self._sending)

    def _goes_on(self, one: _Underway) -> bool:
        """Send its next verdict, or its end. False if it is over, or if its peer reads nothing."""
        asked = one.asked
        if not one.left:
            end = ReplayEnd(epoch=asked.epoch, from_seq=asked.from_seq, to_seq=asked.to_seq, count=one.sent)
            self._socket.reply(one.peer, end)
            return False
        if not self._socket.send(one.peer, b'{"type":"replayed","verdict":%b}' % one.left[0]):
            return False
        one.left.popleft()
        one.sent, one.moved_s = one.sent + 1, time.monotonic()
        return True
