"""edge-verify: what a bundle does on this machine, against its golden frames and on labelled photographs."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.errors import DataError, EdgeError
from edge.photographs.mask_meaning import MaskMeaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.progress import Progress

    from edge.backends import Backend
    from edge.bundle import Bundle
    from edge.photographs.survey import SurveyRecord
    from edge.verify.result import Judged
    from edge.verify.scoring import Chosen

EXTRA = {"sklearn": "scikit-learn", "scipy": "scipy", "jinja2": "jinja2", "markupsafe": "jinja2"}
"""What --data needs beyond the runtime, by the name it is imported by."""

app = new_app()


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Bundle to verify, or the name of a shipped one.")],
    data: Annotated[
        Path | None, typer.Option(help="Labelled photographs, good/ bad/ mask/ with or without splits above them.")
    ] = None,
    masks: Annotated[
        MaskMeaning | None,
        typer.Option(help="What in a mask of --data is defect; found from all masks together if not given."),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(metavar="10|12|14|16", help="Significant bits of photographs of 16 bits; else the bundle's."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of the photographs; test if there are splits.")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="Artifact to verify; every one if not given.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of an inference; all cores if not given.", min=1, max=256)
    ] = None,
    map_level: Annotated[
        float | None,
        typer.Option(help="A map from here on is a defect, for Dice and IoU. The bundle's, else 0.5 if supervised."),
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public key, may be repeated: pass only a bundle that one of these signed."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures, one file, here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Check hashes and golden frames on this machine; with --data, judge photographs too. Exit code 1 if one fails."""
    for option, value in (("--html", html), ("--split", split), ("--masks", masks), ("--bits", bits)):
        if data is None and value is not None:
            raise DataError(f"{option} needs photographs: give --data")
    if html is not None and not html.absolute().parent.is_dir():
        raise DataError(f"no such folder: {html.absolute().parent}")
    if data is not None:
        _require_extra()

    from rich.progress import Progress

    from edge.backends import is_exact_here
    from edge.bench import machine
    from edge.bundle.shipped import found_bundle
    from edge.bundle.signature import Trust
    from edge.machine import cores
    from edge.pictures.contract import checked_bits
    from edge.terminal.console import Console
    from edge.verify.checks import check_artifacts, open_bundle
    from edge.verify.result import Verification
    from edge.verify.scoring import choose_photographs, survey_chosen

    opened = open_bundle(found_bundle(bundle), Trust.read(trust or []))
    if isinstance(opened, str):
        if as_json:
            print(json.dumps({"passed": False, "error": opened}, ensure_ascii=False))
        print(f"FAILED: {opened}", file=sys.stderr)
        sys.exit(1)
    threads, artifacts = threads or cores(), opened.manifest.artifacts
    names = backend or sorted(name for name, artifact in artifacts.items() if is_exact_here(artifact))
    for name in sorted(set(artifacts) - set(names)) if not backend else ():
        print(f"left out: {name}, whose sums would saturate on a CPU without VNNI", file=sys.stderr)
    for name in names:
        opened.artifact(name)  # says what is wrong before anything is measured
    surveyed: SurveyRecord | None = None
    learned = opened.manifest.picture
    bits = checked_bits(bits) or (learned.bits if learned else None)
    chosen = None if data is None else choose_photographs(data, split, masks, bits)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        if chosen is not None:
            task = progress.add_task("reading", total=len(chosen.photographs))
            surveyed = survey_chosen(chosen, opened.manifest.letterbox, lambda: progress.advance(task))
            progress.remove_task(task)
        task = progress.add_task("golden frames", total=len(names))
        checks, passed = check_artifacts(opened, names, threads, lambda: progress.advance(task))
        judged = (
            _judge(opened, passed, chosen, surveyed, map_level, progress) if surveyed and chosen and passed else None
        )
        done = Verification(opened, machine(), threads, checks, judged)
        if html is not None and judged is not None:
            from edge.verify.page import write_page

            task = progress.add_task("page", total=None)
            write_page(html, done, judged, passed)
    for check in checks:
        if check.error:
            print(f"FAILED: {check.error}", file=sys.stderr)
    if as_json:
        print(done.as_json())
    else:
        from edge.verify.tables import print_checks, print_judged

        print_checks(Console(), done)
        if judged is not None:
            print_judged(Console(), done, judged)
    if html is not None and judged is not None:
        print(f"page in {html}", file=sys.stderr)
    sys.exit(0 if done.passed else 1)


def _judge(
    bundle: "Bundle",
    runtimes: "Mapping[str, Backend]",
    chosen: "Chosen",
    surveyed: "SurveyRecord",
    level: float | None,
    progress: "Progress",
) -> "Judged":
    """Show the photographs to every artifact that passed."""
    from edge.verify.findings import findings, flips
    from edge.verify.result import Judged, doubts_about, notes_on
    from edge.verify.scoring import LEVEL, look

    manifest, photographs = bundle.manifest, chosen.photographs
    if level is None and manifest.map_threshold is not None:
        level = manifest.map_threshold.value
    elif level is None and manifest.task == "supervised":
        level = LEVEL
    looking = progress.add_task("judging", total=len(photographs))
    seen = look(runtimes, photographs, manifest.letterbox, level, lambda: progress.advance(looking))
    thresholds = {name: bundle.artifact(name).threshold.value for name in runtimes}
    said = {name: findings(seen, name, threshold, level) for name, threshold in thresholds.items()}
    return Judged(chosen, surveyed, seen, said, flips(seen, thresholds), notes_on(seen) + doubts_about(said))


def _require_extra() -> None:
    """Raise EdgeError, naming the extra, if something of it is not installed."""
    from importlib import import_module

    for module, distribution in EXTRA.items():
        try:
            import_module(module)
        except ImportError as error:
            remedy = "pip install 'edge-inspect[verify]'"
            raise EdgeError(f"--data needs {distribution}, which is not installed: {remedy}") from error


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
