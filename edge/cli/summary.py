"""Summary of a run, as JSON for programs and as lines for people. edge-run and edge-listen print the same summary."""

from collections.abc import Mapping
from typing import Any

from edge.station.part_counts import Books
from edge.text import counted
from edge.verdict import Outcome


def summary(books: Books) -> dict[str, Any]:
    """Counts, reasons, age percentiles in milliseconds and, if the truth is known, the confusion counts and rates."""
    result: dict[str, Any] = {
        **books.ledger().model_dump(),
        "reasons": dict(sorted(books.reasons.items())),
        "late_results": books.late_results,
        "p50_ms": books.percentile_ms(50),
        "p99_ms": books.percentile_ms(99),
        "max_ms": books.percentile_ms(100),
    }
    if books.confusion:
        result["truth"] = _against_truth(books)
    return result


def _against_truth(books: Books) -> dict[str, int | float | None]:
    """Counts and rates against the truth. Unknown counts as reject, because the gate rejects both."""
    counts = {truth: {outcome: books.confusion[truth, outcome] for outcome in Outcome} for truth in ("good", "bad")}
    good, bad = sum(counts["good"].values()), sum(counts["bad"].values())
    passed_bad, passed_good = counts["bad"][Outcome.GOOD], counts["good"][Outcome.GOOD]
    return {
        "bad": bad,
        "bad_stopped": bad - passed_bad,
        "bad_passed": passed_bad,
        "good": good,
        "good_passed": passed_good,
        "good_stopped": good - passed_good,
        "recall": 1 - passed_bad / bad if bad else None,
        "specificity": passed_good / good if good else None,
    }


def describe(books: Books, codes: Mapping[str, int] | None = None) -> list[str]:
    """The summary as lines of text. `codes` has the number of frames by what became of them for the code reader."""
    s = summary(books)
    reasons = ", ".join(
        f"{count} {reason}" for reason, count in s["reasons"].items() if reason not in ("clear", "defect")
    )
    unknown = f" ({reasons})" if reasons else ""
    lines = [
        f"{counted(s['accepted'], 'part')}: {s['good']} good, {s['reject']} reject, {s['unknown']} unknown{unknown}"
    ]
    if s["dropped"]:
        source = "of the free-running source"
        lines.append(f"{counted(s['dropped'], f'frame {source} was', f'frames {source} were')} passed over")
    if codes is not None:
        lines.append(f"codes: {', '.join(f'{count} {outcome}' for outcome, count in codes.items())}")
    if "truth" in s:
        t = s["truth"]
        rates = [f"{name} {t[name]:.3f}" for name in ("recall", "specificity") if t[name] is not None]
        lines.append(
            f"truth: {t['bad_stopped']} of {t['bad']} bad parts stopped, {t['good_passed']} of {t['good']} good parts "
            f"passed ({', '.join(rates)})"
        )
    if s["p50_ms"] is not None:
        lines.append(
            f"capture to verdict: p50 {s['p50_ms']:.2f} ms, p99 {s['p99_ms']:.2f} ms, max {s['max_ms']:.2f} ms"
        )
    return lines
