"""Answers the requests of controllers on the control socket, and tracks which controllers are present."""

import itertools
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edge.channel.control_messages import (
    Acknowledge,
    AskCandidate,
    AskChallenge,
    AskReplay,
    AskSnapshot,
    ChallengePart,
    Exposed,
    Fate,
    Hello,
    LoadBundle,
    Operation,
    Ping,
    Pong,
    ProductSelected,
    Promote,
    Request,
    Resume,
    RollBack,
    SelectProduct,
    Snapshot,
    Suspend,
    Suspension,
    Trigger,
    Triggered,
    Unload,
    Welcome,
)
from edge.channel.control_socket import ControlSocket, Peer
from edge.channel.limits import CHANGEOVERS, MOST_PEERS, SUSPENSIONS, TRIGGERS
from edge.channel.pace import Paces
from edge.security.roles import NEEDS, Role
from edge.station.challenge import PartChallenge
from edge.station.products import Products
from edge.station.replay import Replays
from edge.station.rollout.rollout import Rollout
from edge.station.suspension import KeptSuspension

if TYPE_CHECKING:
    from edge.records.recorder import Recorder
    from edge.verdict import Heartbeat

log = logging.getLogger("edge.station")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

SILENCE_MS = 500
"""A required controller that is silent for this long is missing. Controllers ping every 100 ms."""

MOST_RUNS = 8
"""Processes with the name of a required controller that are followed at a time."""

MOST_WARNED = 10
"""Clients of one run that each kind of warning is logged for."""

LONGEST_DECISION_MS = 10_000.0
"""A station whose source has ended does not wait longer than this for the decisions of controllers."""

MOST_EXPOSING = 1_000
"""Triggered parts whose exposure a sender waits for; a further one displaces the oldest."""

OF_STATIONS = "this is a group of stations; ask the station that is meant"
"""The refusal of a request that concerns products, bundles or challenges, by a group."""

REQUESTS_PER_TURN = 16
"""Requests answered per turn of the station's loop."""


@dataclass(frozen=True)
class Line:
    """The station's data and functions that the control server uses."""

    station: str
    epoch: str
    boot: int
    budget_ms: float
    heartbeat: "Callable[[], Heartbeat]"
    accepted: Callable[[], int]
    trigger: Callable[[Trigger], int | str]
    """Accepts a part; returns its number, or why the station takes no triggers."""
    acknowledged: Callable[[str, int, Fate, str], None] = lambda epoch, seq, fate, client: None
    """Takes what became of a part, from the controller of this name."""

    products: Products | None = None
    """This and the following are None of a group: its stations have products and bundles."""

    rollout: Rollout | None = None
    part_challenge: PartChallenge | None = None
    stored_challenge: Callable[[], str | None] = lambda: None
    """The last result of the stored challenge picture, in words."""


class _Deciding(NamedTuple):
    """A controller that has said until when after capture it can use a verdict, and when it was last heard."""

    most_budget_ms: float
    heard_ns: int


class ControlServer:
    """Serves the control socket: a bounded number of requests per turn of the station's loop."""

    def __init__(
        self,
        socket: ControlSocket,
        line: Line,
        replays: Replays,
        recorder: "Recorder | None",
        required: tuple[str, ...] = (),
        suspension: KeptSuspension | None = None,
    ) -> None:
        """`required` names the controllers without which the station is suspended. `suspension` is that of a person;
        without it one ends with the run.
        """
        self.counts: Counter[str] = Counter()
        self.fates: Counter[str] = Counter()
        self._socket, self._line, self._replays, self._recorder = socket, line, replays, recorder
        self._named: OrderedDict[tuple[bytes, ...], str] = OrderedDict()
        self._heard_ns: dict[str, int | None] = dict.fromkeys(required)
        self._deciding: OrderedDict[str, _Deciding] = OrderedDict()
        self._triggers, self._suspensions = Paces(TRIGGERS), Paces(SUSPENSIONS)
        self._changeovers = Paces(CHANGEOVERS)
        self._exposing: OrderedDict[int, Peer] = OrderedDict()  # senders who wait for an exposure, by seq
        self._announcers: set[str] = set()  # keys that have sent a trigger in this run
        self._hurried: set[str] = set()  # clients that the budget is too long for
        self._not_required: set[str] = set()  # clients that said hello while a required controller was missing
        self._runs: OrderedDict[tuple[bytes, ...], str] = OrderedDict()  # what clients call their runs, by route
        self._suspension = suspension or KeptSuspension(None)
        self._spans: dict[str, dict[str, tuple[int, int]]] = {name: {} for name in required}

    @property
    def malformed(self) -> int:
        """Number of messages that were not valid requests."""
        return self._socket.malformed

    @property
    def suspended_by(self) -> str | None:
        """Who suspends the station, and why; None if no person does."""
        return self._suspension.said

    def missing(self) -> list[str]:
        """Names of the required controllers that are silent."""
        limit = time.monotonic_ns() - SILENCE_MS * 1_000_000
        return [name for name, heard_ns in self._heard_ns.items() if heard_ns is None or heard_ns < limit]

    def doubled(self) -> list[str]:
        """Names of the required controllers that two processes have at a time: first and last messages overlap."""
        limit = time.monotonic_ns() - SILENCE_MS * 1_000_000
        found = []
        for name, spans in self._spans.items():
            for run in [run for run, (_, last_ns) in spans.items() if last_ns < limit]:
                del spans[run]
            if any(min(a[1], b[1]) > max(a[0], b[0]) for a, b in itertools.combinations(spans.values(), 2)):
                found.append(name)
        return found

    @property
    def decision_ms(self) -> float:
        """The longest time from capture to decision of the controllers that are present (ms); 0 without any."""
        limit = time.monotonic_ns() - SILENCE_MS * 1_000_000
        present = (one.most_budget_ms for one in self._deciding.values() if one.heard_ns >= limit)
        return min(max(present, default=0.0), LONGEST_DECISION_MS)

    @property
    def has_more(self) -> bool:
        """Whether there is work for the next turn."""
        return self._socket.has_more or self._replays.is_sending

    def serve(self) -> None:
        """Answer the pending requests."""
        for peer, request in self._socket.requests(REQUESTS_PER_TURN):
            self.counts[request.type] += 1
            self._track(peer, request)
            if peer.role.may(request.type):
                self._answer(peer, request)
            else:
                self._socket.limit(peer, request.type, "role", _not_allowed(peer, request))
        self._replays.serve()

    def _name(self, peer: Peer) -> str | None:
        return peer.user or self._named.get(peer.route)

    def _track(self, peer: Peer, request: Request) -> None:
        if isinstance(request, Hello) and peer.user is None:
            _remember(self._named, peer.route, request.client)
        name = self._name(peer)
        if isinstance(request, Hello) and request.run is not None:
            _remember(self._runs, peer.route, request.run)
        if name in self._heard_ns:
            now = self._heard_ns[name] = time.monotonic_ns()
            spans, run = self._spans[name], self._runs.get(peer.route)
            if run is not None and (run in spans or len(spans) < MOST_RUNS):
                spans[run] = spans.get(run, (now, now))[0], now
        if name is None:
            return
        if isinstance(request, Hello) and request.most_budget_ms is not None:
            _remember(self._deciding, name, _Deciding(request.most_budget_ms, 0))
        if name in self._deciding:
            self._deciding[name] = self._deciding[name]._replace(heard_ns=time.monotonic_ns())

    def _answer(self, peer: Peer, request: Request) -> None:
        line = self._line
        match request:
            case Hello():
                name = self._name(peer) or request.client
                self._check_budget(name, request)
                self._check_name(name)
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
                products = () if line.products is None else line.products.states()
                self._socket.reply(peer, Snapshot(heartbeat=line.heartbeat(), products=products))
            case AskReplay():
                self._replays.ask(peer, request)
            case Acknowledge():
                self._acknowledge(peer, request)
            case Trigger():
                self._trigger(peer, request)
            case Suspend() | Resume():
                if self._is_meant(peer, request):
                    self._suspend(peer, request)
            case SelectProduct():
                if self._is_meant(peer, request):
                    self._select(peer, request)
            case AskCandidate() | LoadBundle() | Promote() | RollBack() | Unload():
                if line.rollout is None:
                    self._socket.refuse(peer, request, OF_STATIONS)
                elif isinstance(request, AskCandidate):
                    self._socket.reply(peer, line.rollout.state(request.product))
                elif self._is_meant(peer, request):
                    self._roll_out(peer, request, line.rollout)
            case AskChallenge() | ChallengePart():
                if line.part_challenge is None:
                    self._socket.refuse(peer, request, OF_STATIONS)
                elif isinstance(request, AskChallenge):
                    self._socket.reply(peer, line.part_challenge.state(line.stored_challenge()))
                elif self._is_meant(peer, request):
                    self._challenge(peer, request, line.part_challenge)

    def _is_meant(self, peer: Peer, request: Operation) -> bool:
        """Whether this station and run is meant; otherwise the request is refused."""
        own = self._line
        if request.station in (None, own.station) and request.epoch in (None, own.epoch):
            return True
        meant = f"{request.station or own.station}, epoch {request.epoch or own.epoch}"
        self._socket.refuse(peer, request, f"this is station {own.station}, epoch {own.epoch}, not {meant}; ask anew")
        return False

    def _select(self, peer: Peer, request: SelectProduct) -> None:
        """Make a product current; who asked is in the record."""
        if not self._changeovers.admits(peer.id):
            why = f"more than {CHANGEOVERS.a_second:g} changeovers a second; ask more slowly"
            self._socket.limit(peer, request.type, "changeovers", why)
            return
        if (products := self._line.products) is None:
            self._socket.refuse(peer, request, OF_STATIONS)
            return
        before = products.name
        wanted = products.find(request.product, request.number)
        if wanted is None or before is None:
            self._socket.refuse(peer, request, products.refusal(request.product, request.number))
            return
        if (unfit := products.select(wanted)) is not None:
            self._socket.refuse(peer, request, unfit)
            return
        if wanted.name != before:
            self._note_operator(peer, request, f"changes over from product {before} to {wanted.name}")
        now = time.monotonic_ns()
        self._socket.reply(peer, ProductSelected(product=wanted.name, number=wanted.number, before=before, sent=now))

    def _roll_out(self, peer: Peer, request: LoadBundle | Promote | RollBack | Unload, rollout: Rollout) -> None:
        """Change what the station has loaded; who asked is in the record."""
        if not self._changeovers.admits(peer.id):
            why = f"more than {CHANGEOVERS.a_second:g} changeovers a second; ask more slowly"
            self._socket.limit(peer, request.type, "changeovers", why)
            return
        before = rollout.state(request.product)
        match request:
            case LoadBundle():
                refusal, what = rollout.load(request), f"loads {request.bundle} as the candidate"
            case Promote():
                what = f"promotes {before.bundle} after {before.judged} parts, {request.flips} flips looked at"
                refusal = rollout.promote(request)
            case RollBack():
                refusal, what = rollout.roll_back(request), f"rolls back from {before.running}"
            case Unload():
                refusal, what = rollout.unload(request), f"gives up the candidate {before.bundle}"
        if refusal is not None:
            self._socket.refuse(peer, request, refusal)
            return
        self._note_operator(peer, request, what)
        self._socket.reply(peer, rollout.state(request.product))

    def _challenge(self, peer: Peer, request: ChallengePart, challenge: PartChallenge) -> None:
        """Wait for a marked bad part; who brings it is in the record."""
        if not self._suspensions.admits(peer.id):
            why = f"more than {SUSPENSIONS.a_second:g} challenges a second; ask more slowly"
            self._socket.limit(peer, request.type, "suspensions", why)
            return
        if (refusal := challenge.ask(request, self._line.accepted())) is not None:
            self._socket.refuse(peer, request, refusal)
            return
        self._note_operator(peer, request, f"brings a bad part: {request.part or 'the next one'}")
        self._socket.reply(peer, challenge.state(self._line.stored_challenge()))

    def _note_operator(self, peer: Peer, request: Operation, what: str) -> None:
        """Write to the log and to the record who did what, and why."""
        key = f", key of {peer.user}" if peer.user else ""
        line = f"{request.by} {what}{f': {request.reason}' if request.reason else ''}{key}"
        log.warning("%s: %s", self._line.station, line, extra={"station": self._line.station})
        if self._recorder is not None:
            self._recorder.event("operator", line)

    def _suspend(self, peer: Peer, request: Suspend | Resume) -> None:
        """Suspend the station or resume it, by name; both are in the record."""
        if not self._suspensions.admits(peer.id):
            why = f"more than {SUSPENSIONS.a_second:g} suspensions a second; ask more slowly"
            self._socket.limit(peer, request.type, "suspensions", why)
            return
        is_suspended, before = isinstance(request, Suspend), self.suspended_by
        if is_suspended:
            self._suspension.begin(request.by, request.reason)
        else:
            self._suspension.end()
        if self.suspended_by == before:  # nothing changes
            self._socket.reply(peer, Suspension(is_suspended=is_suspended))
            return
        self._note_operator(peer, request, f"{'suspends' if is_suspended else 'resumes'} the station")
        self._socket.reply(peer, Suspension(is_suspended=is_suspended))

    def _check_budget(self, name: str, hello: Hello) -> None:
        """Log once per client, for a number of clients, that it cannot wait as long as the budget lasts."""
        most, budget = hello.most_budget_ms, self._line.budget_ms
        if most is None or budget <= most or name in self._hurried or len(self._hurried) >= MOST_WARNED:
            return
        self._hurried.add(name)
        log.warning(
            "%s: budget %g ms, but controller %s can use verdicts up to %g ms after capture (travel - lead - transit) "
            "and rejects later ones; give --budget-ms %g or less, or the controller a longer travel",
            self._line.station, budget, name, most, most, extra={"station": self._line.station},
        )  # fmt: skip

    def _check_name(self, name: str) -> None:
        """Log once per client, for a number of clients, that it connected while a required controller is missing."""
        missing, warned = self.missing(), self._not_required
        if not missing or name in self._heard_ns or name in warned or len(warned) >= MOST_WARNED:
            return
        warned.add(name)
        log.warning(
            "%s: client %s is connected, but --require names %s, from which nothing is heard; if %s is the controller, "
            "give --require %s, or the controller the required name",
            self._line.station, name, ", ".join(missing), name, name, extra={"station": self._line.station},
        )  # fmt: skip

    def _trigger(self, peer: Peer, trigger: Trigger) -> None:
        """Accept a part, within the peer's rate limit. The first trigger of each key is recorded as an event."""
        if not self._triggers.admits(peer.id):
            why = f"more than {TRIGGERS.a_second:g} triggers a second; trigger more slowly"
            self._socket.limit(peer, trigger.type, "triggers", why)
            return
        accepted = self._line.trigger(trigger)
        if isinstance(accepted, str):
            self._socket.refuse(peer, trigger, accepted)
            return
        if self._recorder is not None and peer.user is not None and peer.user not in self._announcers:
            self._announcers.add(peer.user)
            self._recorder.event("channel", f"{peer.user} triggers parts, from seq {accepted} on")
        self._socket.reply(peer, Triggered(part=trigger.part, epoch=self._line.epoch, seq=accepted))
        if trigger.exposed:
            self._exposing[accepted] = peer
            if len(self._exposing) > MOST_EXPOSING:
                self._exposing.popitem(last=False)

    def tell_exposed(self, part: str, seq: int, captured_ns: int) -> None:
        """Tell the trigger's sender, if it asked, that the frame of this part was exposed at `captured_ns`."""
        if (peer := self._exposing.pop(seq, None)) is not None:
            self._socket.reply(peer, Exposed(part=part, epoch=self._line.epoch, seq=seq, captured=captured_ns))

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
        self._line.acknowledged(ack.epoch, ack.seq, ack.fate, name)
        if self._recorder is not None:
            self._recorder.acknowledge(ack.epoch, ack.seq, ack.fate, name)


def _remember(those: "OrderedDict[_Key, _Value]", key: _Key, value: _Value) -> None:
    """Set the value of a key, and drop the oldest of more than MOST_PEERS."""
    those[key] = value
    those.move_to_end(key)
    if len(those) > MOST_PEERS:
        those.popitem(last=False)


def _not_allowed(peer: Peer, request: Request) -> str:
    needs = " or ".join(dict.fromkeys((NEEDS[request.type], Role.CONTROL)))
    return f"the key of {peer.user} has the role {peer.role}; this needs {needs} (edge-keys add --role)"
