"""A group of stations on a verdict channel of its own: to a gate, a PLC and a page it is a station.

It is a controller to each of its stations: it triggers their parts, hears their verdicts, and acknowledges them with
what became of the part.
"""

import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from edge.channel.channel import Channel
from edge.channel.control_messages import Fate, Trigger
from edge.gate.station_link import Endpoint, StationLink
from edge.gate.suspension import SuspendWatch
from edge.group.encoder import EncoderPlaces
from edge.group.joining import Finding, JoinedPart, Joining
from edge.group.view import View
from edge.records.recorder import Recorder
from edge.station.change_log import ChangeLog
from edge.station.control_server import ControlServer, Line
from edge.station.part_counts import Books
from edge.station.replay import Replays
from edge.station.status import ABLE, HEARTBEAT_MS, LEASE_MS
from edge.station.suspension import KeptSuspension
from edge.verdict import KIND_FIELDS, Heartbeat, Outcome, Reason, State, StateChange, Timing, Verdict

log = logging.getLogger("edge.group")

LONGEST_SLEEP_NS = 20_000_000
CLOSE_S = 1.0

MOST_ALARMS, LONGEST_TEXT = 30, 300
"""Alarms of a heartbeat, and characters of each text that comes from a station."""

MOST_ACKNOWLEDGED = 10_000
"""Parts whose acknowledgement is passed on to the stations; no gate is that late."""


@dataclass(frozen=True)
class GroupSettings:
    """What a group is. `views` are its stations, each with where it is, in order. With `places` it triggers none of
    them, and joins their parts by where they are on the belt.
    """

    station: str
    views: tuple[tuple[str, Endpoint], ...]
    bind: str
    budget_ms: float
    control: str | None = None
    viewers: str | None = None
    keys: Path | None = None
    records: Path | None = None
    required: tuple[str, ...] = ()
    insecure: bool = False
    takes_unannounced: bool = False
    places: EncoderPlaces | None = None

    @property
    def source(self) -> str:
        """What its verdicts name as their source."""
        return f"group of {', '.join(name for name, _ in self.views)}"


class Group:
    """Runs a group. Call `turn` again and again from one thread."""

    def __init__(self, settings: GroupSettings) -> None:
        """Bind the sockets, open the records and connect to the stations, which need not run yet.

        Raises ChannelError, KeyFileError or RecordsError.
        """
        self.settings = settings
        self.epoch = secrets.token_hex(8)
        self.books = Books()
        self.state = State.PREOPERATIONAL
        self.cause: str | None = None
        names = [name for name, _ in settings.views]
        takes_unannounced = settings.takes_unannounced or settings.places is not None
        self.joining = Joining(names, settings.budget_ms, takes_unannounced)
        self._suspend_watch = SuspendWatch()
        self._poller = zmq.Poller()
        self._beat_due_ns = 0
        self._has_been_able = self._is_simulated = False
        self._parts: OrderedDict[int, dict[str, tuple[str, int]]] = OrderedDict()  # the views' numbers of a part
        with ExitStack() as undo:
            self.channel = Channel(
                settings.station, settings.bind, settings.control, settings.viewers, settings.keys, settings.insecure,
                partial(self._note, logging.WARNING), partial(self._note, logging.INFO),
            )  # fmt: skip
            undo.callback(self.channel.close)
            self._recorder: Recorder | None = None
            if settings.records is not None:
                self._recorder = Recorder(settings.records, settings.station)
                undo.callback(self._recorder.close, "never ran", 0)
                about = {"views": {name: where.verdicts for name, where in settings.views}, "keep_goods": 0}
                about |= {"budget_ms": settings.budget_ms, "require": settings.required}
                self._recorder.begin(self.epoch, settings.source, settings.source, json.dumps(about))
            self.boot = self._recorder.boot if self._recorder else 0
            self._changes = ChangeLog(self._recorder.event) if self._recorder else None
            self.suspension = KeptSuspension(settings.records)
            self._replays = Replays(self.channel.control, self.epoch, self._recorder)
            self._server = ControlServer(
                self.channel.control, self._line(), self._replays, self._recorder, settings.required, self.suspension
            )
            self.views: list[View] = []
            for name, where in settings.views:
                self.views.append(self._connected(name, where))
                undo.callback(self.views[-1].link.close)
            undo.pop_all()
        for fd in self.channel.fds:
            self._poller.register(fd, zmq.POLLIN)
        if self.suspension.remark is not None:
            self._note(logging.WARNING, f"{settings.station}: {self.suspension.remark}")

    def _connected(self, name: str, where: Endpoint) -> View:
        view = View(name, self.joining, partial(self._note, logging.INFO), self.settings.places)
        view.link = StationLink(
            [where], name, self.settings.station, view, self.settings.budget_ms, self.settings.insecure, self._poller,
            refused=view.refuse, exposed=lambda part, epoch, seq: self._exposed(view, part, epoch, seq),
        )  # fmt: skip
        return view

    def _line(self) -> Line:
        return Line(
            station=self.settings.station,
            epoch=self.epoch,
            boot=self.boot,
            budget_ms=self.settings.budget_ms,
            heartbeat=self.heartbeat,
            accepted=lambda: self.books.accepted,
            trigger=self._trigger,
            acknowledged=self._acknowledged,
        )

    # ------------------------------------------------------------------------------------------------------ the loop

    def turn(self) -> None:
        """Hear, speak and publish once; sleeps for 20 ms at most."""
        now = time.monotonic_ns()
        for view in self.views:
            view.link.speak(now)
        if not self._server.has_more:
            self._poller.poll(-(-self._sleep_ns(now) // 1_000_000))
        if self._suspend_watch.was_suspended():
            for view in self.views:
                view.suspended()
        for view in self.views:
            view.link.hear()
        self.channel.serve()
        self._server.serve()
        self._publish()
        self._beat()

    def _sleep_ns(self, now: int) -> int:
        due = [self._beat_due_ns]
        if (part_due := self.joining.due_ns()) is not None:
            due.append(part_due)
        return max(0, min(LONGEST_SLEEP_NS, min(due) - now))

    def close(self, cause: str) -> None:
        """Answer the parts in flight, announce the end, and release everything, within some seconds; once."""
        if self.state is State.STOPPED:
            return
        with ExitStack() as last:  # callbacks run in reverse order, each even if others fail
            if (recorder := self._recorder) is not None:
                last.callback(lambda: recorder.close(cause, self.books.published, CLOSE_S))
            last.callback(self.suspension.close, CLOSE_S)
            last.callback(self.channel.close)
            for view in self.views:
                last.callback(view.link.close)
            for part in self.joining:
                part.fault = part.fault or (Reason.STOPPED, "the group was stopped")
            self._publish(is_over=True)
            self.state, self.cause = State.STOPPED, cause
            self.channel.publisher.send(self.heartbeat())
            self._announce(State.STOPPED, cause)

    # --------------------------------------------------------------------------------------------------------- parts

    def _trigger(self, trigger: Trigger) -> int | str:
        """Begin a part and tell all stations; returns its number, or why it is refused."""
        if self.settings.places is not None:
            return "the parts of this group are joined by the encoder; trigger its stations"
        now = time.monotonic_ns()
        if (refusal := self.joining.refusal(trigger.part, now)) is not None:
            return refusal
        part = self.joining.begin(trigger.part, now, trigger.fields)
        self._count()
        for view in self.views:
            view.trigger(part, trigger)
        return part.seq

    def _count(self) -> None:
        """Count the parts that have begun, also by the verdict of a view."""
        if self.books.accepted == self.joining.accepted:
            return
        suspended = self._suspended()
        for part in self.joining:
            if part.seq > self.books.accepted:
                self.books.accept()
                if suspended is not None:
                    part.fault = Reason.SUSPENDED, suspended
        if self._recorder is not None:
            self._recorder.accept(self.books.accepted)

    def _exposed(self, view: View, name: str, epoch: str, seq: int) -> None:
        """Tell the trigger's sender when all views have exposed the part, with the moment at which the last said so."""
        if (part := self.joining.expose(view.name, name, epoch, seq)) is not None:
            self._server.tell_exposed(part.name, part.seq, time.monotonic_ns())

    def _acknowledged(self, epoch: str, seq: int, fate: Fate, client: str) -> None:
        """Pass on to the stations what became of a part."""
        if epoch != self.epoch:
            return
        numbers = self._parts.get(seq, {})
        for view in self.views:
            if view.name in numbers:
                view.link.acknowledge(*numbers[view.name], fate)

    def _publish(self, is_over: bool = False) -> None:
        self._count()
        now = time.monotonic_ns()
        lost = {view.name: cause for view in self.views if (cause := view.lost(now)) is not None}
        for part in self.joining.decided(now, is_over):
            verdict = self._verdict(part, self.joining.finding(part, lost))
            payload = self.channel.publisher.send(verdict)
            self.books.enter(verdict)
            self._replays.remember(verdict.seq, payload)
            if self._recorder is not None:
                self._recorder.enter(verdict, payload)
            self._parts[part.seq] = {name: (one.verdict.epoch, one.verdict.seq) for name, one in part.views.items()}
            if len(self._parts) > MOST_ACKNOWLEDGED:
                self._parts.popitem(last=False)

    def _verdict(self, part: JoinedPart, found: Finding) -> Verdict:
        """The verdict as of now: the age is checked right before it is sent."""
        now = time.monotonic_ns()
        captured_ns = min(part.captured_ns, now)
        age_ms = (now - captured_ns) / 1e6
        if found.outcome is not Outcome.UNKNOWN and age_ms > self.settings.budget_ms:
            late = "the views' verdicts came within the budget, publication did not"
            found = Finding(Outcome.UNKNOWN, Reason.LATE, late, None, None)
        said, one = [one.verdict for one in part.views.values()], found.verdict
        truths, products = {verdict.truth for verdict in said}, {verdict.product for verdict in said}
        self._is_simulated |= any(verdict.simulated for verdict in said)
        return Verdict(
            **self._sender(),
            seq=part.seq,
            part=part.name,
            fields=part.fields or next((verdict.fields for verdict in said if verdict.fields), None),
            product=products.pop() if len(products) == 1 else None,
            view=found.view,
            verdict=found.outcome,
            reason=found.reason,
            detail=None if found.detail is None else _short(found.detail),
            score=one.score if one and found.outcome is not Outcome.UNKNOWN else None,
            threshold=one.threshold if one else None,
            marginal=any(verdict.marginal for verdict in said),
            **(one.model_dump(include=KIND_FIELDS) if one and found.outcome is Outcome.REJECT else {}),
            age_ms=age_ms,
            budget_ms=self.settings.budget_ms,
            source=self.settings.source,
            bundle=one.bundle if one else self.settings.source,
            backend=one.backend if one else None,
            truth="bad" if "bad" in truths else "good" if truths == {"good"} else None,
            timing=Timing(captured=captured_ns, published=now),
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    # --------------------------------------------------------------------------------------------------------- state

    def _derived(self, now: int) -> tuple[State, str | None]:
        for view in self.views:
            if (trouble := view.trouble(now)) is not None:
                cause = _short(f"view {view.name}: {trouble}")
                return State.HELD if self._has_been_able else State.PREOPERATIONAL, cause
        self._has_been_able = True
        if (suspended := self._suspended()) is not None:
            return State.SUSPENDED, suspended
        return (State.EXECUTING if self.books.accepted else State.READY), None

    def _suspended(self) -> str | None:
        """Why the group is suspended; None if it is not."""
        if (person := self._server.suspended_by) is not None:
            return f"operator: {person}"
        if missing := self._server.missing():
            return f"controller: nothing heard from {', '.join(missing)}"
        if doubled := self._server.doubled():
            return f"controller: two have the name {', '.join(doubled)}; stop one of them"
        return None

    def _beat(self) -> None:
        """Announce a change of state at once, with a heartbeat; otherwise send a heartbeat when it is due."""
        now = time.monotonic_ns()
        current = self._derived(now)
        if current != (self.state, self.cause):
            self._announce(*current)
            self._beat_due_ns = 0
        if now < self._beat_due_ns:
            return
        self._beat_due_ns = now + HEARTBEAT_MS * 1_000_000
        self.channel.publisher.subscribers()  # takes the notes of who came and went off the socket
        beat = self.heartbeat()
        self.channel.publisher.send(beat)
        if self._changes is not None:
            self._changes.follow(beat.state, beat.cause, beat.alarms)

    def _announce(self, state: State, cause: str | None) -> None:
        if (state, cause) != (self.state, self.cause):
            level = logging.WARNING if state in (State.HELD, State.SUSPENDED) else logging.INFO
            log.log(level, "%s: %s%s", self.settings.station, state, f": {cause}" if cause else "")
        self.state, self.cause = state, cause
        last_seq, now = self.books.published, time.monotonic_ns()
        change = StateChange(**self._sender(), sent=now, state=state, cause=cause, last_seq=last_seq)
        self.channel.publisher.send(change)

    def heartbeat(self) -> Heartbeat:
        """The group's heartbeat as of now. Its products are those of the stations, if all make the same."""
        now = time.monotonic_ns()
        beats = [view.heartbeat for view in self.views if view.heartbeat is not None]
        products = {(beat.product, beat.product_number) for beat in beats}
        product, number = products.pop() if len(products) == 1 else (None, None)
        return Heartbeat(
            **self._sender(),
            sent=now,
            state=self.state,
            ready=self.state in ABLE,
            valid_ms=LEASE_MS,
            valid_until=now + LEASE_MS * 1_000_000,
            cause=self.cause,
            alarms=self._alarms(),
            product=product,
            product_number=number,
            last_seq=self.books.published,
            durable_seq=self._recorder.durable_seq if self._recorder else None,
            ledger=self.books.ledger(),
            restarts=0,
        )

    def _alarms(self) -> tuple[str, ...]:
        suspended = self._suspended() if self.state is not State.SUSPENDED else None
        found = [f"suspended: {suspended}"] if suspended is not None else []
        found += self.suspension.alarms + (self._recorder.alarms if self._recorder else ())
        for view in self.views:
            said = [*view.link.refusals, *(view.heartbeat.alarms if view.heartbeat else ())]
            said += [
                f"it may take {welcome.budget_ms:g} ms for a verdict, more than the group's budget"
                for welcome in view.link.long_budgets
            ]
            found += [f"view {view.name}: {one}" for one in said]
        return tuple(_short(one) for one in found[:MOST_ALARMS])

    def _sender(self) -> dict[str, Any]:
        simulated = self._is_simulated or any(view.heartbeat.simulated for view in self.views if view.heartbeat)
        about = {"station": self.settings.station, "epoch": self.epoch, "boot": self.boot}
        return {**about, "simulated": simulated}

    def _note(self, level: int, line: str) -> None:
        """Write a line to the log and to the record."""
        log.log(level, "%s", line, extra={"station": self.settings.station})
        if (recorder := getattr(self, "_recorder", None)) is not None:
            recorder.event("channel", line)

    def report(self) -> dict[str, Any]:
        """Summary of this run."""
        counts = {str(outcome): self.books.outcomes[outcome] for outcome in Outcome}
        return {
            "station": self.settings.station,
            "epoch": self.epoch,
            "parts": self.books.accepted,
            **counts,
            "reasons": dict(self.books.reasons),
            "late_views": self.joining.late,
            "foreign_views": self.joining.foreign,
            "malformed": sum(view.link.malformed for view in self.views),
            "p99_ms": self.books.percentile_ms(99),
        }


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def check_views(views: Sequence[str], station: str) -> str | None:
    """What is wrong with the names of a group's views; None if nothing is."""
    if len(views) < 2:
        return "a group has two views or more; give --view for each"
    if twice := next((name for name in views if views.count(name) > 1), None):
        return f"two views have the name {twice}"
    return f"the group has the name of its view {station}; give it another one" if station in views else None
