"""What was heard of one station: its last heartbeat, verdicts and preview. Safe for several threads."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from edge.channel.preview import Preview
from edge.verdict import Heartbeat, Outcome, State, StateChange, Verdict

MOST_VERDICTS = 400
"""Last verdicts that are kept whole, for the stream of parts."""

MOST_SHORT = 50_000
"""Verdicts of the last minute, and since the journal was read last, that are kept in short."""

SILENT_S = 1.0
"""A station without a message for this long is silent. Heartbeats come every 0.1 s, their lease is 0.3 s."""

OLD_S = 10.0
"""A last part is shown in grey after this time."""

MOST_PREVIEWS = 8
"""Last previews that are kept, so that a browser gets the picture of the part that it asks for."""

RIVAL_S = 5.0
"""Another station of the same name is reported for this long after its last message."""

MINUTE_NS = 60_000_000_000


class Short(NamedTuple):
    """A verdict in short, with its monotonic time of arrival."""

    at_ns: int
    epoch: str
    seq: int
    outcome: Outcome
    reason: str
    age_ms: float


class Counts(NamedTuple):
    """Numbers of verdicts by outcome."""

    good: int = 0
    reject: int = 0
    unknown: int = 0

    @property
    def all(self) -> int:
        """Number of verdicts."""
        return self.good + self.reject + self.unknown


class Doubt(StrEnum):
    """Why the counts of a shift are not known: the record has not this run, or cannot be read."""

    OTHER = "other"
    UNREAD = "unread"


class Newest(NamedTuple):
    """The newest verdict of a journal."""

    epoch: str
    seq: int


@dataclass(frozen=True)
class Minute:
    """The verdicts of the last minute: counts, reasons of unknowns, and ages in milliseconds (None without any)."""

    counts: Counts
    reasons: tuple[tuple[str, int], ...]
    p50_ms: float | None
    p99_ms: float | None
    per_minute: float | None


@dataclass(frozen=True)
class LiveView:
    """The station at one moment. `verdicts` has the newest first; `silent_s` is None before the first message."""

    name: str
    endpoint: str
    heartbeat: Heartbeat | None
    state: State | None
    cause: str | None
    silent_s: float | None
    verdicts: tuple[Verdict, ...]
    minute: Minute
    shift: Counts
    shift_since: str | None
    missed: int
    preview: Preview | None
    problem: str | None
    drawn: "tuple[str, int] | None" = None
    last_s: float | None = None
    """Seconds since the last verdict was heard; None if those shown come from the record."""
    doubt: Doubt | None = None
    """Why the shift's counts are not known; None if they are."""
    anew: str | None = None
    """When the journal was begun anew in this shift, as ISO 8601: what came before does not count."""
    rival: str | None = None
    """The endpoint of another station of this name, which is not shown."""

    @property
    def is_old(self) -> bool:
        """Whether the last part is no longer the one at the station: silence, or OLD_S without another."""
        return self.is_silent or self.last_s is None or self.last_s > OLD_S

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard for SILENT_S, or never."""
        return self.silent_s is None or self.silent_s > SILENT_S

    @property
    def is_held_by_person(self) -> bool:
        """Whether a person suspends the station, also while its state has another cause."""
        is_cause = self.state is State.SUSPENDED and (self.cause or "").startswith("operator:")
        alarms = self.heartbeat.alarms if self.heartbeat else ()
        return is_cause or any(alarm.startswith("suspended by ") for alarm in alarms)

    @property
    def is_simulated(self) -> bool:
        """Whether the last message of the station says so."""
        return bool(self.heartbeat and self.heartbeat.simulated) or bool(self.verdicts and self.verdicts[0].simulated)


class StationLive:
    """Collects the messages of one station; `view` is what a page shows of them."""

    def __init__(self, name: str, endpoint: str) -> None:
        """`endpoint` is that of its verdicts; empty if only its record is known."""
        self.name, self.endpoint = name, endpoint
        self.version = 0
        self._lock = threading.Lock()
        self._heartbeat: Heartbeat | None = None
        self._state: State | None = None
        self._cause: str | None = None
        self._heard_ns: int | None = None
        self._verdicts: deque[Verdict] = deque(maxlen=MOST_VERDICTS)
        self._recent: deque[Short] = deque(maxlen=MOST_SHORT)
        self._since: deque[Short] = deque(maxlen=MOST_SHORT)
        self._base = Counts()
        self._base_since: str | None = None
        self._doubt: Doubt | None = None
        self._anew: str | None = None
        self._last: dict[str, int] = {}
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._missed = 0
        self._previews: OrderedDict[tuple[str, int], Preview] = OrderedDict()
        self._evicted: Counter[Outcome] = Counter()  # of this shift, beyond the verdicts in short
        self._evicted_last: Short | None = None
        self._problem: str | None = None
        self._rival: tuple[str, int] | None = None

    def is_at(self, endpoint: str, now_ns: int) -> bool:
        """Whether this endpoint is the station's: the first one until it is silent. Another one is remembered."""
        with self._lock:
            if self.endpoint in ("", endpoint) or self._heard_ns is None or now_ns - self._heard_ns > SILENT_S * 1e9:
                self.endpoint = endpoint
                return True
            self._rival = endpoint, now_ns
            return False

    def hear(self, message: Verdict | Heartbeat | StateChange | Preview, now_ns: int) -> None:
        """Take in a message. A verdict that came before counts once."""
        with self._lock:
            self._heard_ns, self._problem = now_ns, None
            self.version += 1
            if isinstance(message, Preview):
                self._previews[message.about.epoch, message.about.seq] = message
                if len(self._previews) > MOST_PREVIEWS:
                    self._previews.popitem(last=False)
                return
            is_verdict = isinstance(message, Verdict)
            reached = message.seq if isinstance(message, Verdict) else message.last_seq
            last = self._last.get(message.epoch)
            if last is None:  # another run: what was published before is history
                self._last = {message.epoch: reached - is_verdict}
                for key in [key for key in self._previews if key[0] != message.epoch]:
                    del self._previews[key]
                last = reached - is_verdict
            if isinstance(message, Verdict):
                if message.seq <= last:
                    return
                self._enter(message, now_ns)
            else:
                self._state, self._cause = message.state, message.cause
                if isinstance(message, Heartbeat):
                    self._heartbeat = message
            self._missed += max(0, reached - is_verdict - last)
            self._last[message.epoch] = max(last, reached)

    def _enter(self, verdict: Verdict, now_ns: int) -> None:
        self._first_ns, self._last_ns = self._first_ns or now_ns, now_ns
        short = Short(now_ns, verdict.epoch, verdict.seq, verdict.verdict, verdict.reason, verdict.age_ms)
        self._verdicts.appendleft(verdict)
        self._recent.append(short)
        if len(self._since) == MOST_SHORT:
            self._evicted_last = self._since.popleft()
            self._evicted[self._evicted_last.outcome] += 1
        self._since.append(short)

    def note(self, problem: str) -> None:
        """Remember why the station cannot be heard, until the next message."""
        with self._lock:
            self._problem = problem
            self.version += 1

    def rebase(self, counts: Counts, since: str | None, newest: Newest | None, anew: str | None = None) -> None:
        """Count on from what the journal has of this shift; `newest` is the last verdict in `counts`. `anew` is when
        the journal was begun anew in this shift.
        """
        with self._lock:
            self._base, self._base_since, self._anew, self._doubt = counts, since, anew, None
            if newest is not None:
                if self._evicted_last is not None and self._is_in_journal(self._evicted_last, newest):
                    self._evicted, self._evicted_last = Counter(), None
                while self._since and self._is_in_journal(self._since[0], newest):
                    self._since.popleft()
            self.version += 1

    def doubt(self, why: Doubt) -> None:
        """Say that the shift's counts are not known, until `rebase`."""
        with self._lock:
            self._doubt = why
            self.version += 1

    @property
    def epoch(self) -> str | None:
        """The run of the last heartbeat; None before the first."""
        with self._lock:
            return None if self._heartbeat is None else self._heartbeat.epoch

    def seed(self, verdicts: Iterable[Verdict]) -> None:
        """Show these verdicts of the record, the newest first, until others are heard."""
        with self._lock:
            if not self._verdicts:
                self._verdicts.extend(verdicts)
                self.version += 1

    def preview(self, epoch: str, seq: int) -> Preview | None:
        """The preview of this part, if it is one of the last."""
        with self._lock:
            return self._previews.get((epoch, seq))

    @property
    def is_empty(self) -> bool:
        """Whether there is no verdict to show."""
        return not self._verdicts

    def _is_in_journal(self, short: Short, newest: Newest) -> bool:
        if short.epoch == newest.epoch:
            return short.seq <= newest.seq
        return any(other.epoch == newest.epoch for other in self._since)  # of a run before that of the newest

    def view(self) -> LiveView:
        """The station now."""
        now_ns = time.monotonic_ns()
        with self._lock:
            while self._recent and self._recent[0].at_ns < now_ns - MINUTE_NS:
                self._recent.popleft()
            recent, since, verdicts = list(self._recent), list(self._since), tuple(self._verdicts)
            heard, first = self._heard_ns, self._first_ns
            base, base_since, evicted = self._base, self._base_since, self._evicted.copy()
            preview = next(reversed(self._previews.values()), None)
            last_ns = self._last_ns
            rest = (self._heartbeat, self._state, self._cause)
            missed, problem = self._missed, self._problem
            endpoint, rival = self.endpoint, self._rival
            doubt, anew = self._doubt, self._anew
        if rival is not None and (rival[0] == endpoint or now_ns - rival[1] > RIVAL_S * 1e9):
            rival = None
        added = evicted + Counter(short.outcome for short in since)
        shift = Counts(*(old + added[kind] for old, kind in zip(base, Outcome, strict=True)))
        silent_s = None if heard is None else (now_ns - heard) / 1e9
        minute = _minute(recent, None if first is None else now_ns - first)
        return LiveView(
            self.name, endpoint, *rest, silent_s, verdicts, minute, shift, base_since, missed, preview, problem,
            last_s=None if last_ns is None else (now_ns - last_ns) / 1e9,
            doubt=doubt,
            anew=anew,
            rival=None if rival is None else rival[0],
        )  # fmt: skip


def _minute(recent: list[Short], heard_ns: int | None) -> Minute:
    """`heard_ns` is for how long verdicts have been heard; a rate is given after five seconds."""
    counts = Counter(short.outcome for short in recent)
    reasons = Counter(short.reason for short in recent if short.outcome is Outcome.UNKNOWN)
    ages = sorted(short.age_ms for short in recent)
    span_s = min(60.0, (heard_ns or 0) / 1e9)
    return Minute(
        Counts(*(counts[kind] for kind in Outcome)),
        tuple(reasons.most_common()),
        quantile(ages, 0.5),
        quantile(ages, 0.99),
        60 * len(recent) / span_s if span_s >= 5 else None,
    )


def quantile(ordered: list[float], share: float) -> float | None:
    """The value of this rank (nearest rank) in an ordered list; None if it is empty."""
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))] if ordered else None
