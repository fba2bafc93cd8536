"""A verdict for tests that run no line."""

from typing import Any

from edge.verdict import Timing, Verdict


def verdict(**changes: Any) -> Verdict:
    """A good verdict with these fields changed."""
    fields: dict[str, Any] = {
        "station": "line1",
        "epoch": "e",
        "simulated": False,
        "seq": 1,
        "part": "a.jpg",
        "verdict": "good",
        "reason": "clear",
        "score": 0.25,
        "threshold": 0.5,
        "age_ms": 10.0,
        "budget_ms": 50.0,
        "source": "photos/",
        "bundle": "b@0",
        "timing": Timing(captured=0, published=10_000_000),
        "time": "2026-01-01T00:00:00.000+00:00",
    }
    return Verdict(**(fields | changes))
