"""The part counts of an epoch: accepted parts, their outcomes and their latencies."""

from collections import Counter, deque
from math import ceil

from edge.verdict import Ledger, Outcome, Reason, Verdict

_LATENCIES_KEPT = 100_000

NAMED = 3
"""Number of corrupt frames whose names are kept for the final report."""


class Books:
    """Counts with the invariant accepted = good + reject + unknown + in flight."""

    def __init__(self) -> None:
        """All counts start at 0."""
        self.accepted = 0
        self.dropped = 0
        self.late_results = 0
        self.outcomes: Counter[Outcome] = Counter()
        self.reasons: Counter[str] = Counter()
        self.confusion: Counter[tuple[str, Outcome]] = Counter()
        self.corrupt: list[str] = []  # the first NAMED, each with its reason
        self._ages_ms: deque[float] = deque(maxlen=_LATENCIES_KEPT)

    def accept(self) -> int:
        """Count an accepted part; returns its sequence number, from 1."""
        self.accepted += 1
        return self.accepted

    def enter(self, verdict: Verdict) -> None:
        """Count the final verdict of an accepted part."""
        self.outcomes[verdict.verdict] += 1
        self.reasons[verdict.reason] += 1
        if verdict.reason is Reason.CORRUPT and len(self.corrupt) < NAMED:
            self.corrupt.append(f"{verdict.part} ({verdict.detail})")
        self._ages_ms.append(verdict.age_ms)
        if verdict.truth is not None:
            self.confusion[verdict.truth, verdict.verdict] += 1

    @property
    def published(self) -> int:
        """Number of verdicts so far; also the last sequence number published, since verdicts are sent in order."""
        return self.outcomes.total()

    def ledger(self) -> Ledger:
        """The counts as sent in heartbeats."""
        good, reject, unknown = (self.outcomes[o] for o in (Outcome.GOOD, Outcome.REJECT, Outcome.UNKNOWN))
        return Ledger(
            accepted=self.accepted,
            good=good,
            reject=reject,
            unknown=unknown,
            in_flight=self.accepted - self.published,
            dropped=self.dropped,
        )

    def percentile_ms(self, percent: float) -> float | None:
        """Percentile of the age at publication (nearest rank) over the last 100,000 verdicts; None without any."""
        return percentile(sorted(self._ages_ms), percent)


def percentile(ascending: list[float], percent: float) -> float | None:
    """Nearest-rank percentile of an ascending list; None if it is empty."""
    if not ascending:
        return None
    return ascending[max(0, ceil(len(ascending) * percent / 100) - 1)]
