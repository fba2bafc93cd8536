"""`python -m benchmarks.parity`: does every artifact of every trained recipe keep PyTorch's verdicts?

Exports the first seed of each row of the plan and scores every photograph, those of training too, with PyTorch and with
each artifact. Each photograph has its own size; some or all are also pasted into the frames of two cameras. Writes
docs/reports/parity.md.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.results.plan import PLAN, Training, read_plan
from benchmarks.results.runs import State, exported, look
from edge.cli import run_app
from edge.errors import EdgeError

CANVASES = {"own size": None, "in 1920×1080": (1080, 1920), "in 2448×2048": (2048, 2448)}
"""Name of each canvas: (height, width) of the black frame into whose middle a photograph is pasted."""

PASTED = 8
"""Every PASTED-th photograph is also pasted into the cameras' frames; with --all, every photograph."""

HEAD = """\
# Parity

Written by `python -m benchmarks.parity`. Every photograph of the magnetic tiles, of training, validation and test
together, was scored by PyTorch, with the code that trained the network, and by every artifact of its bundle, through
the graph for any size. Every eighth of them, or with `--all` each, was also pasted into the middle of a black frame as
two cameras give them, through the graph that a station compiles for a fixed size. A flip is another verdict than
PyTorch's, each at its own threshold, both chosen on the validation photographs; it is marginal if the score is within
the artifact's margin of the threshold. A part that covers a tenth of its frame says little about defects: here only
agreement counts.

| recipe | artifact | flips, {canvases} | beyond the margin | largest score difference | margin |
| --- | --- | --- | --- | --- | --- |
"""

Row = dict[str, Any]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def parity(
    data: Annotated[Path, typer.Option(envvar="EDGE_DATA", help="Folder of the magnetic tiles.")],
    only: Annotated[list[str] | None, typer.Option(help="Compare these rows, folders or recipes alone.")] = None,
    all_: Annotated[
        bool, typer.Option("--all", help=f"Paste each photograph into the cameras' frames, not every {PASTED}th.")
    ] = False,
    table_only: Annotated[bool, typer.Option("--table-only", help="Compare nothing; write the page anew.")] = False,
    runs: Annotated[Path, typer.Option(help="Where the run folders lie.")] = Path("build/results"),
    page: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/reports/parity.md"),
) -> None:
    """Compare what is trained and not compared yet, one after another, and write the page. Exit code 1 if one fails."""
    plan, failed = read_plan(PLAN), []
    for training in _firsts(plan.only(only or []).trainings(), runs):
        run = runs / training.folder
        if table_only or _file(run).exists():
            continue
        found: list[Row] | str
        try:
            found = compare_run(run, exported(run, training.entry.int8), data, 1 if all_ else PASTED)
        except EdgeError as error:
            found = str(error)
            failed.append(f"{training.folder}: {error}")
            print(failed[-1], file=sys.stderr)
        _file(run).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write_text(render(_firsts(plan.trainings(), runs), runs), encoding="utf-8")
    print(f"written: {page}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def _firsts(trainings: list[Training], runs: Path) -> Iterator[Training]:
    """The first seed of each row that is trained on the magnetic tiles."""
    for one in trainings:
        is_first = one.seed == one.entry.seeds[0] and one.entry.data == "magnetic-tile"
        if is_first and look(one, runs).state is State.FINISHED:
            yield one


def _file(run: Path) -> Path:
    return run.with_name(f"{run.name}.parity.json")


def compare_run(run: Path, bundle_path: Path, data: Path, pasted_every: int) -> list[Row]:
    """Flips and differences by canvas and artifact, over the photographs in `data`, each of them at its own size."""
    from rich.progress import track

    from edge.backends import is_exact_here, load_from
    from edge.bundle import load_bundle
    from edge.machine import cores
    from edge.photographs.listing import read_listing
    from edge.photographs.photograph import read_photograph
    from edge.terminal.console import Console
    from export.parity import reference
    from export.source import trained
    from train.run import load_run

    loaded = load_run(run)
    subject, bundle, console = trained(loaded), load_bundle(bundle_path), Console(stderr=True)
    assert loaded.record.selection is not None
    expected = loaded.record.selection.threshold.value
    everything = [one for members in read_listing(data).splits.values() for one in members]
    rows = []
    for canvas, shape in CANVASES.items():
        photographs = everything[:: 1 if shape is None else pasted_every]
        runtimes = {
            name: load_from(bundle, name, cores(), shape)
            for name, one in bundle.manifest.artifacts.items()
            if is_exact_here(one)
        }
        scores: dict[str, list[float]] = {name: [] for name in ("pytorch", *runtimes)}
        for photograph in track(photographs, f"{run.name} {canvas}", console=console, transient=True):
            frame = read_photograph(photograph) if shape is None else pasted(read_photograph(photograph), shape)
            scores["pytorch"].append(reference(subject, frame)[0])
            for name, runtime in runtimes.items():
                scores[name].append(runtime.infer(frame).score)
        said = np.array(scores["pytorch"])
        for name in runtimes:
            artifact, found = bundle.artifact(name), np.array(scores[name])
            flips = (found >= artifact.threshold.value) != (said >= expected)
            beyond = flips & (np.abs(found - artifact.threshold.value) > artifact.margin)
            rows.append(
                {
                    "canvas": canvas,
                    "artifact": name,
                    "photographs": len(photographs),
                    "flips": int(flips.sum()),
                    "beyond": [photographs[i].name for i in np.flatnonzero(beyond)],
                    "largest": float(np.abs(found - said).max()),
                    "margin": artifact.margin,
                }
            )
    return rows + [{"artifact": name, "refused": reason} for name, reason in bundle.manifest.refused.items()]


def pasted(picture: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The picture uint8 [h, w, 3] in the middle of a black frame of `shape`, shrunk if it does not fit."""
    height, width = picture.shape[:2]
    shrink = min(1.0, shape[0] / height, shape[1] / width)
    if shrink < 1:
        size = max(1, int(width * shrink)), max(1, int(height * shrink))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        height, width = picture.shape[:2]
    frame = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    frame[top : top + height, left : left + width] = picture
    return frame


def render(trainings: Iterator[Training], runs: Path) -> str:
    """The page as Markdown, with a line for each artifact of each compared row."""
    lines = [HEAD.format(canvases=", ".join(CANVASES))]
    for training in trainings:
        file, recipe = _file(runs / training.folder), training.entry.folder
        if not file.exists():
            lines.append(f"| {recipe} | not compared yet |  |  |  |  |\n")
            continue
        found: list[Row] | str = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(found, str):
            lines.append(f"| {recipe} | **failed**: {found} |  |  |  |  |\n")
            continue
        for artifact in dict.fromkeys(row["artifact"] for row in found):
            lines.append(_line(recipe, artifact, [row for row in found if row["artifact"] == artifact]))
    return "".join(lines)


def _line(recipe: str, artifact: str, rows: list[Row]) -> str:
    if "refused" in rows[0]:
        return f"| {recipe} | {artifact} | no such artifact: {rows[0]['refused']} |  |  |  |\n"
    flips = ", ".join(f"{row['flips']} of {row['photographs']:,}" for row in rows)
    beyond, largest = sum(len(row["beyond"]) for row in rows), max(row["largest"] for row in rows)
    cells = recipe, artifact, flips, beyond, f"{largest:.2g}", f"{rows[0]['margin']:.2g}"
    return f"| {' | '.join(map(str, cells))} |\n"


if __name__ == "__main__":
    run_app(app)
