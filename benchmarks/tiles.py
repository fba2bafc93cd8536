"""`python -m benchmarks.tiles`: a scratch of a few pixels on a large part, found by a network on the whole picture or
on tiles of it.

The parts are plates of the demonstration line in frames of 2448×2048 pixels; a bad one has a scratch `BREADTH` pixels
wide on its metal, a little darker than what is around it. Every network is trained on the same photographs. Detection
is measured on test parts, latency on the exported graph, letterbox included.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from autotrain.latency import median_ms
from benchmarks.markdown import machine_words, paragraph, table
from benchmarks.script import steps
from edge.bench import machine
from edge.cli import new_app, run_app
from edge.demo.line import DemoLine
from edge.evaluation.metrics import Rate
from edge.files import write_whole
from train.fit import fit
from train.recipe import load_recipe
from train.run import Run, load_run, read_record

COMMAND = "python -m benchmarks.tiles"
PAGE = Path("docs/reports/tiles.md")
FOLDER = Path("build/tiles")
SIZE = (2048, 2448)
BREADTH = 3
LENGTH = (80, 250)
"""Of a scratch, pixels."""
DARKER = (12, 30)
"""Grey levels by which a scratch is darker than the metal around it."""
FINER = 4
"""A scratch is drawn in a picture so many times as large."""

COUNTS = {"train": (24, 0), "val": (10, 10), "test": (20, 20)}
"""Good and bad parts of each split."""

SIDE = 2432
REGION = f"letterbox.region={{top=0, left={(SIZE[1] - SIDE) // 2}, height={SIZE[0]}, width={SIDE}}}"
"""As wide as the network's input, so that nothing is resampled."""
LARGE = (f"letterbox.side={SIDE}", "letterbox.filter=box", REGION)
ONE_CLASS = ("threshold={strategy='specificity', at_least=0.9}",)


@dataclass(frozen=True)
class Case:
    """A recipe with settings, and what the page says of it."""

    name: str
    recipe: str
    said: str
    settings: tuple[str, ...]


CASES = (
    Case("patchcore-320", "patchcore", "whole, 320 px", ("letterbox.side=320", *ONE_CLASS)),
    Case("patchcore-640", "patchcore", "whole, 640 px", ("letterbox.side=640", *ONE_CLASS)),
    Case("patchcore-tiles", "patchcore", "tiles of 512 px", (*LARGE, "tiles={side=512}", "train.batch=2", *ONE_CLASS)),
)

app = new_app()


@app.command()
def measure(
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
) -> None:
    """Render the parts, train what is not trained yet, measure, and write the page."""
    about = machine()
    with steps(1 + 2 * len(CASES)) as tick:
        tick("rendering large parts")
        if not (FOLDER / "data" / "done").exists():
            render(FOLDER / "data")
        rows = []
        for case in CASES:
            tick(f"training {case.name}")
            run = trained(case)
            tick(f"measuring {case.name}")
            rows.append(row_of(case, run))
    text = _page(about, rows)
    write_whole(page, text)
    print(text)


def render(folder: Path) -> None:
    """The photographs, in the layout that edge-train reads; those of a split have a seed of their own."""
    for seed, (split, (good, bad)) in enumerate(COUNTS.items(), 1):
        line, rng = DemoLine(seed, SIZE, defect_rate=0), np.random.default_rng(seed)
        for label in ("good", "bad", "mask"):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
        for index in range(good + bad):
            frame, name = line.render(index).frame, f"part-{index:04d}"
            if index < bad:
                mask = scratch(frame, rng)
                cv2.imwrite(str(folder / split / "mask" / f"{name}.png"), mask)
            file = folder / split / ("bad" if index < bad else "good") / f"{name}.jpg"
            cv2.imwrite(str(file), frame, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / "done").touch()


def scratch(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a straight scratch on the plate into a frame uint8 [H, W, 3], in place; its mask uint8 [H, W], 0 or 255."""
    height, width = SIZE
    angle, length = rng.uniform(0, np.pi), rng.uniform(*LENGTH)
    centre = np.array([width, height]) * rng.uniform((0.25, 0.32), (0.75, 0.68))
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    ends = [tuple(int(FINER * value) for value in centre + sign * reach) for sign in (-1, 1)]
    fine = np.zeros((FINER * height, FINER * width), np.uint8)
    cv2.line(fine, ends[0], ends[1], 255, FINER * BREADTH)
    mask = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    depth = rng.uniform(*DARKER) * mask.astype(np.float32) / 255
    frame[:] = np.clip(frame - depth[..., None], 0, 255).astype(np.uint8)
    return np.where(mask >= 128, 255, 0).astype(np.uint8)


def trained(case: Case) -> Run:
    """The run of a case, trained, or to its end, unless it is finished."""
    out = FOLDER / case.name
    has_begun = (out / "run.json").exists()
    if has_begun and read_record(out).finished:
        return load_run(out)
    recipe = load_recipe(case.recipe, list(case.settings))
    run = fit(case.recipe, recipe, FOLDER / "data", out, resume=has_begun)
    assert run is not None, "one device"
    return run


def row_of(case: Case, run: Run) -> list[str]:
    """The figures of a case, as cells of the table."""
    test = run.record.metrics["test"]
    figures = test.figures
    latency = median_ms(run.network, run.contract, SIZE)
    return [
        f"`{case.recipe}`",
        case.said,
        f"{figures.auroc:.3f}" if figures.auroc is not None else "–",
        *(_rate(rate) for rate in (figures.recall, figures.specificity)),
        f"{test.overlap.dice:.2f}" if test.overlap else "–",
        f"{latency:.0f}",
        f"{run.record.minutes or 0:.0f}",
    ]


def _rate(rate: Rate) -> str:
    return "–" if rate.value is None else f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def _page(about: dict[str, object], rows: list[list[str]]) -> str:
    return "\n".join(_paragraphs(about, rows)) + "\n"


def _paragraphs(about: dict[str, object], rows: list[list[str]]) -> Iterator[str]:
    yield "# Small defects on large parts\n"
    yield paragraph(f"Written by `{COMMAND}` on {machine_words(about)}.")
    yield paragraph(
        f"Plates in frames of {SIZE[1]}×{SIZE[0]} pixels. A bad one has one scratch, {BREADTH} pixels wide, "
        f"{LENGTH[0]} to {LENGTH[1]} long and {DARKER[0]} to {DARKER[1]} grey levels darker than the metal. "
        f"Learnt from {COUNTS['train'][0]} good parts. The scratch is drawn after the noise of the camera. Figures on "
        f"{sum(COUNTS['test'])} test parts, with 95 % intervals; the threshold is chosen on {sum(COUNTS['val'])} "
        "others and passes 90 % of their good ones. Median time of a "
        f"frame: letterbox and network, float32, OpenVINO. Tiles look at {SIDE}×{SIZE[0]} pixels as they are."
    )
    yield table(
        ["network", "sees", "AUROC", "recall", "specificity", "Dice", "p50, ms", "training, minutes"], rows, words=2
    )


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
