"""The watch on a promoted bundle: why the station rolls back by itself."""

from collections import Counter, deque

from edge.station.inference.seat import Scoring
from edge.verdict import Reason, Verdict

WATCHED = 200
"""Parts that are looked at: the last ones."""

MOST = {Reason.LATE: 5, Reason.BACKEND: 5}
"""Unknowns for these reasons, among the last parts, that are still borne: 2.5 %, where a sound line has none."""

NAMES = {Reason.LATE: "came too late", Reason.BACKEND: "could not be judged"}


class Probation:
    """Begins with the promotion, and lasts as long as there is a bundle to roll back to."""

    def __init__(self) -> None:
        self._reasons: deque[Reason] = deque(maxlen=WATCHED)

    def judged(self, verdict: Verdict) -> None:
        """A part of the promoted bundle has its verdict."""
        self._reasons.append(verdict.reason)

    def failure(self, scoring: Scoring) -> str | None:
        """Why the promoted bundle must not decide any more, in words; None if it may.

        A model that fails a self-test on its golden frame, dies or hangs is lost, see `Scoring.lose`.
        """
        if not scoring.is_up:
            return scoring.cause or "its model is not up"
        counts = Counter(self._reasons)
        for reason, most in MOST.items():
            if counts[reason] > most:
                return f"{counts[reason]} of its last {len(self._reasons)} parts {NAMES[reason]}"
        return None
