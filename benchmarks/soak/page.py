"""docs/reports/soak.md: the results of one soak."""

from textwrap import fill
from typing import Any

from benchmarks.soak.line import SIZE
from benchmarks.soak.result import growth_of

HEAD = """\
# Soak

Written by `python -m benchmarks.soak{options}`; no figure on this page was typed by a person. The station runs as
`edge-run` starts it, with its records on, the reference gate in a process of its own: frames of {size} pixels, back to
back, one at a time, and a network that only takes their mean, so that what is measured is everything around a network.
Each part is counted where it left a trace: at the gate's socket, in the gate's own log, in the station's journal.
"""

MEMORY = """\
## Memory

Resident, in MiB; the most is of all that was sampled after the first {settled}.
"""

LATENCY = """\
## Latency

From capture until the gate has read the verdict, in ms. The start is a tenth of the run after the first {settled}, the
end its last tenth. A hundredth of the run is a window, and a window is quiet if other programs took at most 10 % of the
machine's processors in it; the median of the p99 of quiet windows is what start and end are compared by: it is
{quiet} longer at the end. The p99 of all parts is {plain} longer.
"""

PROCESSOR = """\
## Processor

Milliseconds of a core for one verdict, and what is on the disk for it in the end.
"""


def render(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    settled = result["settled"]
    verdicts, machine = result["verdicts"], result["machine"]
    short = "" if result["asked"] == 1_000_000 else f" --verdicts {result['asked']}"
    sections = [
        HEAD.format(options=short, size=f"{SIZE[1]}×{SIZE[0]}"),
        _paragraph(
            f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_min']} before the start, "
            f"{machine['system']}, Python {machine['python']}: {verdicts:,} verdicts in {result['seconds'] / 60:.1f} "
            f"minutes, {result['verdicts_per_s']:.0f} a second."
        ),
        "![Memory of each process, and latency, over the verdicts](soak.svg)\n",
        _table(("shown", ""), [(claim, _said(holds)) for claim, holds in result["claims"].items()]),
        _table(
            ("each part once", "count", "lost", "repeated"),
            [
                (place, *(f"{one[n]:,}" for n in ("count", "lost", "repeated")))
                for place, one in result["traces"].items()
            ],
        ),
        _outcomes(result),
        MEMORY.format(settled=f"{settled:,}"),
        _table(
            ("process", f"after {settled:,}", "most", "end", "growth"),
            [
                (name, *(f"{one[n] / 2**20:.1f}" for n in ("settled", "most", "end")), f"{one['growth']:+.1%}")
                for name, one in result["memory"].items()
            ],
        ),
        LATENCY.format(settled=f"{settled:,}", **_growths(result["latency"])),
        _table(
            ("", "p50", "p99", "max", "quiet windows", "p99 of a quiet window"),
            [(name, *_latencies(result["latency"][name])) for name in ("start", "end", "all")],
        ),
        PROCESSOR,
        _table(
            (*result["cpu_ms_per_verdict"], "journal"),
            [
                (
                    *(f"{ms:.2f} ms" for ms in result["cpu_ms_per_verdict"].values()),
                    f"{result['journal_bytes'] / verdicts:.0f} bytes",
                )
            ],
        ),
    ]
    return "\n".join(sections)


def _growths(latency: dict[str, Any]) -> dict[str, str]:
    found = {"quiet": growth_of(latency, "quiet_p99_ms"), "plain": growth_of(latency, "p99_ms")}
    return {name: "by an unknown share" if growth is None else f"{growth:+.1%}" for name, growth in found.items()}


def _latencies(part: dict[str, Any]) -> tuple[str, ...]:
    quiet = part["quiet_p99_ms"]
    times = (f"{part[name]:.2f}" for name in ("p50_ms", "p99_ms", "max_ms"))
    return (*times, str(part["quiet_windows"]), "too few" if quiet is None else f"{quiet:.2f}")


def _outcomes(result: dict[str, Any]) -> str:
    outcomes = ", ".join(f"{count:,} {name}" for name, count in result["outcomes"].items())
    why = ", ".join(f"{count:,} {name}" for name, count in result["gate"]["why"].items())
    images, ledger = result["images"], ", ".join(f"{count:,} {name}" for name, count in result["ledger"].items())
    alarms = "; ".join(result["alarms"]) or "none"
    return _paragraph(
        f"Verdicts: {outcomes}. Decisions of the gate: {why}. Ledger of the last heartbeat: {ledger}. "
        f"Images: {images['kept']:,} kept, {images['removed']:,} removed to make room. "
        f"Journal: {result['journal_bytes'] / 1e6:,.0f} MB. Alarms at the end: {alarms}."
    )


def _paragraph(text: str) -> str:
    return fill(text, 120) + "\n"


def _said(holds: bool | None) -> str:
    return "not measured: a short run, or a busy machine" if holds is None else "yes" if holds else "**no**"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
