"""docs/reports/journal.md: the results of `python -m benchmarks.journal`."""

from typing import Any

HEAD = """\
# Journal

Written by `python -m benchmarks.journal{options}`; no figure on this page was typed by a person. The
station's recorder writes verdicts like those of the demonstration line at 600 parts a minute: 3 % rejects with boxes, a
serial number as the part's id, lot and order as free fields, an acknowledgement of each part, and a row for each kept
image.
"""


def render(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    verdicts, machine, written = result["verdicts"], result["machine"], result["written"]
    options = "" if verdicts == 100_000 else f" --verdicts {verdicts}"
    sealed = written["verdicts_in_blocks"] or 1
    sizes = [
        ("the file, for each verdict", f"{written['bytes_a_verdict']:.0f} bytes"),
        ("the file", f"{written['file_bytes'] / 1e6:.1f} MB"),
        ("JSON of a verdict before compression", f"{written['json_bytes']:.0f} bytes"),
        ("as rows: verdict, acknowledgement, indices", f"{written['row_bytes']:.0f} bytes"),
        ("in a block: verdict, acknowledgement, compressed", f"{written['payload'] / sealed:.1f} bytes"),
        ("in a block: marks of the parts' ids", f"{written['parts'] / sealed:.1f} bytes"),
        ("in a block: counts", f"{written['counts'] / sealed:.1f} bytes"),
        ("verdicts that are still rows", f"{written['rows']:,}"),
        ("rows of images", f"{written['images']:,}"),
    ]
    times = [(name, f"{ms:.1f} ms") for name, ms in result["read"].items()]
    sections = [
        HEAD.format(options=options),
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_min']} before the start,\n"
        f"{machine['system']}, Python {machine['python']}.\n"
        f"{verdicts:,} verdicts were written in {written['seconds']:.0f} s.\n",
        _table(("size", ""), sizes),
        "A connection is opened for each reading; the median of five.\n",
        _table(("reading", "time"), times),
    ]
    if "audit" in result:
        problems = len(result["audit"]["problems"])
        sections.append(f"The audit without images takes {result['audit']['s']:.0f} s and finds {problems} problems.\n")
    return "\n".join(sections)


def _table(head: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | ---: |", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines) + "\n"
