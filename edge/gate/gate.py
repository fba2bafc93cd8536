"""The gate's decision machine: messages of the station with their local times in, one decision for each part out.

A part passes only on an in-time final good of the current epoch that names this part. Anything missing, late, doubtful
or out of order is a reject. The machine has no sockets and no clock, so that tests can replay everything.

While the station is Held or Suspended, new parts are unknown, but a good published in time before still passes: the
cause of the hold does not affect parts that were already judged. The station's heartbeats must continue, because
without them the gate cannot know whether the epoch continues. After the station has announced that it stopped or
failed, no part passes.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from edge.channel.control_messages import Fate
from edge.gate import TRANSIT_MS
from edge.gate.belt import Belt
from edge.gate.decision import Decision, Why
from edge.gate.part import Part
from edge.gate.station_view import Speaker, StationView
from edge.verdict import Heartbeat, Outcome, Reason, State, StateChange, Verdict

MOST_IN_FLIGHT = 10_000
"""Limit of parts between camera and gate; further parts are rejected at once."""

MOST_LISTED = 1_000
"""Sequence numbers of a gap that get one decision each, the last ones; the numbers before share one decision."""

LATE_ALARM = 3
"""Consecutive late parts that raise an alarm."""


@dataclass(frozen=True)
class Rules:
    """The settings of a site.

    `transit_ms` is the time that a verdict may take from its publication, which ends the budget, to the gate. With
    `announced`, `expect` is called for each part before its verdict arrives; a verdict of any other part passes
    nothing.
    """

    transit_ms: float = TRANSIT_MS
    allow_simulated: bool = False
    announced: bool = False


class Gate:
    """Decides each part once. `decided` is called with each decision before any other effect.

    `acknowledge` is called once with epoch, sequence number and fate of each part whose number is known: when the part
    is decided and its verdict has arrived, or when it is certain that no verdict will arrive. `separates` says whether
    a good part can pass alone; see `Actuator.separates`.

    All times are local, `time.monotonic_ns()`, and do not decrease from call to call.
    """

    def __init__(
        self,
        belt: Belt,
        decided: Callable[[Decision], None],
        acknowledge: Callable[[str, int, Fate], None],
        rules: Rules = Rules(),
        separates: Callable[[int, int | None], bool] = lambda due_ns, next_due_ns: True,
    ) -> None:
        """No part passes before a heartbeat, a snapshot and a pong of one epoch have arrived."""
        self.counts: Counter[Why] = Counter()
        self.repeated = 0
        self.foreign = 0
        self.alarms = 0
        self.late_in_a_row = 0
        self.failure: str | None = None
        self.outage: str | None = None
        self.outages = 0
        self._belt, self._decided, self._acknowledge, self._rules = belt, decided, acknowledge, rules
        self._separates = separates
        self._in_flight: list[tuple[int, int, Part]] = []  # by the place of the belt at which the part is decided
        self._order = count()
        self._awaited: dict[str, Part] = {}  # announced parts without a verdict, by id
        self._numbered: dict[int, Part] = {}  # those of them whose sequence number is known, by number
        self._overdue: dict[str | int, None] = {}  # ids and numbers of parts decided before their verdict
        self._station = StationView()

    # --------------------------------------------------------------------------------------------------- what it hears

    def hear(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> None:
        """Handle a message of the verdict channel, received at `at_ns`. Replayed verdicts must not be passed here."""
        if not self._is_of_this_epoch(message, at_ns):
            return
        if isinstance(message, Verdict):
            self._take(message, at_ns)
            return
        self._miss_up_to(message.last_seq, at_ns)
        if self._station.tell(message, at_ns) and self._station.state is State.STOPPED:
            self._reject_all(Why.STATION_STOPPED, at_ns)

    def pong(self, epoch: str, now: int, sent_ns: int, received_ns: int) -> None:
        """Handle the answer to a ping: the station's clock showed `now` between the local `sent_ns` and
        `received_ns`. If it contradicts earlier answers, a clock stood still, perhaps the local one, by which the parts
        in flight are due: they are rejected.
        """
        if self._station.pong(epoch, now, sent_ns, received_ns):
            self._reject_all(Why.NO_CLOCK, received_ns)

    def suspended(self, at_ns: int) -> None:
        """Reject the parts in flight, because the machine was suspended: the local clock stood still, the belt did not
        perhaps.
        """
        self._station.suspended()
        self._reject_all(Why.GATE_LATE, at_ns)

    def snapshot(self, heartbeat: Heartbeat) -> None:
        """Join the epoch. Verdicts up to the last one of the snapshot are history and pass nothing."""
        self._station.snapshot(heartbeat)

    @property
    def epoch(self) -> str | None:
        """The epoch that is followed; None before the first message."""
        return self._station.epoch

    @property
    def fault(self) -> str | None:
        """Why everything is rejected until `reset`: two stations seem to have this name."""
        return self._station.fault

    @property
    def wants_snapshot(self) -> bool:
        """Whether a heartbeat of an epoch has arrived that is not joined yet."""
        return self._station.wants_snapshot

    def expect(self, part: str, at_ns: int) -> None:
        """Announce a part: it is at the camera at `at_ns`, and its verdict will have this id.

        An id that is announced again before its verdict arrived is ambiguous: both parts are rejected.
        """
        place = self._belt.place(at_ns)
        announced = Part(part, None if place is None else place + self._belt.travel, announced_ns=at_ns)
        if part in self._awaited:
            self._awaited[part].refusal = announced.refusal = Why.ANNOUNCED_TWICE
        else:
            self._awaited[part] = announced
        self._schedule(announced, at_ns)

    def number(self, part: str, epoch: str, seq: int) -> None:
        """Handle the station's answer to a trigger: the verdict of this announced part will have this number.

        A number that was already received or missed is ignored; the part is then decided as late.
        """
        announced = self._awaited.get(part)
        if announced is not None and announced.seq is None and epoch == self.epoch and seq > self._station.last_seq:
            announced.seq = seq
            self._numbered[seq] = announced

    def step(self, now_ns: int) -> None:
        """Decide the parts that are due."""
        here = self._belt.place(now_ns)
        while here is not None and self._in_flight and self._in_flight[0][0] <= here:
            part = heapq.heappop(self._in_flight)[2]
            self._decide(part, self._judge(part, here, now_ns), now_ns)

    @property
    def has_ended(self) -> bool:
        """Whether the station has announced its end and no part is in flight."""
        return self._station.state is State.STOPPED and not self._in_flight

    @property
    def end_cause(self) -> str | None:
        """Why the station stopped, in its words; None while it runs."""
        return self._station.end_cause

    def wait_ns(self, now_ns: int) -> int | None:
        """Longest time to sleep before the next part is due; None if no part is in flight."""
        return self._belt.wait_ns(self._in_flight[0][0], now_ns) if self._in_flight else None

    def fail(self, why: str) -> None:
        """Record that an actuator failed. From now on no part passes: each part is rejected when it is due."""
        self.failure = self.failure or why

    def hold(self, why: str | None) -> None:
        """Say why an output cannot let a part pass now, None if it can. Meanwhile no part passes."""
        self.outages += self.outage is None and why is not None
        self.outage = why

    def reset(self, now_ns: int) -> None:
        """Reset after a person has corrected the fault: reject the parts in flight, forget all stations, and join anew.

        The failure of an actuator stays recorded.
        """
        self._reject_all(Why.DUPLICATE_STATION if self.fault else Why.NOT_JOINED, now_ns)
        self._station.forget()
        self._forget_numbers()

    # ---------------------------------------------------------------------------------------------------------- epochs

    def _is_of_this_epoch(self, message: Verdict | Heartbeat | StateChange, at_ns: int) -> bool:
        """Whether the message counts; a new epoch begins with it, and every part in flight is rejected."""
        was_faultless = self.fault is None
        speaker = self._station.identify(message, at_ns)
        if speaker is Speaker.FOREIGN:
            self.foreign += 1
            if was_faultless:
                self._reject_all(Why.DUPLICATE_STATION, at_ns)
        elif speaker is Speaker.NEW:
            self._reject_all(Why.EPOCH_CHANGED, at_ns)
            self._station.begin(message, at_ns)
            self._forget_numbers()
        return speaker is not Speaker.FOREIGN

    def _forget_numbers(self) -> None:
        self._numbered.clear()
        self._overdue = {key: None for key in self._overdue if isinstance(key, str)}

    def _reject_all(self, why: Why, at_ns: int) -> None:
        for _, _, part in sorted(self._in_flight, key=lambda entry: entry[:2]):
            self._decide(part, why, at_ns)
        self._in_flight.clear()

    # -------------------------------------------------------------------------------------------------------- verdicts

    def _take(self, verdict: Verdict, at_ns: int) -> None:
        """Handle a verdict. Only the first verdict of a number counts; the part of a missed number is already
        rejected.
        """
        if verdict.seq <= self._station.last_seq:
            self.repeated += 1
            return
        self._miss_up_to(verdict.seq - 1, at_ns)
        self._station.last_seq = verdict.seq
        exposed = self._station.exposed(verdict, at_ns)
        if (part := self._announced(verdict, at_ns)) is None:
            if self._is_overdue(verdict):
                self._acknowledge(verdict.epoch, verdict.seq, Fate.LATE_REJECT)
                return
            place = None if exposed is None else self._belt.place(exposed)
            part = Part(verdict.part, None if place is None else place + self._belt.travel)
        part.seq, part.verdict = verdict.seq, verdict
        part.refusal = part.refusal or self._refusal(part, verdict, exposed, at_ns)
        if part.announced_ns is None:
            self._schedule(part, at_ns)

    def _refusal(self, part: Part, verdict: Verdict, exposed: int | None, at_ns: int) -> Why | None:
        """Why a verdict that arrives now cannot pass its part, whatever its outcome; None if it can."""
        if self._station.is_history(verdict, at_ns):
            return Why.NOT_JOINED
        if exposed is None:
            return Why.NO_CLOCK
        here = self._belt.place(at_ns)
        if here is None or part.arrives is None:
            return Why.NO_BELT
        oldest_ns = verdict.budget_ms * 1e6 + self._rules.transit_ms * 1e6
        if at_ns - exposed > oldest_ns or here >= part.arrives - self._belt.lead:
            return Why.LATE
        if part.id != verdict.part or (self._rules.announced and part.announced_ns is None):
            return Why.NOT_ANNOUNCED
        return None

    def _announced(self, verdict: Verdict, at_ns: int) -> Part | None:
        """The announced part of a verdict. A verdict exposed before a part was announced is not of that part."""
        part = self._numbered.get(verdict.seq) or self._awaited.get(verdict.part)
        if part is None or part.announced_ns is None or part.seq not in (None, verdict.seq):
            return None
        exposed = self._station.exposed_by(verdict, at_ns)
        if exposed is not None and exposed < part.announced_ns:
            return None
        self._forget(part)
        return part

    def _is_overdue(self, verdict: Verdict) -> bool:
        """Whether this is the verdict of a part that was decided without it; the part is then no longer overdue."""
        keys = [key for key in (verdict.seq, verdict.part) if key in self._overdue]
        for key in keys:
            del self._overdue[key]
        return bool(keys)

    def _miss_up_to(self, seq: int, at_ns: int) -> None:
        """Record the verdicts after the last received one up to number `seq` as missed: lost, or too late to count."""
        first, self._station.last_seq = self._station.last_seq + 1, max(self._station.last_seq, seq)
        listed = max(first, seq - MOST_LISTED + 1)
        if listed > first:
            many = Decision(self.epoch, first, None, False, Why.GAP, Fate.MISSED, at_ns, to_seq=listed - 1)
            self._settle(many, listed - first)
        for missing in range(listed, seq + 1):
            self._miss(missing, at_ns)

    def _miss(self, seq: int, at_ns: int) -> None:
        assert self.epoch is not None
        if seq in self._overdue:
            del self._overdue[seq]
        else:
            self._decide(self._numbered.get(seq) or Part(None, None, seq=seq), Why.GAP, at_ns)
        self._acknowledge(self.epoch, seq, Fate.MISSED)

    # ------------------------------------------------------------------------------------------------------- decisions

    def _schedule(self, part: Part, at_ns: int) -> None:
        """Queue a part for its decision. A part whose arrival is unknown, or beyond MOST_IN_FLIGHT, is decided
        at once.
        """
        if part.arrives is not None and len(self._in_flight) < MOST_IN_FLIGHT:
            due = part.arrives - self._belt.lead
            heapq.heappush(self._in_flight, (due, next(self._order), part))
        else:
            self._decide(part, part.refusal or (Why.NO_BELT if part.arrives is None else Why.OVERFLOW), at_ns)

    def _judge(self, part: Part, here: int, now_ns: int) -> Why:
        """The reason of the decision on a part that is due now. Every return but the last is a reject."""
        verdict = part.verdict
        if self.fault is not None:
            return Why.DUPLICATE_STATION
        if self.failure is not None:
            return Why.ACTUATOR_FAILED
        if part.refusal is not None:
            return part.refusal
        if verdict is None or verdict.reason is Reason.LATE:
            return Why.LATE
        if verdict.verdict is Outcome.REJECT:
            return Why.DEFECT
        if verdict.verdict is not Outcome.GOOD or verdict.reason is not Reason.CLEAR:
            return Why.UNKNOWN
        if verdict.epoch != self.epoch:
            return Why.EPOCH_CHANGED
        if verdict.simulated and not self._rules.allow_simulated:
            return Why.SIMULATED
        if part.arrives is None or here >= part.arrives:
            return Why.GATE_LATE
        if not self._station.is_leased(now_ns):
            return Why.HEARTBEAT_LOST
        if self.outage is not None:
            return Why.NO_OUTPUT
        if not self._can_pass_alone(part, now_ns):
            return Why.TOO_CLOSE
        return Why.CLEAR

    def _can_pass_alone(self, part: Part, now_ns: int) -> bool:
        following = self._in_flight[0][2] if self._in_flight else None
        next_due = None if following is None or following.is_good else self._due_ns(following, now_ns)
        due = self._due_ns(part, now_ns)
        return due is None or self._separates(due, next_due)

    def _due_ns(self, part: Part, now_ns: int) -> int | None:
        return None if part.arrives is None else self._belt.due_ns(part.arrives - self._belt.lead, now_ns)

    def _decide(self, part: Part, why: Why, at_ns: int) -> None:
        if part.is_decided:
            return
        part.is_decided = True
        self._forget(part)
        fate = part.fate(why)
        detail = part.verdict.detail if part.verdict and why in (Why.UNKNOWN, Why.LATE) else None
        due, passes = self._due_ns(part, at_ns), why is Why.CLEAR
        self._settle(Decision(self.epoch, part.seq, part.id, passes, why, fate, at_ns, detail, due_ns=due))
        if part.verdict is not None:
            self._acknowledge(part.verdict.epoch, part.verdict.seq, fate)
        elif part.announced_ns is not None and why is not Why.GAP:
            self._remember_overdue(part)

    def _settle(self, decision: Decision, parts: int = 1) -> None:
        self._decided(decision)
        self.counts[decision.why] += parts
        self.late_in_a_row = self.late_in_a_row + 1 if decision.why is Why.LATE else 0
        self.alarms += self.late_in_a_row == LATE_ALARM

    def _remember_overdue(self, part: Part) -> None:
        """Remember a part that was decided without a verdict, so that a later verdict of the part decides nothing."""
        for key in (part.id, part.seq):
            if key is not None:
                self._overdue[key] = None
        while len(self._overdue) > MOST_IN_FLIGHT:
            del self._overdue[next(iter(self._overdue))]

    def _forget(self, part: Part) -> None:
        """Remove a part from those that wait for a verdict."""
        if part.id is not None and self._awaited.get(part.id) is part:
            del self._awaited[part.id]
        if part.seq is not None and self._numbered.get(part.seq) is part:
            del self._numbered[part.seq]
