"""Joins what the stations of a group say of a part. The class has no socket and reads no clock.

A part is good only if every view calls it good in time. A view is a station of the group.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.verdict import Fields, Outcome, Reason, Verdict

MOST_IN_FLIGHT = 1_000
"""Parts without a verdict; a further one is refused."""

MOST_DECIDED = 1_000
"""Parts whose late verdicts are still recognised as theirs."""


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
    """Views that will say nothing of it, each with the cause."""

    exposed: set[str] = field(default_factory=set)
    """Views that have said that they have exposed it."""

    @property
    def captured_ns(self) -> int:
        """When the first view exposed it, which is after its trigger; when it began, while that is not known."""
        known = [said.exposed_ns for said in self.views.values() if said.exposed_ns is not None]
        exposed_ns = min(known, default=self.begun_ns)
        return max(exposed_ns, self.begun_ns) if self.is_triggered else exposed_ns


class Joining:
    """The parts of a group in the order in which they began. They are decided in this order, too."""

    def __init__(self, views: Sequence[str], budget_ms: float) -> None:
        """No part is in flight."""
        self.accepted = 0
        self.late = 0
        """Verdicts of views that came after the part was decided."""

        self._views, self._budget_ns = tuple(views), int(budget_ms * 1e6)
        self._parts: OrderedDict[str, JoinedPart] = OrderedDict()
        self._decided: deque[str] = deque(maxlen=MOST_DECIDED)
        self._awaited: dict[str, set[str]] = {}  # of decided parts: the views that have not said anything yet

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[JoinedPart]:
        return iter(self._parts.values())

    def refusal(self, name: str) -> str | None:
        """Why a part cannot begin under this name now; None if it can."""
        if name in self._parts:
            return f"part {name} is in flight"
        if awaited := self._awaited.get(name):
            return f"the last part {name} is still to be judged by {', '.join(sorted(awaited))}"
        if len(self._parts) >= MOST_IN_FLIGHT:
            return f"{MOST_IN_FLIGHT} parts wait for their verdicts; trigger more slowly"
        return None

    def begin(self, name: str, at_ns: int, fields: Fields | None = None, is_triggered: bool = True) -> JoinedPart:
        """A part begins, for which `refusal` has no reason."""
        self.accepted += 1
        part = self._parts[name] = JoinedPart(self.accepted, name, at_ns, is_triggered, fields)
        self._forget(name)
        return part

    def take(self, view: str, said: Said, exposed_by_ns: int | None, at_ns: int) -> None:
        """Take the verdict of a view, read at `at_ns`. `exposed_by_ns` is when the part was exposed at the latest.

        One that was exposed before the trigger of the part with its name is of another part, and counts for none. A
        verdict of a part that was not announced begins it.
        """
        name = said.verdict.part
        part = self._parts.get(name)
        if part is None:
            if view in self._awaited.get(name, ()):
                self.late += 1
                self._awaited[name].discard(view)
                return
            if said.against is not None or len(self._parts) >= MOST_IN_FLIGHT:
                return
            begun_ns = at_ns if said.exposed_ns is None else said.exposed_ns
            part = self.begin(name, begun_ns, said.verdict.fields, is_triggered=False)
        elif part.is_triggered and exposed_by_ns is not None and exposed_by_ns < part.begun_ns:
            return
        part.views.setdefault(view, said)  # the first verdict of a part stands

    def lose(self, view: str, cause: str) -> None:
        """Nothing more comes from this view of the parts in flight."""
        for part in self:
            if view not in part.views:
                part.lost.setdefault(view, cause)

    def expose(self, view: str, name: str) -> JoinedPart | None:
        """A view has exposed a part; returns the part if it was the last view to do so."""
        part = self._parts.get(name)
        if part is None or view in part.exposed:
            return None
        part.exposed.add(view)
        return part if len(part.exposed) == len(self._views) else None

    def due_ns(self) -> int | None:
        """The local time at which the next part is decided if nothing more is heard; None without a part."""
        part = next(iter(self), None)
        return None if part is None else part.captured_ns + self._budget_ns

    def decided(self, now_ns: int, is_over: bool = False) -> Iterator[JoinedPart]:
        """The parts at the head that every view has judged, or whose time is over; with `is_over` all of them."""
        while (part := next(iter(self), None)) is not None:
            is_late = now_ns >= part.captured_ns + self._budget_ns
            if not (is_over or is_late or all(view in part.views or view in part.lost for view in self._views)):
                return
            del self._parts[part.name]
            if len(self._decided) == MOST_DECIDED:
                self._forget(self._decided[0])
            self._decided.append(part.name)
            self._awaited[part.name] = {view for view in self._views if view not in part.views}
            yield part

    def _forget(self, name: str) -> None:
        self._awaited.pop(name, None)
        if name in self._decided:
            self._decided.remove(name)

    def finding(self, part: JoinedPart, lost: dict[str, str]) -> Finding:
        """What the views say together. `lost` are views whose goods do not count now, each with the cause.

        A defect that a view has seen comes before anything that keeps another view from judging.
        """
        usable = {view: said.verdict for view, said in part.views.items() if said.against is None}
        rejects = [view for view in self._views if view in usable and usable[view].verdict is Outcome.REJECT]
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

        if view not in part.views:
            return unknown(Reason.LATE, part.lost.get(view) or lost.get(view) or "no verdict came in time")
        said = part.views[view]
        if said.against is not None:
            return unknown(Reason.LATE, said.against)
        verdict = usable[view]
        if verdict.verdict is Outcome.UNKNOWN:
            words = str(verdict.reason) if verdict.detail is None else f"{verdict.reason}, {verdict.detail}"
            return unknown(verdict.reason, words, verdict)
        if view in lost:
            return unknown(Reason.LATE, lost[view])
        return None


def _margin(verdict: Verdict) -> float:
    """How far the score is above the threshold, as a share of it; negative for a good. Each view has its own scale."""
    assert verdict.score is not None
    assert verdict.threshold is not None
    return (verdict.score - verdict.threshold) / max(abs(verdict.threshold), 1e-12)
