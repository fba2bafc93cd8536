"""Joins what the stations of a group say of a part. The class has no socket and reads no clock.

A part is good only if every view calls it good in time. A view is a station of the group.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from edge.verdict import Fields, Outcome, Reason, Verdict

MOST_IN_FLIGHT = 1_000
"""Parts without a verdict; a further one is refused."""

MOST_DECIDED = 1_000
LATEST_NS = 60_000_000_000
"""Decided parts whose late verdicts are still recognised as theirs, and for how long after the decision."""


class Taken(Enum):
    """What became of a view's verdict. `LATE`: its part is decided. `FOREIGN`: it is of no part of the group."""

    TAKEN = auto()
    LATE = auto()
    FOREIGN = auto()


class Said(NamedTuple):
    """A view's verdict. `exposed_ns` is the local time before which the part was not exposed, None if it is not known.
    `against` says why the verdict cannot count; None if it can.
    """

    verdict: Verdict
    exposed_ns: int | None
    against: str | None


class Finding(NamedTuple):
    """What the views say of a part together. `view` is the one that decided, with its verdict if there is one."""

    outcome: Outcome
    reason: Reason
    detail: str | None
    view: str | None
    verdict: Verdict | None


@dataclass(eq=False)
class JoinedPart:
    """A part of the group on its way to its verdict. All times are local, in nanoseconds.

    `begun_ns` is when its trigger came, or when it was exposed for the first view that said something of it. `fault` is
    a reason why it is unknown whatever the views say.
    """

    seq: int
    name: str
    begun_ns: int
    is_triggered: bool
    fields: Fields | None = None
    fault: tuple[Reason, str] | None = None
    views: dict[str, Said] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Views whose word on it does not count any more, each with the cause."""

    silent: set[str] = field(default_factory=set)
    """Views from which no verdict on it can come any more."""

    numbers: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Epoch and number that the views' stations have given it."""

    exposed: set[str] = field(default_factory=set)
    """Views that have said that they have exposed it."""

    @property
    def captured_ns(self) -> int:
        """When the first view exposed it, which is after its trigger; when it began, while that is not known."""
        sound = (said for said in self.views.values() if said.against is None)
        known = [said.exposed_ns for said in sound if said.exposed_ns is not None]
        exposed_ns = min(known, default=self.begun_ns)
        return max(exposed_ns, self.begun_ns) if self.is_triggered else exposed_ns


class Joining:
    """The parts of a group in the order in which they began. They are decided in this order, too."""

    def __init__(self, views: Sequence[str], budget_ms: float, takes_unannounced: bool = False) -> None:
        """No part is in flight. With `takes_unannounced` a part also begins with the first verdict that names it."""
        self.accepted = 0
        self.late = self.foreign = 0  # verdicts of views, see Taken
        self._views, self._budget_ns = tuple(views), int(budget_ms * 1e6)
        self._takes_unannounced = takes_unannounced
        self._parts: OrderedDict[str, JoinedPart] = OrderedDict()
        self._awaited: OrderedDict[str, tuple[int, set[str]]] = OrderedDict()
        """Decided parts: when, and the views whose verdicts may still come."""

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[JoinedPart]:
        return iter(self._parts.values())

    def part(self, name: str) -> JoinedPart | None:
        """The part in flight with this name."""
        return self._parts.get(name)

    def refusal(self, name: str, at_ns: int) -> str | None:
        """Why a part cannot begin under this name now; None if it can."""
        if name in self._parts:
            return f"part {name} is in flight"
        if awaited := self._owing(name, at_ns):
            return f"the last part {name} is still to be judged by {', '.join(sorted(awaited))}"
        if len(self._parts) >= MOST_IN_FLIGHT:
            return f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
        return None

    def is_known(self, name: str, at_ns: int) -> bool:
        """Whether a part of this name is in flight, or still to be judged by a view."""
        return name in self._parts or bool(self._owing(name, at_ns))

    def _owing(self, name: str, at_ns: int) -> set[str]:
        """Views that may still judge the decided part with this name."""
        decided_ns, views = self._awaited.get(name, (0, set[str]()))
        return views if at_ns - decided_ns < LATEST_NS else set()

    def begin(self, name: str, at_ns: int, fields: Fields | None = None, is_triggered: bool = True) -> JoinedPart:
        """A part begins, for which `refusal` has no reason."""
        self.accepted += 1
        part = self._parts[name] = JoinedPart(self.accepted, name, at_ns, is_triggered, fields)
        self._awaited.pop(name, None)
        return part

    def take(self, view: str, said: Said, exposed_by_ns: int | None, at_ns: int) -> Taken:
        """Take the verdict of a view, read at `at_ns`. `exposed_by_ns` is when the part was exposed at the latest.

        One that was exposed before the trigger of the part with its name, or has another number than its station gave
        the part, is of another part. A second one of a view makes the part unknown: it is not known which is meant.
        """
        name = said.verdict.part
        part = self._parts.get(name)
        if part is None:
            if view in (awaited := self._owing(name, at_ns)):
                awaited.discard(view)
                self.late += 1
                return Taken.LATE
            is_refused = said.against is not None or self.refusal(name, at_ns) is not None
            if not self._takes_unannounced or is_refused:
                self.foreign += 1
                return Taken.FOREIGN
            begun_ns = at_ns if said.exposed_ns is None else said.exposed_ns
            part = self.begin(name, begun_ns, said.verdict.fields, is_triggered=False)
        elif not _is_of(part, view, said.verdict, exposed_by_ns):
            self.foreign += 1
            return Taken.FOREIGN
        elif view in part.views:
            part.fault = part.fault or (Reason.REPEATED, f"{view}: two verdicts name this part")
            self.foreign += 1
            return Taken.FOREIGN
        part.views[view] = said
        return Taken.TAKEN

    def confuse(self, names: Sequence[str], cause: str) -> None:
        """A verdict may be of any of these parts: those in flight are unknown."""
        self.foreign += 1
        for part in (self._parts[name] for name in names if name in self._parts):
            part.fault = part.fault or (Reason.REPEATED, cause)

    def lose(self, view: str, cause: str, is_over: bool = False) -> None:
        """What this view has said of the parts in flight, and says of them later, does not count. With `is_over` the
        run of its station has ended: it says nothing more of them, nor of decided ones.
        """
        for part in self:
            part.lost.setdefault(view, cause)
            if is_over:
                part.silent.add(view)
        if is_over:
            for _, awaited in self._awaited.values():
                awaited.discard(view)

    def expose(self, view: str, name: str, epoch: str, seq: int) -> JoinedPart | None:
        """A view has exposed the part that its station has given this number; returns the part if it was the last view
        to do so.
        """
        part = self._parts.get(name)
        if part is None or view in part.exposed or part.numbers.get(view) != (epoch, seq):
            return None
        part.exposed.add(view)
        return part if len(part.exposed) == len(self._views) else None

    def _due_ns(self, part: JoinedPart) -> int:
        return (part.begun_ns if part.is_triggered else part.captured_ns) + self._budget_ns

    def due_ns(self) -> int | None:
        """The local time at which the next part is decided if nothing more is heard; None without a part."""
        part = next(iter(self), None)
        return None if part is None else self._due_ns(part)

    def decided(self, now_ns: int, is_over: bool = False) -> Iterator[JoinedPart]:
        """The parts at the head of which enough is known, or whose time is over; with `is_over` all of them.

        Enough is known with a defect, or if no view can add anything.
        """
        while (part := next(iter(self), None)) is not None:
            is_complete = all(view in part.views or view in part.lost for view in self._views)
            has_defect = any(said.against is None and _is_reject(said) for said in part.views.values())
            if not (is_over or is_complete or has_defect or now_ns >= self._due_ns(part)):
                return
            del self._parts[part.name]
            self._awaited[part.name] = now_ns, {*self._views} - part.views.keys() - part.silent
            if len(self._awaited) > MOST_DECIDED:
                self._awaited.popitem(last=False)
            yield part

    def finding(self, part: JoinedPart, lost: dict[str, str]) -> Finding:
        """What the views say together. `lost` are views whose goods do not count now, each with the cause.

        A defect that a view has seen comes before anything that keeps another view from judging.
        """
        usable = {view: said.verdict for view, said in part.views.items() if said.against is None}
        rejects = [view for view in self._views if view in usable and _is_reject(part.views[view])]
        if rejects and part.fault is None:
            view = max(rejects, key=lambda one: _margin(usable[one]))
            others = ", ".join(one for one in rejects if one != view)
            detail = f"{view}, also {others}" if others else view
            return Finding(Outcome.REJECT, Reason.DEFECT, detail, view, usable[view])
        if part.fault is not None:
            return Finding(Outcome.UNKNOWN, *part.fault, None, None)
        for view in self._views:
            if (unfit := self._unfit(part, view, usable, lost)) is not None:
                return unfit
        view = max(self._views, key=lambda one: (usable[one].marginal, _margin(usable[one])))
        return Finding(Outcome.GOOD, Reason.CLEAR, None, view, usable[view])

    def _unfit(self, part: JoinedPart, view: str, usable: dict[str, Verdict], lost: dict[str, str]) -> Finding | None:
        """Why the part is not good for this view; None if it is."""

        def unknown(reason: Reason, what: str, verdict: Verdict | None = None) -> Finding:
            return Finding(Outcome.UNKNOWN, reason, f"{view}: {what}", view, verdict)

        if (cause := part.lost.get(view) or lost.get(view)) is not None:
            return unknown(Reason.LATE, cause)
        if view not in part.views:
            return unknown(Reason.LATE, "no verdict came in time")
        said = part.views[view]
        if said.against is not None:
            return unknown(Reason.LATE, said.against)
        verdict = usable[view]
        if verdict.verdict is Outcome.UNKNOWN:
            words = str(verdict.reason) if verdict.detail is None else f"{verdict.reason}, {verdict.detail}"
            return unknown(verdict.reason, words, verdict)
        return None


def _is_reject(said: Said) -> bool:
    return said.verdict.verdict is Outcome.REJECT


def _is_of(part: JoinedPart, view: str, verdict: Verdict, exposed_by_ns: int | None) -> bool:
    """Whether a verdict that names the part is of it, and not of a former one with its name."""
    if part.is_triggered and exposed_by_ns is not None and exposed_by_ns < part.begun_ns:
        return False
    return part.numbers.get(view, (verdict.epoch, verdict.seq)) == (verdict.epoch, verdict.seq)


def _margin(verdict: Verdict) -> float:
    """How far the score is above the threshold, as a share of it; negative for a good. Each view has its own scale."""
    assert verdict.score is not None
    assert verdict.threshold is not None
    return (verdict.score - verdict.threshold) / max(abs(verdict.threshold), 1e-12)
