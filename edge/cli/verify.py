"""edge-verify: tests a bundle on this machine with its golden frames and on labelled photographs."""

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

    from edge.backends import Backend
    from edge.bundle import Bundle
    from edge.photographs.survey import SurveyRecord
    from edge.terminal.progress import Stage
    from edge.verify.result import Judged, Verification
    from edge.verify.scoring import Chosen

EXTRA = {"sklearn": "scikit-learn", "scipy": "scipy", "jinja2": "jinja2", "markupsafe": "jinja2"}
"""Distributions that --data needs beyond the runtime, by module name."""

app = new_app()


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle to verify, or the name of a shipped one.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of labelled photographs: good/, bad/ and mask/, or another known layout."),
    ] = None,
    masks: Annotated[
        MaskMeaning | None,
        typer.Option(help="Which values of a mask are defect.", show_default="found from all masks together"),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            metavar="10|12|14|16",
            help="Significant bits of photographs with 16 bits a sample.",
            show_default="those of the bundle",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Split of the photographs to judge.", show_default="test, if there are splits")
    ] = None,
    backend: Annotated[
        list[str] | None, typer.Option(help="Artifact to verify. Repeatable.", show_default="every one")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of an inference.", min=1, max=256, show_default="one a core")
    ] = None,
    map_level: Annotated[
        float | None,
        typer.Option(
            help="Value of the map from which a pixel counts as defect in Dice and IoU.",
            show_default="that of the bundle; 0.5 if it has none and is supervised",
        ),
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Public key. Only a bundle that one of these signed passes. Repeatable."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="HTML page with pictures to write, one file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Check the hashes and golden frames of a bundle on this machine, and with --data judge photographs.

    The exit code is 1 if an artifact fails.
    """
    from edge.terminal.progress import Progress

    with Progress() as progress:
        progress.begin("loading")
        _check_options(data, html, {"--html": html, "--split": split, "--masks": masks, "--bits": bits})

        from edge.bench import machine
        from edge.machine import cores
        from edge.pictures.contract import checked_bits
        from edge.verify.checks import check_artifacts
        from edge.verify.result import Verification
        from edge.verify.scoring import choose_photographs, survey_chosen

    opened = _opened(bundle, trust or [], as_json)
    threads, names = threads or cores(), _artifacts(opened, backend)
    learned = opened.manifest.picture
    bits = checked_bits(bits) or (learned.bits if learned else None)
    judged: Judged | None = None
    with Progress() as progress:
        chosen = None if data is None else choose_photographs(data, split, masks, bits)
        surveyed: SurveyRecord | None = None
        if chosen is not None:
            advance = progress.begin("reading photographs", len(chosen.photographs))
            surveyed = survey_chosen(chosen, opened.manifest.letterbox, advance)
        checks, passed = check_artifacts(opened, names, threads, progress.begin("golden frames", len(names)))
        if surveyed and chosen and passed:
            judged = _judge(opened, passed, chosen, surveyed, map_level, progress.begin)
        done = Verification(opened, machine(), threads, checks, judged)
        if html is not None and judged is not None:
            from edge.verify.page import write_page

            write_page(html, done, judged, passed, progress.begin)
    _report(done, as_json)
    if html is not None and judged is not None:
        print(f"page in {html}", file=sys.stderr)
    sys.exit(0 if done.passed else 1)


def _check_options(data: Path | None, html: Path | None, of_photographs: "Mapping[str, object]") -> None:
    """Raise EdgeError, in one line, if the options do not fit together or a package that they need is missing."""
    for option, value in of_photographs.items():
        if data is None and value is not None:
            raise DataError(f"{option} needs photographs: give --data")
    if html is not None and not html.absolute().parent.is_dir():
        raise DataError(f"no such folder: {html.absolute().parent}")
    if data is not None:
        _require_extra()


def _opened(bundle: Path, trust: list[Path], as_json: bool) -> "Bundle":
    """The bundle. If it was changed, or if no key in `trust` signed it, the command ends with exit code 1."""
    from edge.bundle.shipped import found_bundle
    from edge.bundle.signature import Trust
    from edge.verify.checks import open_bundle

    opened = open_bundle(found_bundle(bundle), Trust.read(trust))
    if isinstance(opened, str):
        if as_json:
            print(json.dumps({"passed": False, "error": opened}, ensure_ascii=False))
        print(f"FAILED: {opened}", file=sys.stderr)
        sys.exit(1)
    return opened


def _artifacts(bundle: "Bundle", asked: list[str] | None) -> list[str]:
    """Names of the artifacts to verify: those in `asked`, else all that compute exactly on this CPU. The others are
    listed on standard error.
    """
    from edge.backends import is_exact_here

    artifacts = bundle.manifest.artifacts
    names = asked or sorted(name for name, artifact in artifacts.items() if is_exact_here(artifact))
    for name in sorted(set(artifacts) - set(names)) if not asked else ():
        print(f"not verified: {name}, whose 8-bit sums overflow on this CPU, which lacks VNNI", file=sys.stderr)
    for name in names:
        bundle.artifact(name)  # raises BundleError for an unknown name before anything is measured
    return names


def _report(done: "Verification", as_json: bool) -> None:
    """Print the result, and on standard error the artifacts that failed."""
    for check in done.checks:
        if check.error:
            print(f"FAILED: {check.error}", file=sys.stderr)
    if as_json:
        print(done.as_json())
        return

    from edge.terminal.console import Console
    from edge.verify.tables import print_checks, print_judged

    print_checks(Console(), done)
    if done.judged is not None:
        print_judged(Console(), done, done.judged)


def _judge(
    bundle: "Bundle",
    runtimes: "Mapping[str, Backend]",
    chosen: "Chosen",
    surveyed: "SurveyRecord",
    level: float | None,
    stage: "Stage",
) -> "Judged":
    """Judge the photographs with every artifact that passed the golden frames, and compute the figures."""
    from edge.bundle.input_distance import InputDistance
    from edge.verify.findings import findings, flips
    from edge.verify.result import Judged, OutOfDistribution, doubts_about, notes_on
    from edge.verify.scoring import LEVEL, look

    manifest, photographs = bundle.manifest, chosen.photographs
    if level is None and manifest.map_threshold is not None:
        level = manifest.map_threshold.value
    elif level is None and manifest.task == "supervised":
        level = LEVEL
    judging = stage("judging photographs", len(photographs))
    seen = look(runtimes, photographs, manifest.letterbox, level, judging, InputDistance.of(manifest))
    stage("computing figures")
    thresholds = {name: bundle.artifact(name).threshold.value for name in runtimes}
    said = {name: findings(seen, name, threshold, level) for name, threshold in thresholds.items()}
    notes, out_of_distribution = notes_on(seen) + doubts_about(said), OutOfDistribution.of(manifest, seen)
    return Judged(chosen, surveyed, seen, said, flips(seen, thresholds), notes, out_of_distribution)


def _require_extra() -> None:
    """Raise EdgeError, naming the extra, if one of its packages is not installed."""
    from importlib import import_module

    for module, distribution in EXTRA.items():
        try:
            import_module(module)
        except ImportError as error:
            remedy = "pip install 'edge-inspect[verify]'"
            raise EdgeError(f"--data needs {distribution}, which is not installed: {remedy}") from error


def main() -> None:
    """Entry point."""
    run_app(app, extra="verify")


if __name__ == "__main__":
    main()
