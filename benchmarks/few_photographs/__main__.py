"""`python -m benchmarks.few_photographs`: what to expect with 10 to 200 good photographs, and with few bad ones.

Photographs are drawn at random from the train and val of a line, by whole parts; a recipe is trained on them, and all
test photographs are judged. The one-class recipes learn from good ones, a supervised one also from a few bad ones. The
lines: solar cells (mono, poly) and magnetic tiles if their photographs are there, and the rendered line `plates`. Each
training writes a file of its own, and a benchmark that was interrupted goes on. Writes docs/reports/few-photographs.md.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.few_photographs.draws import Pool, draw, read_pool
from benchmarks.few_photographs.points import Task, is_measured, judged, read_points, settings_of, write_point
from benchmarks.script import say, steps
from edge.cli import run_app
from edge.demo.lines import Split
from edge.errors import DataError
from train.recipe import Recipe, load_recipe

GOOD = (10, 25, 50, 100, 200)
BAD = (5, 20)
ONE_CLASS = ("patchcore", "padim")

DRAWS = {10: 10, 25: 10, 50: 10, 100: 8, 200: 5}
"""Draws by the number of good photographs: few photographs differ more from one draw to the next."""

DRAWS_WITH_BAD = 3
GOOD_WITH_BAD = 100
"""Good photographs to which bad ones are added: draws 0, 1 … of the one-class recipes with so many."""

SUPERVISED = ("train.precision=bfloat16",)

WITHOUT_LINES = r"cell2[12]\d\d"
"""The monocrystalline cells of the one design without dark lines across: 6 good ones in train and val, 44 in test."""

RENDERED_SIZE = (360, 640)
RENDERED_COUNTS: dict[Split, int] = {"train": 330, "val": 110, "test": 250}


@dataclass(frozen=True)
class Line:
    """A set of photographs: its name on the page, its folder, the supervised recipe for it.

    `joins_alike` says that its part numbers do not tell all photographs of one part; see `read_pool`. `rare` is a
    regular expression for the names of a kind of part that is rare in train and val and frequent in test.
    """

    name: str
    data: Path
    supervised: str
    joins_alike: bool = False
    rare: str | None = None

    @cached_property
    def pool(self) -> Pool:
        """Its photographs."""
        return read_pool(self.data, self.joins_alike)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def few_photographs(
    tiles: Annotated[
        Path, typer.Option("--data", envvar="EDGE_DATA", help="Magnetic tiles; solar-cell is looked for beside them.")
    ] = Path("../shared/data/magnetic-tile"),
    only: Annotated[list[str] | None, typer.Option(help="A line: mono, poly, tiles or plates.")] = None,
    kind: Annotated[str | None, typer.Option(help="good: the one-class recipes; bad: the supervised ones.")] = None,
    work: Annotated[Path, typer.Option(metavar="DIR", help="Results of single trainings.")] = Path(
        "build/few-photographs"
    ),
    page_only: Annotated[
        bool, typer.Option("--page-only", help="Write the page of the results that there are.")
    ] = False,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the page and its pictures here.")] = None,
) -> None:
    """Measure what is missing, and print the page."""
    results = work / "results"
    if not page_only:
        for line in lines(tiles, work, only):
            measure(line, list(tasks(line, kind)), results)
    from benchmarks.few_photographs.chart import write_charts
    from benchmarks.few_photographs.page import render

    points = read_points(results)
    page = render(points)
    if docs is not None:
        (docs / "few-photographs.md").write_text(page, encoding="utf-8")
        write_charts(points, docs)
    print(page)


def lines(tiles: Path, work: Path, only: Sequence[str] | None = None) -> list[Line]:
    """The lines whose photographs are there; the rendered one is rendered. Raises DataError for an unknown name."""
    solar = tiles.parent / "solar-cell"
    every = [
        Line("mono", solar / "mono", "inspector-labels", rare=WITHOUT_LINES),
        Line("poly", solar / "poly", "inspector-labels"),
        Line("tiles", tiles, "inspector", joins_alike=True),
        Line("plates", work / "plates", "inspector"),
    ]
    names = [line.name for line in every]
    if unknown := sorted(set(only or ()) - set(names)):
        raise DataError(f"--only {unknown[0]}: there are {', '.join(names)}")
    asked = [line for line in every if not only or line.name in only]
    if any(line.name == "plates" for line in asked):
        render_plates(work / "plates")
    for line in asked:
        if not line.data.is_dir():
            say(f"{line.name}: no photographs at {line.data}; left out")
    return [line for line in asked if line.data.is_dir()]


def render_plates(folder: Path) -> None:
    """Render the photographs of the line `plates`, unless that was done before."""
    if folder.is_dir():
        return
    from edge.demo.lines import split_lines
    from edge.demo.photographs import write_photographs

    part = folder.with_name(f"{folder.name}.{time.monotonic_ns()}")
    say(f"rendering {folder}")
    write_photographs(part, split_lines("plates", size=RENDERED_SIZE), RENDERED_COUNTS)
    part.rename(folder)


def tasks(line: Line, kind: str | None = None) -> Iterator[Task]:
    """The trainings of a line, first those of few photographs. Raises DataError for an unknown kind."""
    if kind not in (None, "good", "bad"):
        raise DataError(f"--kind {kind}: there are good and bad")
    if kind != "bad":
        for good in GOOD:
            yield from (Task(line.name, name, good, 0, number) for number in range(DRAWS[good]) for name in ONE_CLASS)
    if kind != "good":
        for bad in BAD:
            for number in range(DRAWS_WITH_BAD):
                yield Task(line.name, line.supervised, GOOD_WITH_BAD, bad, number)


def measure(line: Line, asked: Sequence[Task], results: Path) -> None:
    """Do the trainings that have no result yet."""
    from benchmarks.few_photographs.trainings import Memory, train
    from train.data.rendered import Rendered

    memory, rendered = Memory(), dict[str, Rendered]()
    with steps(len(asked)) as step:
        for task in asked:
            step(f"{line.name}: {task.recipe}, {task.good} good, {task.bad} bad, draw {task.draw}")
            recipe, drawn = recipe_of(task), draw(line.pool, task.good, task.bad, task.draw)
            if is_measured(results, task, settings_of(recipe, drawn, line.pool)):
                continue
            contract = recipe.letterbox.model_dump_json()
            if contract not in rendered:
                rendered[contract] = Rendered(line.pool.test, recipe.letterbox, exact=True).keep()
            began = time.monotonic()
            scored = train(recipe, line.data, drawn, rendered[contract], memory)
            minutes = round((time.monotonic() - began) / 60, 3)
            point = judged(task, recipe, drawn, line.pool, scored, minutes, line.rare)
            write_point(results, point)
            say(f"{task.file}: AUROC {point.auroc:.3f}, recall {point.recall}, specificity {point.specificity}")
    memory.clear()


def recipe_of(task: Task) -> Recipe:
    """The recipe of a training; the number of the draw is also its seed."""
    return load_recipe(task.recipe, [f"train.seed={task.draw}", *(SUPERVISED if task.bad else ())])


if __name__ == "__main__":
    run_app(app, extra="train")
