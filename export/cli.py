"""edge-export: a training run, a checkpoint or somebody's ONNX model becomes a bundle."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.pictures.contract import PictureContract, checked_bits

if TYPE_CHECKING:
    from edge.bundle import Artifact, Bundle, Manifest
    from edge.pictures.contract import Bits
    from edge.terminal.console import Console
    from export.quantize import WeightBits
    from export.source import Subject

TAKES = {
    "--data": ("RUN", "--onnx", "--checkpoint"),
    "--threshold": ("--onnx", "--checkpoint"),
    "--bits": ("--onnx", "--checkpoint"),
    "--letterbox": ("--onnx",),
    "--output": ("--onnx",),
    "--tolerance": ("--onnx",),
    "--recipe": ("--checkpoint",),
    "--set": ("--checkpoint",),
    "--weights-key": ("--checkpoint",),
    "--half": ("RUN", "--checkpoint"),
    "--int8": ("RUN",),
}
"""What an option goes with, of those that do not go with everything that can be exported."""

app = new_app()


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Bundle to write, NAME.edge; must not exist.")],
    run: Annotated[Path | None, typer.Argument(help="Folder written by edge-train.")] = None,
    onnx: Annotated[
        Path | None,
        typer.Option(help="Instead of RUN, an ONNX model of whatever origin: one float32 picture in, NCHW."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Instead of RUN, weights of the network of a --recipe: .pt, .pth, .safetensors.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="With --checkpoint: network, letterbox and threshold strategy; see edge-train.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="With --checkpoint: change a key of the recipe, as in edge-train.")
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(help="With --checkpoint: which state dict of it, such as model; averaged ones go first."),
    ] = None,
    letterbox: Annotated[
        list[str] | None,
        typer.Option(help="With --onnx: what its pictures are, key=value: side=224, mode=stretch, mean=0.5,0.5,0.5 …"),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            help="With --onnx: score=NAME and maybe map=NAME; then, left to right, :sigmoid, :softmax, [CLASS], :max, "
            ":negative, :complement. Higher is worse."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="With --onnx or --checkpoint: labelled photographs; val/ if there are splits, else all. "
            "With RUN: where its photographs are now, if they moved; they must be the same."
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            metavar="10|12|14|16", help="With --onnx or --checkpoint: significant bits of photographs of 16 bits."
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="With --onnx or --checkpoint: a number, or a strategy: balanced, specificity=0.95, cost=10,1 …"
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="With --onnx: largest difference of a score, as a share of the scores' spread; 0.0001 if not given.",
            min=1e-9,
            max=0.1,
        ),
    ] = None,
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
    int8: Annotated[
        bool,
        typer.Option(
            "--int8", help="Add int8 artifacts, calibrated on training photographs; refused if they turn verdicts."
        ),
    ] = False,
    weight_bits: Annotated[
        int | None, typer.Option(help="With --int8: 8, or 7 for CPUs without VNNI; 8 if not given.", min=7, max=8)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Export a training run, --checkpoint or --onnx to a bundle, refusing if the exported graphs disagree with it."""
    from edge.terminal.console import Console

    origin = chosen_origin({"RUN": run, "--onnx": onnx, "--checkpoint": checkpoint})
    given = {"--data": data, "--threshold": threshold, "--letterbox": letterbox, "--output": output}
    given |= {
        "--tolerance": tolerance,
        "--recipe": recipe,
        "--set": set_,
        "--bits": bits,
        "--weights-key": weights_key,
        "--half": half or None,
        "--int8": int8 or None,
    }
    refuse_strangers(origin, [option for option, value in given.items() if value is not None])

    from export.activations import ParityError
    from export.pack import PLAIN, Packing, export_subject
    from export.progress import stages
    from export.source import SubjectError

    if weight_bits is not None and not int8:
        raise SubjectError("--weight-bits goes with --int8")
    width: WeightBits = 7 if weight_bits == 7 else 8
    blind: str | None = None
    if run:
        subject, blind = from_run(run, data)
    elif onnx:
        subject = from_onnx(onnx, letterbox or [], output or [], data, threshold, checked_bits(bits))
    else:
        assert checkpoint
        subject = from_checkpoint(checkpoint, recipe, set_ or [], data, threshold, checked_bits(bits), weights_key)
    packing = Packing(simulated, half, photographs, one_file, int8, width, tolerance or PLAIN.tolerance)
    console = Console(stderr=True)
    if subject.note:
        print(subject.note, file=sys.stderr)
    with stages(console) as stage:
        try:
            bundle = export_subject(subject, out, stage, packing)
        except ParityError as error:
            remedy = "; if that is rounding, --tolerance allows more" if onnx else ""
            raise ParityError(f"{error}{remedy}") from None
    warnings = [said for said in (blind or doubtful(bundle.manifest), subject.contract.warning) if said]
    if as_json:
        parity = json.loads((bundle.path / "parity.json").read_text())
        result = {"bundle": str(out), "sha256": bundle.digest, "parity": parity, "warning": "; ".join(warnings) or None}
        print(json.dumps(result | bundle.manifest.model_dump()))
    else:
        say(console, bundle, warnings)


def say(console: "Console", bundle: "Bundle", warnings: list[str]) -> None:
    """What there is in the bundle, what is not and why, and what to beware of."""
    from rich.markup import escape

    manifest = bundle.manifest
    lines = [f"[bold]{escape(str(bundle.path))}[/bold]  {escape(manifest.description)}"]
    lines += [f"  {escape(f'{name}: {describe(artifact)}')}" for name, artifact in manifest.artifacts.items()]
    lines += [f"  {name}: [bold red]refused:[/bold red] {escape(reason)}" for name, reason in manifest.refused.items()]
    if (level := manifest.map_threshold) is not None:
        lines.append(escape(f"  map threshold {level.value:.6g} ({level.strategy}) on {level.data}"))
    lines += [f"  [bold red]beware:[/bold red] {escape(warning)}" for warning in warnings]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def chosen_origin(origins: dict[str, Path | None]) -> str:
    """The name of the one thing that is to be exported."""
    from export.source import SubjectError

    given = [name for name, path in origins.items() if path is not None]
    if len(given) != 1:
        raise SubjectError(
            f"export one of RUN, --onnx FILE and --checkpoint FILE, not {' and '.join(given) or 'nothing'}"
        )
    return given[0]


def refuse_strangers(origin: str, options: list[str]) -> None:
    """Raise SubjectError at the first of these options that does not go with `origin`."""
    from export.source import SubjectError

    for option in options:
        if origin not in TAKES[option]:
            raise SubjectError(f"{option} goes with {' or '.join(TAKES[option])}, not with {origin}")


def from_run(run: Path, data: Path | None) -> "tuple[Subject, str | None]":
    """A training run whose photographs may lie in `data` now, and where it does not tell good from bad, that."""
    from export.source import trained
    from train.report.verdict import blindness
    from train.run import load_run

    loaded = load_run(run, data)
    return trained(loaded), blindness(loaded)


def from_onnx(
    file: Path,
    letterbox: list[str],
    output: list[str],
    data: Path | None,
    threshold: str | None,
    bits: "Bits | None",
) -> "Subject":
    """Somebody's ONNX model."""
    from export.onnx_model import subject_of
    from export.source import evidence_from, parse_threshold

    choice = parse_threshold(threshold or "balanced")
    subject = subject_of(file, letterbox, output, choice, evidence_from(data, choice, bits))
    return replace(subject, picture=PictureContract(bits=bits))


def from_checkpoint(
    file: Path,
    recipe: str | None,
    overrides: list[str],
    data: Path | None,
    threshold: str | None,
    bits: "Bits | None",
    weights_key: str | None,
) -> "Subject":
    """Weights of the network of a recipe."""
    from export.checkpoint import subject_of
    from export.source import SubjectError, evidence_from, parse_threshold
    from train.recipe import load_recipe, recipe_names

    if recipe is None:
        raise SubjectError(f"--checkpoint needs the --recipe of its network; there are {', '.join(recipe_names())}")
    loaded = load_recipe(recipe, overrides)
    choice = parse_threshold(threshold) if threshold else loaded.threshold
    subject = subject_of(file, recipe, loaded, choice, evidence_from(data, choice, bits), weights_key)
    return replace(subject, picture=PictureContract(bits=bits))


def doubtful(manifest: "Manifest") -> str | None:
    """What to say where the validation photographs do not show that higher is worse; None where they do."""
    from edge.evaluation.intervals import auroc_interval

    auroc, threshold = manifest.metrics["validation auroc"], next(iter(manifest.artifacts.values())).threshold
    if auroc is None:
        return None
    low, high = auroc_interval(auroc, threshold.recall.count, threshold.specificity.count)
    if high < 0.5:
        return (
            f"bad photographs score lower than good ones (AUROC {auroc:.3f}); higher must be worse: "
            "is it the class of the good? For --onnx, --output has :complement and :negative"
        )
    if low <= 0.5:
        return (
            f"this model does not tell good from bad: AUROC {auroc:.3f} [{low:.3f}, {high:.3f}] on the validation "
            "photographs, not measurably better than guessing"
        )
    return None


def describe(artifact: "Artifact") -> str:
    """The threshold of an artifact, what it does on the photographs it was chosen on, and the margin around it."""
    threshold = artifact.threshold
    said = [f"threshold {threshold.value:.6g} ({threshold.strategy}), margin {artifact.margin:.2g}"]
    for name, rate in (("recall", threshold.recall), ("specificity", threshold.specificity)):
        if rate.value is not None:
            said.append(f"{name} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]")
    return f"{', '.join(said)} on {threshold.data}{made(artifact)}"


def made(artifact: "Artifact") -> str:
    """How an int8 artifact was made; nothing of a float32 one."""
    if (quantized := artifact.quantization) is None:
        return ""
    kept = len(quantized.given_back)
    return (
        f"; {quantized.integer_layers} layers in int8, weights of {quantized.weight_bits} bits, "
        f"the network alone {quantized.speedup or 0:.2f} times as fast as float32 here, "
        f"{kept} given back to float32, calibrated on {quantized.calibrated_on}"
    )


def main() -> None:
    """Entry point."""
    run_app(app)
