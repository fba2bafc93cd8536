"""docs/reports/plc.md from the result of a run."""

from typing import Any

from benchmarks.markdown import machine_words, paragraph, table

HEAD = """\
Written by `python -m benchmarks.plc --docs DIR`; no figure on this page was typed by a person. A station that
`edge-run` starts, with its records, `edge-plc` with its log, and a PLC that polls the station's block over Modbus TCP
on loopback and acknowledges each result, each in processes of its own. Each part is counted in the station's journal,
in the log of `edge-plc`, and in the PLC.
"""
COUNTS = """\
Frames of 64×48 pixels, and a network that only takes their mean; the last run is at the station's full speed. Pass bits
are those in the log, proven those that `edge-audit --plc` proves from the journal. Escapes are parts that the PLC let
pass without an in-time good. Lost are parts that the PLC never saw and that were not counted as dropped, twice are
results that it saw twice. Dropped are results beyond the eight that wait: the PLC rejects their parts, and those whose
pass bit had fallen before it read them.
"""
TIMING = """\
Two parts that the PLC triggered, as it saw them in its cycles; the rows marked PLC are what it wrote itself. A number
stands from the cycle that reads it to the cycle after its acknowledgement.
"""
COUNTED = ("pass_bits", "proven", "escapes", "lost", "twice", "dropped", "goods_rejected")


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies; nan if there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def render(result: dict[str, Any]) -> str:
    """The page."""
    runs, trigger = result["runs"], result["trigger"]
    parts = [
        "# PLC\n",
        paragraph(HEAD),
        paragraph(machine_words(result["machine"]) + "."),
        "## Escapes, lost and repeated results\n",
        paragraph(COUNTS),
        table(
            ("PLC's cycle", "parts", "a second", *(name.replace("_", " ") for name in COUNTED)),
            [_row(run) for run in runs],
        ),
        "## Latency\n",
        table(
            ("from", "to", "PLC's cycle", "p50", "p99", "max"),
            [
                *(("published", "read by the PLC", _cycle(run), *_latency(run)) for run in runs),
                ("trigger bit written", "result read", _cycle(trigger), *_latency(trigger)),
            ],
            words=3,
        ),
        paragraph(
            "In ms. The PLC's cycle is part of each latency: a result is read by the read that follows. At the "
            f"station's full speed the results wait for their turn. {trigger['triggered']} triggers, one each "
            f"{trigger['every_ms']:g} ms, went to the demonstration bundle with frames of the built-in line."
        ),
        "## The handshake over time\n",
        "![Signals of the handshake over time](plc-timing.svg)\n",
        paragraph(TIMING),
    ]
    return "\n".join(parts)


def _row(run: dict[str, Any]) -> tuple[str, ...]:
    a_second = run["parts"] / run["took_s"]
    return (_cycle(run), f"{run['parts']:,}", f"{a_second:.0f}", *(f"{run[key]:,}" for key in COUNTED))


def _cycle(run: dict[str, Any]) -> str:
    return f"{run['cycle_ms']:g} ms" if run["cycle_ms"] else "none: read after read"


def _latency(run: dict[str, Any]) -> tuple[str, ...]:
    values = run["latency_ms"]
    return f"{quantile(values, 0.5):.2f}", f"{quantile(values, 0.99):.2f}", f"{max(values, default=float('nan')):.2f}"
