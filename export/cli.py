"""edge-export: a training run becomes a bundle."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import run_app

if TYPE_CHECKING:
    from edge.bundle import Artifact

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder written by edge-train.")],
    out: Annotated[Path, typer.Option(help="Bundle to write, NAME.edge; must not exist.")],
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Mark the bundle as a demonstration: no gate passes its verdicts.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Round the weights to float16, half the bytes; computed with in float32.")
    ] = False,
    photographs: Annotated[
        bool, typer.Option(help="Carry two validation photographs as golden frames; without, drawn ones alone.")
    ] = True,
    one_file: Annotated[
        bool, typer.Option("--one-file", help="OpenVINO reads the ONNX file too: half the bytes, longer to load.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Export a training run to a bundle, refusing if the exported graphs disagree with PyTorch."""
    from rich.console import Console
    from rich.progress import Progress

    from export.pack import Packing, export_subject
    from export.subject import trained as subject_of
    from train.report.verdict import blindness
    from train.run import load_run

    console, trained = Console(stderr=True), load_run(run)
    warnings = [said for said in (blindness(trained), trained.contract.warning) if said]
    with Progress(console=console, transient=True) as progress:

        def stage(what: str, steps: int):  # type: ignore[no-untyped-def]
            task = progress.add_task(what, total=steps)
            return lambda: progress.advance(task)

        bundle = export_subject(subject_of(trained), out, stage, Packing(simulated, half, photographs, one_file))
    manifest = bundle.manifest
    if as_json:
        parity = json.loads((bundle.path / "parity.json").read_text())
        result = {"bundle": str(out), "sha256": bundle.digest, "parity": parity, "warning": "; ".join(warnings) or None}
        print(json.dumps(result | manifest.model_dump()))
        return
    console.print(f"[bold]{out}[/bold]  {manifest.description}")
    for name, artifact in manifest.artifacts.items():
        console.print(f"  {name}: {describe(artifact)}", highlight=False, soft_wrap=True)
    if (level := manifest.map_threshold) is not None:
        said = f"  map threshold {level.value:.6g} ({level.strategy}) on {level.data}"
        console.print(said, highlight=False, soft_wrap=True)
    for warning in warnings:
        console.print(f"  [bold red]beware:[/bold red] {warning}", highlight=False, soft_wrap=True)


def describe(artifact: "Artifact") -> str:
    """The threshold of an artifact, what it does on the photographs it was chosen on, and the margin around it."""
    threshold = artifact.threshold
    said = [f"threshold {threshold.value:.6g} ({threshold.strategy}), margin {artifact.margin:.2g}"]
    for name, rate in (("recall", threshold.recall), ("specificity", threshold.specificity)):
        if rate.value is not None:
            said.append(f"{name} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]")
    return f"{', '.join(said)} on {threshold.data}"


def main() -> None:
    """Entry point."""
    run_app(app)
