"""Answers what controllers ask on the control socket, and knows who of them is there."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.channel.control_messages import (
    Acknowledge,
    AskReplay,
    AskSnapshot,
    Hello,
    Ping,
    Pong,
    Request,
    Snapshot,
    Trigger,
    Triggered,
    Welcome,
)
from edge.channel.control_socket import ControlSocket, Peer
from edge.channel.limits import MOST_PEERS, TRIGGERS
from edge.channel.pace import Paces
from edge.security.roles import NEEDS, Role
from edge.station.replay import Replays

if TYPE_CHECKING:
    from edge.records.recorder import Recorder
    from edge.verdict import Heartbeat

SILENCE_MS = 500
"""A required controller that says nothing for this long is missing. It pings every 100 ms."""

A_TURN = 16
"""Requests that are answered in a turn of the station's loop."""


@dataclass(frozen=True)
class Line:
    """What the desk may know and do of the station."""

    station: str
    epoch: str
    boot: int
    budget_ms: float
    heartbeat: "Callable[[], Heartbeat]"
    accepted: Callable[[], int]
    trigger: Callable[[str], int | str]
    """Accepts the part of this id; its sequence number, or why the station takes no triggers."""


class Desk:
    """Serves the control socket, a bounded number of requests in each turn of the station's loop."""

    def __init__(
        self,
        socket: ControlSocket,
        line: Line,
        replays: Replays,
        recorder: "Recorder | None",
        required: tuple[str, ...] = (),
    ) -> None:
        """`required` names controllers without which the station is suspended."""
        self.counts: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self._socket, self._line, self._replays, self._recorder = socket, line, replays, recorder
        self._named: OrderedDict[tuple[bytes, ...], str] = OrderedDict()
        self._heard_ns: dict[str, int | None] = dict.fromkeys(required)
        self._triggers = Paces(TRIGGERS)
        self._announcers: set[str] = set()  # keys that have triggered in this run

    @property
    def malformed(self) -> int:
        """Messages that were no requests."""
        return self._socket.malformed

    def missing(self) -> list[str]:
        """The required controllers that are silent."""
        limit = time.monotonic_ns() - SILENCE_MS * 1_000_000
        return [name for name, heard_ns in self._heard_ns.items() if heard_ns is None or heard_ns < limit]

    @property
    def has_more(self) -> bool:
        """Whether the next turn has something to do."""
        return self._socket.has_more or self._replays.is_sending

    def serve(self) -> None:
        """Answer what has come."""
        for peer, request in self._socket.requests(A_TURN):
            self.counts[request.type] += 1
            self._hear(peer, request)
            if peer.role.may(request.type):
                self._answer(peer, request)
            else:
                self._socket.limit(peer, request.type, "role", _not_allowed(peer, request))
        self._replays.serve()

    def _name(self, peer: Peer) -> str | None:
        return peer.user or self._named.get(peer.route)

    def _hear(self, peer: Peer, request: Request) -> None:
        if isinstance(request, Hello) and peer.user is None:
            self._named[peer.route] = request.client
            self._named.move_to_end(peer.route)
            if len(self._named) > MOST_PEERS:
                self._named.popitem(last=False)
        name = self._name(peer)
        if name in self._heard_ns:
            self._heard_ns[name] = time.monotonic_ns()

    def _answer(self, peer: Peer, request: Request) -> None:
        line = self._line
        match request:
            case Hello():
                name = self._name(peer) or request.client
                welcome = Welcome(
                    station=line.station,
                    epoch=line.epoch,
                    boot=line.boot,
                    client=name,
                    is_required=name in self._heard_ns,
                    budget_ms=line.budget_ms,
                )
                self._socket.reply(peer, welcome)
            case Ping():
                self._socket.reply(peer, Pong(nonce=request.nonce, epoch=line.epoch, now=time.monotonic_ns()))
            case AskSnapshot():
                self._socket.reply(peer, Snapshot(heartbeat=line.heartbeat()))
            case AskReplay():
                self._replays.ask(peer, request)
            case Acknowledge():
                self._acknowledge(peer, request)
            case Trigger():
                self._trigger(peer, request)

    def _trigger(self, peer: Peer, trigger: Trigger) -> None:
        """A part, if this peer has not announced too many. The record has who announces parts, at his first."""
        if not self._triggers.admits(peer.id):
            why = f"more than {TRIGGERS.a_second:g} triggers a second; trigger more slowly"
            self._socket.limit(peer, trigger.type, "triggers", why)
            return
        accepted = self._line.trigger(trigger.part)
        if isinstance(accepted, str):
            self._socket.refuse(peer, trigger, accepted)
            return
        if self._recorder is not None and peer.user is not None and peer.user not in self._announcers:
            self._announcers.add(peer.user)
            self._recorder.event("channel", f"{peer.user} triggers parts, from seq {accepted} on")
        self._socket.reply(peer, Triggered(part=trigger.part, epoch=self._line.epoch, seq=accepted))

    def _acknowledge(self, peer: Peer, ack: Acknowledge) -> None:
        name = self._name(peer)
        if name is None:
            self._socket.refuse(peer, ack, "say hello first, so that it is known who acknowledges")
            return
        if ack.epoch == self._line.epoch and ack.seq > self._line.accepted():
            self._socket.refuse(peer, ack, f"no part of this epoch has the number {ack.seq}")
            return
        if self._recorder is not None and not self._recorder.knows(ack.epoch):
            self._socket.refuse(peer, ack, f"no run of this station had the epoch {ack.epoch}")
            return
        self.fates[ack.fate] += 1
        if self._recorder is not None:
            self._recorder.acknowledge(ack.epoch, ack.seq, ack.fate, name)


def _not_allowed(peer: Peer, request: Request) -> str:
    needs = f"{NEEDS[request.type]} or {Role.CONTROL}"
    return f"the key of {peer.user} has the role {peer.role}; this needs {needs} (edge-keys add --role)"
