"""Figures of reviewed parts for edge-review: as JSON types, and as lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.review.estimates import line_figures
from edge.review.sample import read_reviewed
from edge.text import counted, printable
from edge.verdict import Outcome


def figures(records: Sequence[Path]) -> list[dict[str, Any]]:
    """The figures of each bundle with a decision. Raises RecordsError or ReviewError, in one line."""
    found = []
    for reviewed in read_reviewed(records):
        if not reviewed.known and not any(stratum.unsure for stratum in reviewed.own.values()):
            continue
        line = line_figures(reviewed)
        found.append(
            {
                "bundle": reviewed.bundle,
                "strata": {
                    outcome.value: {
                        "verdicts": stratum.count + stratum.others,
                        "others": stratum.others,
                        "reviewed": stratum.reviewed,
                        "bad": int(stratum.bad.sum()),
                        "unsure": stratum.unsure,
                        "no_sample": stratum.apart,
                        "blind": reviewed.strata[outcome].blind,
                    }
                    for outcome, stratum in reviewed.own.items()
                },
                "precision": line.precision.model_dump(),
                "bad_goods": line.bad_goods._asdict(),
                "escaped": line.escaped._asdict(),
                "miss_rate": line.miss_rate._asdict(),
                "good_unknowns": line.good_unknowns.model_dump(),
                "named": line.named,
                "decisions_sha256": reviewed.digest,
                "gaps": [*reviewed.gaps],
            }
        )
    return found


def show(found: Sequence[dict[str, Any]]) -> None:
    """Print the figures of each bundle."""
    if not found:
        print("no decision stands; edge-review list shows the parts that wait")
    for one in found:
        print(printable(one["bundle"]))
        for outcome, counts in one["strata"].items():
            more = [
                f"{counts[key]} {text}"
                for key, text in (("unsure", "unsure"), ("no_sample", "that are no random sample"))
                if counts[key]
            ]
            also = f"; besides {' and '.join(more)}" if more else ""
            of = ""
            if counts["others"]:
                of = f" of {counts['verdicts'] - counts['others']}"
                also += f"; nothing is said of {counts['others']} others, which came later or had no picture"
            print(
                f"  {counts['verdicts']} {outcome}: {counts['reviewed']} reviewed at random{of}, "
                f"{counts['bad']} bad{also}"
            )
        print(f"  precision of rejects         {_rate(one['precision'])}")
        print(f"  bad among the goods          {_rate(one['bad_goods'])}, from goods that are kept by number")
        print(f"  bad parts that passed        {_number(one['escaped'])}")
        blind = [f"{counts['blind']} {outcome}" for outcome, counts in one["strata"].items() if counts["blind"]]
        also = f", whatever {' and '.join(blind)} are that could not be drawn" if blind else ""
        print(f"  share of bad parts missed    {_rate(one['miss_rate'])}{also}")
        if one["strata"][Outcome.UNKNOWN.value]["reviewed"]:
            print(f"  good among the unknowns      {_rate(one['good_unknowns'])}")
        if one["named"]:
            print(
                f"  {counted(one['named'], 'part')} named as missed by the gate's people: known, but no random sample; "
                "they raise only the least that was missed"
            )
    for gap in dict.fromkeys(gap for one in found for gap in one["gaps"]):
        print(printable(gap))


def _rate(rate: dict[str, Any]) -> str:
    value = "?" if rate["value"] is None else f"{rate['value']:.4f}"
    return f"{value} [{rate['low']:.4f}, {rate['high']:.4f}]"


def _number(estimate: dict[str, Any]) -> str:
    value = "?" if estimate["value"] is None else f"{estimate['value']:.0f}"
    return f"{value} [{estimate['low']:.0f}, {estimate['high']:.0f}]"
