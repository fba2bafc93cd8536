"""edge-export: exports a training run, a checkpoint or a foreign ONNX model to a bundle, or adds statistics to one."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli import new_app, run_app
from edge.errors import BundleError
from edge.pictures.contract import PictureContract, checked_bits
from export.bundle_summary import say

if TYPE_CHECKING:
    from edge.bundle import Manifest
    from edge.pictures.contract import Bits
    from edge.terminal.progress import Stage
    from export.runtimes.base import WeightBits
    from export.source import Subject

MODELS = ("RUN", "--onnx", "--checkpoint")

TAKES = {
    "--data": ("RUN", "--onnx", "--checkpoint", "--bundle"),
    "--split": ("--bundle",),
    "--bits": ("--onnx", "--checkpoint"),
    "--letterbox": ("--onnx",),
    "--output": ("--onnx",),
    "--tolerance": ("--onnx",),
    "--recipe": ("--checkpoint",),
    "--set": ("--checkpoint",),
    "--weights-key": ("--checkpoint",),
    "--network": ("RUN",),
    "--half": ("RUN", "--checkpoint"),
    "--int8": ("RUN",),
    "--threshold": MODELS,
    "--simulated": MODELS,
    "--no-photographs": MODELS,
    "--one-file": MODELS,
}
"""Options that are valid only for some origins of the export, with these origins."""

app = new_app()


@app.command(epilog="edge-export rethreshold BUNDLE gives a bundle another threshold, by what people said of its parts")
def export(
    out: Annotated[Path, typer.Option(help="Bundle to write, NAME.edge. It must not exist yet.")],
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run, as edge-train wrote it.")
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File of the network, if RUN was trained with one of your own. Its code runs."
        ),
    ] = None,
    onnx: Annotated[
        Path | None,
        typer.Option(help="Export this ONNX model instead of RUN. Its input is one float32 picture, NCHW."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Export these weights (.pt, .pth or .safetensors) of the network of --recipe instead of RUN."
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Add to this bundle the statistics of the photographs in --data, which it was trained on."),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(help="With --bundle: split.csv of its run, if the run did not split as the folders do."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="With --checkpoint: the recipe that names network, letterbox and threshold strategy."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --checkpoint: change a key of the recipe. Repeatable."),
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            help="With --checkpoint: which state dict of the file to take, as in model.",
            show_default="averaged weights, if there are any",
        ),
    ] = None,
    letterbox: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="With --onnx: what pictures the model takes, as in side=224, mode=stretch or mean=0.5,0.5,0.5. "
            "Repeatable.",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            help="With --onnx: which output is the score or the map, as in score=NAME or map=NAME, followed by steps "
            "from left to right: [CLASS], :sigmoid, :softmax, :max, :negative, :complement. Higher is worse. "
            "Repeatable."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="With --onnx or --checkpoint: folder of labelled photographs; only val/ is used if there are splits. "
            "With RUN: folder of its photographs, if it moved; they must be the same ones. "
            "With --bundle: folder of the photographs that it was trained on."
        ),
    ] = None,
    bits: Annotated[
        int | None,
        typer.Option(
            metavar="10|12|14|16",
            help="With --onnx or --checkpoint: significant bits of photographs with 16 bits a sample.",
            show_default="16",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            help="The threshold, a number, or how it is chosen: balanced, specificity=0.95, cost=10,1 and others.",
            show_default="as RUN or --recipe says; balanced for --onnx",
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="With --onnx: largest difference of a score that is accepted, as a share of the scores' spread.",
            min=1e-9,
            max=0.1,
            show_default="0.0001",
        ),
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option(
            "--simulated",
            help="Mark the bundle as a demonstration: a gate passes its parts only with --allow-simulated.",
        ),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights in float16: half the bytes, computed in float32.")
    ] = False,
    photographs: Annotated[
        bool,
        typer.Option(help="Carry two validation photographs as golden frames, or only drawn frames."),
    ] = True,
    one_file: Annotated[
        bool,
        typer.Option("--one-file", help="Let OpenVINO read the ONNX file, too: half the bytes, slower to load."),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="Add int8 artifacts, calibrated on training photographs. One that changes verdicts is refused.",
        ),
    ] = False,
    weight_bits: Annotated[
        int | None,
        typer.Option(help="With --int8: bits of a weight. CPUs without VNNI need 7.", min=7, max=8, show_default="8"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Export a training run, a checkpoint or an ONNX model to a bundle.

    Every artifact is compared with the network, and none is written if one disagrees.
    """
    from edge.terminal.console import Console

    origin = chosen_origin({"RUN": run, "--onnx": onnx, "--checkpoint": checkpoint, "--bundle": bundle})
    given: dict[str, object] = {"--data": data, "--letterbox": letterbox, "--output": output}
    given |= {
        "--tolerance": tolerance,
        "--recipe": recipe,
        "--set": set_,
        "--bits": bits,
        "--weights-key": weights_key,
        "--network": network,
        "--half": half or None,
        "--int8": int8 or None,
        "--split": split,
        "--threshold": threshold,
        "--simulated": simulated or None,
        "--no-photographs": None if photographs else True,
        "--one-file": one_file or None,
    }
    refuse_strangers(origin, [option for option, value in given.items() if value is not None])
    if out.suffix != ".edge":
        raise BundleError(f"--out {out}: a bundle is called NAME.edge; say --out {out if out.name else 'NAME'}.edge")

    from edge.terminal.progress import Progress
    from train.imports import uncollected

    if bundle:
        add_statistics(bundle, data, split, out, as_json)
        return
    with Progress() as progress:
        progress.begin("loading PyTorch")
        with uncollected():
            from export.activations import ParityError
            from export.pack import PLAIN, Packing, export_subject
            from export.source import SubjectError

        if weight_bits is not None and not int8:
            raise SubjectError("--weight-bits goes with --int8")
        width: WeightBits = 7 if weight_bits == 7 else 8
        blind: str | None = None
        if run:
            subject, blind = from_run(run, data, threshold, network, progress.begin)
        elif onnx:
            subject = from_onnx(onnx, letterbox or [], output or [], data, threshold, checked_bits(bits))
        else:
            assert checkpoint
            subject = from_checkpoint(checkpoint, recipe, set_ or [], data, threshold, checked_bits(bits), weights_key)
        packing = Packing(simulated, half, photographs, one_file, int8, width, tolerance or PLAIN.tolerance)
        if subject.note:
            progress.say(subject.note)
        try:
            exported = export_subject(subject, out, progress.begin, packing)
        except ParityError as error:
            remedy = "; if that is rounding, --tolerance allows more" if onnx else ""
            raise ParityError(f"{error}{remedy}") from None
    warnings = [said for said in (blind or doubtful(exported.manifest), subject.contract.warning) if said]
    if as_json:
        parity = json.loads((exported.path / "parity.json").read_text())
        result = {"bundle": str(out), "sha256": exported.digest, "parity": parity}
        print(json.dumps(result | {"warning": "; ".join(warnings) or None} | exported.manifest.model_dump()))
    else:
        say(Console(stderr=True), exported, warnings)


def add_statistics(bundle: Path, data: Path | None, split: Path | None, out: Path, as_json: bool) -> None:
    """Write a copy of the bundle with the statistics of its training photographs."""
    from edge.bundle.shipped import found_bundle
    from edge.terminal.console import Console
    from edge.terminal.progress import Progress
    from export.add_statistics import add_input_statistics, is_signed
    from export.source import SubjectError

    if data is None:
        raise SubjectError("--bundle needs the photographs that the bundle was trained on: give --data")
    path = found_bundle(bundle)
    with Progress() as progress:
        written = add_input_statistics(path, data, split, out, progress.begin)
    warnings = [f"the signatures of {path} do not hold for {out}; sign it again"] if is_signed(path) else []
    if as_json:
        result = {"bundle": str(out), "sha256": written.digest, "warning": "; ".join(warnings) or None}
        print(json.dumps(result | written.manifest.model_dump()))
    else:
        say(Console(stderr=True), written, warnings)


def chosen_origin(origins: dict[str, Path | None]) -> str:
    """The name of the only origin that was given. Raises BundleError if there is none or more than one."""
    given = [name for name, path in origins.items() if path is not None]
    if len(given) != 1:
        raise BundleError(
            f"export one of RUN, --onnx FILE and --checkpoint FILE, not {' and '.join(given) or 'nothing'}"
        )
    return given[0]


def refuse_strangers(origin: str, options: list[str]) -> None:
    """Raise BundleError for the first of these options that is not valid for `origin`."""
    for option in options:
        if origin not in TAKES[option]:
            raise BundleError(f"{option} goes with {' or '.join(TAKES[option])}, not with {origin}")


def from_run(
    run: Path, data: Path | None, threshold: str | None, network: Path | None, stage: "Stage"
) -> "tuple[Subject, str | None]":
    """The subject of a training run, whose photographs may have moved to `data`, and a warning, None if the run
    separates good from bad.
    """
    from export.source import parse_threshold, trained
    from train.allocator import keep_large_blocks
    from train.report.verdict import blindness
    from train.run import load_run

    keep_large_blocks()
    choice = parse_threshold(threshold) if threshold else None
    loaded = load_run(run, data, network)
    subject = trained(loaded, stage)
    return subject if choice is None else replace(subject, threshold=choice), blindness(loaded)


def from_onnx(
    file: Path,
    letterbox: list[str],
    output: list[str],
    data: Path | None,
    threshold: str | None,
    bits: "Bits | None",
) -> "Subject":
    """The subject of a foreign ONNX model."""
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
    """The subject of a checkpoint: weights of the network of a recipe."""
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
    """A warning if the validation photographs do not show that bad parts score higher than good ones; else None."""
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
            f"this model is not shown to tell good from bad: AUROC {auroc:.3f} [{low:.3f}, {high:.3f}] on the "
            "validation photographs, and guessing gives 0.5; more of them may show it"
        )
    return None


def main() -> None:
    """Entry point: `edge-export rethreshold` is a command of its own, `export/rethreshold_command.py`."""
    if sys.argv[1:2] != ["rethreshold"]:
        run_app(app, extra="export")
    from export.rethreshold_command import rethreshold

    other = new_app()
    other.command()(rethreshold)
    sys.argv[:2] = [f"{sys.argv[0]} rethreshold"]
    run_app(other, extra="verify")
