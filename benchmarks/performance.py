"""`python -m benchmarks.performance`: runs the benchmarks one after another and writes docs/reports/performance.md.

Each benchmark writes its result to build/performance as JSON. A result that exists is not measured again, except with
`--again`, so that an interrupted run continues where it stopped. The page is written from the results that exist. A
benchmark of the page is a module with `section(result)` and `goals(result)`; its name is in PARTS.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.markdown import goals, machine_words, paragraph
from benchmarks.script import QuickOption, ThreadsOption, say
from edge.cli import run_app
from edge.errors import EdgeError

PARTS = ("benchmark_app", "handwritten", "peers", "scaling", "stations")
"""Modules of this package in the order of the page; `section` and `goals` are theirs, or those of PAGES if named."""

PAGES = {"stations": "stations_page"}

RESULTS = Path("build/performance")
PAGE = Path("docs/reports/performance.md")
SOAK = Path("docs/reports/soak.md")

HEAD = """\
# Performance

Written by `make benchmarks`; no figure on this page was typed by a person. Everything is measured side by side in one
run, in turns, on the same frames with the same number of threads; what counts is the ratio, which is the median over
the turns. `--only NAME` measures a part of it, `make peers` installs what users would pick instead. What an inspection
costs on your own machine says `edge-bench`.
"""

SOAKED = (
    "Resident memory of each process, in MiB, over a million verdicts, from [the soak](soak.md), which `python -m "
    "benchmarks.soak` writes:"
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def performance(
    only: Annotated[list[str] | None, typer.Option(metavar="NAME…", help="Measure these parts alone.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure what is there already, too.")] = False,
    page_only: Annotated[bool, typer.Option("--page-only", help="Measure nothing; write the page anew.")] = False,
    threads: ThreadsOption = 2,
    quick: QuickOption = False,
    results: Annotated[Path, typer.Option(help="Where the results lie.")] = RESULTS,
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
) -> None:
    """Measure what is not measured yet, and write the page. Ends with exit code 1 if a benchmark fails."""
    if unknown := [name for name in only or [] if name not in PARTS]:
        raise EdgeError(f"no such benchmark: {unknown[0]}; there are {', '.join(PARTS)}")
    failed = []
    there = [name for name in only or PARTS if find_spec(f"benchmarks.{name}")]
    for name in () if page_only else there:
        file = results / f"{name}.json"
        if file.exists() and not again:
            say(f"{name}: measured already, {file}; --again measures it anew")
            continue
        results.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *_options(name, file, page, threads, quick)]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            failed.append(name)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(read(results), soak_table(SOAK)), encoding="utf-8")
    say(f"written: {page}")
    if failed:
        say(f"failed: {', '.join(failed)}")
        sys.exit(1)


def _options(name: str, file: Path, page: Path, threads: int, quick: bool) -> Sequence[str]:
    if name == "stations":
        seconds, counts = ("1", ("1", "2")) if quick else ("3", ())
        numbers = [word for count in counts for word in ("--stations", count)]
        return [
            "--json",
            str(file),
            "--threads",
            str(threads),
            "--seconds",
            seconds,
            "--rounds",
            "1" if quick else "2",
            *numbers,
        ]
    common = ["--out", str(file), "--threads", str(threads), *(["--quick"] if quick else [])]
    return [*common, "--picture", str(page.with_name("scaling.svg"))] if name == "scaling" else common


def read(results: Path) -> dict[str, dict[str, Any]]:
    """The results that exist, by the name of the benchmark, in the order of the page."""
    files = {name: results / f"{name}.json" for name in PARTS}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}


def render(found: dict[str, dict[str, Any]], memory: str | None = None) -> str:
    """The page as Markdown; `memory` is the table of docs/reports/soak.md."""
    modules: dict[str, Any] = {name: import_module(f"benchmarks.{PAGES.get(name, name)}") for name in found}
    parts = [HEAD]
    if any(result.get("quick") for result in found.values()):
        parts.append("**A trial run (`--quick`): these figures say that the benchmarks run, and nothing else.**\n")
    parts.append("## Goals\n")
    parts.append(goals([one for name, result in found.items() for one in modules[name].goals(result)]))
    for name, result in found.items():
        parts += [modules[name].section(result).rstrip("\n") + "\n", _measured_on(result)]
    if memory is not None:
        parts += ["## Memory over time\n", paragraph(SOAKED), memory]
    if missing := [name for name in PARTS if name not in found]:
        parts.append(paragraph(f"Not measured yet: {', '.join(missing)}."))
    return "\n".join(parts)


def _measured_on(result: dict[str, Any]) -> str:
    threads = f"; {result['threads']} threads" if "threads" in result else ""
    return paragraph(f"Measured on {machine_words(result['machine'])}{threads}.")


def soak_table(page: Path) -> str | None:
    """The table under the heading Memory of docs/reports/soak.md, if there is one."""
    if not page.exists():
        return None
    section = re.search(r"^## Memory\n(.*?)(?=^## |\Z)", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for line in section[1].splitlines() if line.startswith("|")] if section else []
    return "\n".join(lines) + "\n" if lines else None


if __name__ == "__main__":
    run_app(app)
