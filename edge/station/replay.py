"""Replays of verdicts for a controller's record: from memory while they are there, else from the journal.

A replay is sent in small steps between the turns of the station's loop, so that it does not delay a verdict.
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
"""Verdicts kept in memory."""

VERDICTS_PER_TURN = 16
"""Verdicts sent per turn of the loop, over all replays."""


@dataclass
class _ActiveReplay:
    peer: Peer
    asked: AskReplay
    left: deque[bytes]
    moved_s: float  # when a verdict was last sent
    sent: int = 0


class Replays:
    """Keeps the verdicts of the epoch and sends replays of them."""

    def __init__(self, socket: ControlSocket, epoch: str, recorder: "Recorder | None") -> None:
        """Without a recorder only the verdicts in memory are available."""
        self._socket, self._epoch, self._recorder = socket, epoch, recorder
        self._remembered: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)
        self._reading: dict[int, tuple[Peer, AskReplay]] = {}
        self._sending: deque[_ActiveReplay] = deque()
        self._token = 0
        self._paces = Paces(REPLAYS)
        self._waits = False

    def remember(self, seq: int, payload: bytes) -> None:
        """Keep a verdict as published."""
        self._remembered.append((seq, payload))

    def ask(self, peer: Peer, asked: AskReplay) -> None:
        """Begin a replay. It contains at most the last MOST_REPLAYED of the requested verdicts."""
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
        """Why this peer may not begin a replay now; None if it may."""
        underway = [peer.id for peer, _ in self._reading.values()] + [replay.peer.id for replay in self._sending]
        if underway.count(peer.id) >= REPLAYS_OF_A_PEER:
            return "the last replay is under way; ask again when it has ended"
        if len(underway) >= REPLAYS_AT_ONCE:
            return f"{REPLAYS_AT_ONCE} replays are under way; ask again"
        if not self._paces.admits(peer.id):
            return f"more than {REPLAYS.a_second:g} replays a second; ask again"
        return None

    def _begin(self, peer: Peer, asked: AskReplay, payloads: Iterable[bytes]) -> None:
        self._sending.append(_ActiveReplay(peer, asked, deque(payloads), time.monotonic()))

    def _is_remembered(self, epoch: str, first: int) -> bool:
        return epoch == self._epoch and (not self._remembered or self._remembered[0][0] <= first)

    def _recall(self, epoch: str, first: int, last: int) -> list[bytes]:
        """The requested verdicts in memory. Sequence numbers have no gaps, so positions follow from them."""
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
        """Send one turn's share of the replays."""
        if self._recorder is not None and self._reading:
            for token, payloads in self._recorder.replays():
                assert isinstance(token, int)
                peer, asked = self._reading.pop(token)
                self._begin(peer, asked, payloads)
        self._send()

    def _send(self) -> None:
        """Send one turn's share, one replay after the other. A replay whose peer reads nothing lets the others pass."""
        stalled = 0
        for _ in range(VERDICTS_PER_TURN):
            if stalled == len(self._sending):
                break
            replay = self._sending[0]
            if self._send_next(replay):
                stalled = 0
                continue
            self._sending.popleft()
            if replay.left and time.monotonic() - replay.moved_s < REPLAY_STALLS_S:
                self._sending.append(replay)
                stalled += 1
        self._waits = stalled == len(self._sending)

    def _send_next(self, replay: _ActiveReplay) -> bool:
        """Send the replay's next verdict, or its end. False if it has ended, or if its peer reads nothing."""
        asked = replay.asked
        if not replay.left:
            end = ReplayEnd(epoch=asked.epoch, from_seq=asked.from_seq, to_seq=asked.to_seq, count=replay.sent)
            self._socket.reply(replay.peer, end)
            return False
        if not self._socket.send(replay.peer, b'{"type":"replayed","verdict":%b}' % replay.left[0]):
            return False
        replay.left.popleft()
        replay.sent, replay.moved_s = replay.sent + 1, time.monotonic()
        return True
