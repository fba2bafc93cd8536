"""The benchmark of few photographs: whole parts, exact counts, trained and judged as edge-train does it."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.few_photographs import __main__ as benchmark
from benchmarks.few_photographs.advice import advice, differences, fewest_as_good
from benchmarks.few_photographs.chart import write_charts
from benchmarks.few_photographs.curves import Curve, with_bad
from benchmarks.few_photographs.draws import Pool, draw, parts_of, read_pool
from benchmarks.few_photographs.page import render
from benchmarks.few_photographs.points import Point, Task, read_point, read_points
from benchmarks.few_photographs.trainings import Memory, train
from edge.demo.lines import split_lines
from edge.demo.photographs import write_photographs
from edge.errors import DataError
from edge.evaluation.metrics import rate
from edge.photographs.photograph import Photograph
from train.data.rendered import Rendered
from train.data.split import SplitChoice
from train.fit import fit
from train.models import Batch
from train.models.padim import Padim
from train.recipe import load_recipe
from train.run import read_scores

SMALL = ["letterbox.side=64", "model.weights=random"]
KEYS = {
    "padim": [*SMALL, "model.dimensions=20"],
    "inspector-labels": [*SMALL, "model.familiar=5", "train.epochs=2", "train.crop=32"],
}


def pool_of(good: int, bad: int, photographs: int) -> Pool:
    """A pool of so many good and bad parts, each photographed several times; one part has photographs of both."""
    listed, part_of = [], {}
    for part in range(good + bad):
        for number in range(photographs):
            label = "bad" if part >= good or (part == 0 and number == 0) else "good"
            one = Photograph(Path(f"/{part}-{number}.png"), f"{part}-{number}.png", label)
            listed.append(one)
            part_of[one.name] = str(part)
    return Pool(listed, part_of, [])


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of the rendered line."""
    folder = tmp_path_factory.mktemp("few") / "plates"
    write_photographs(folder, split_lines("plates", size=(90, 160)), {"train": 40, "val": 10, "test": 12})
    return folder


@pytest.mark.parametrize(("good", "bad"), [(10, 0), (25, 5), (50, 20), (101, 3)])
def test_a_draw_has_exactly_the_photographs_asked_for_and_no_part_on_both_sides(good: int, bad: int) -> None:
    pool = pool_of(40, 10, 6)
    for seed in range(20):
        drawn = draw(pool, good, bad, seed)
        both = [*drawn.learnt, *drawn.chosen_on]
        assert len({one.name for one in both}) == len(both) == good + bad
        assert sum(one.is_bad for one in both) == bad
        assert len(drawn.learnt) == pytest.approx(0.7 * (good + bad), abs=1)
        parts = [{pool.part_of[one.name] for one in photographs} for photographs in (drawn.learnt, drawn.chosen_on)]
        assert not parts[0] & parts[1]
        assert parts_of(pool, drawn.learnt) <= len(drawn.learnt) / 6 + 3


def test_a_draw_holds_those_with_fewer_photographs_and_differs_from_one_seed_to_the_next() -> None:
    pool = pool_of(40, 10, 1)
    small, large, other = draw(pool, 10, 0, 1), draw(pool, 25, 5, 1), draw(pool, 10, 0, 2)
    assert {one.name for one in small.learnt} <= {one.name for one in large.learnt}
    assert {one.name for one in small.chosen_on} <= {one.name for one in large.chosen_on}
    assert small.names() != other.names()
    assert small.names() == draw(pool, 10, 0, 1).names()


def test_too_few_photographs_are_refused() -> None:
    with pytest.raises(DataError, match="60 good photographs asked for, and 5 are left to draw from"):
        draw(pool_of(30, 0, 5), 200, 0, 0)
    with pytest.raises(DataError, match="4 bad photographs asked for, and 3 are left"):
        draw(pool_of(30, 2, 1), 10, 5, 0)


def test_parts_are_those_of_the_table_and_the_test_part_is_whole(plates: Path) -> None:
    pool = read_pool(plates)
    assert (len(pool.photographs), len(pool.test), pool.left_out) == (50, 12, 0)
    assert {one.name.split("/")[0] for one in pool.photographs} == {"train", "val"}
    assert len(set(pool.part_of.values())) == 50


def test_tiles_with_two_numbers_are_one_part(tiles: Path) -> None:
    by_number, alike = read_pool(tiles), read_pool(tiles, joins_alike=True)
    assert len(alike.test) == len(by_number.test) == 272
    assert alike.left_out > 0
    assert len(alike.photographs) == len(by_number.photographs) - alike.left_out
    by_tile: dict[str, set[str]] = {}
    for one in alike.photographs:
        by_tile.setdefault(alike.part_of[one.name], set()).add(one.details["part"])
    assert max(map(len, by_tile.values())) > 1


@pytest.mark.parametrize(("name", "bad"), [("padim", 0), ("inspector-labels", 8)])
def test_a_training_has_the_scores_of_edge_train(plates: Path, tmp_path: Path, name: str, bad: int) -> None:
    pool, recipe = read_pool(plates), load_recipe(name, [*KEYS[name], "train.seed=3"])
    drawn = draw(pool, 14, bad, 0)
    where = {one.name: "train" for one in drawn.learnt} | {one.name: "val" for one in drawn.chosen_on}
    where |= {one.name: "test" for one in pool.test}
    with (tmp_path / "split.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["file", "split"])
        writer.writerows([one.name, where.get(one.name, "unused")] for one in [*pool.photographs, *pool.test])
    choice = SplitChoice(file=tmp_path / "split.csv", leaks="allow")
    fit(name, recipe, plates, tmp_path / "run", choice=choice)
    expected = {one.name: one.score for one in read_scores(tmp_path / "run")}
    memory, test = Memory(), Rendered(pool.test, recipe.letterbox, exact=True)
    for _ in ("computed", "from memory"):
        val_scores, test_scores = train(recipe, plates, drawn, test, memory)
        for photographs, scores in ((drawn.chosen_on, val_scores), (pool.test, test_scores)):
            np.testing.assert_allclose(scores, [expected[one.name] for one in photographs], rtol=1e-4, atol=1e-5)


def test_padim_learns_from_every_good_photograph_of_a_draw(plates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, recipe = read_pool(plates), load_recipe("padim", KEYS["padim"])
    drawn, seen, gather = draw(pool, 14, 0, 0), list[int](), Padim.gather

    def counting(network: Padim, batch: Batch) -> None:
        seen.append(len(batch.image))
        gather(network, batch)

    monkeypatch.setattr(Padim, "gather", counting)
    train(recipe, plates, drawn, Rendered(pool.test, recipe.letterbox, exact=True), Memory())
    assert sum(seen) == len(drawn.learnt) == 10 > recipe.train.batch


def test_the_benchmark_goes_on_where_it_stopped_and_measures_changed_settings_anew(
    plates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = list(KEYS["padim"])
    monkeypatch.setattr(benchmark, "recipe_of", lambda task: load_recipe("padim", [*keys, f"train.seed={task.draw}"]))
    line = benchmark.Line("plates", plates, "inspector", rare="part-00000")
    asked = [Task("plates", "padim", 10, 0, number) for number in (0, 1)]
    benchmark.measure(line, asked[:1], tmp_path)
    (point,) = read_points(tmp_path)
    assert (point.learnt, point.chosen_on, point.parts, point.recall.trials) == ((7, 0), (3, 0), 7, 5)
    assert point.rare == sum("part-00000" in one.name for one in draw(line.pool, 10, 0, 0).learnt)
    assert point.auroc_low <= point.auroc <= point.auroc_high
    first = tmp_path / asked[0].file
    before = first.stat().st_mtime_ns
    capsys.readouterr()
    benchmark.measure(line, asked, tmp_path)
    assert first.stat().st_mtime_ns == before
    assert asked[1].file in (said := capsys.readouterr().err)
    assert asked[0].file not in said
    keys.append("model.pooled=10.0")
    benchmark.measure(line, asked[:1], tmp_path)
    assert read_point(first).settings != point.settings


def test_a_damaged_result_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"task": {"line": "plates"}}')
    with pytest.raises(DataError, match=r"one\.json is not a result of this benchmark: remove it"):
        read_points(tmp_path)


def point(recipe: str, good: int, bad: int, number: int, auroc: float, rare: int | None = None) -> Point:
    """A point of the line `mono`."""
    task, half = Task("mono", recipe, good, bad, number), rate(5, 10)
    return Point(task, "", 7, (7, bad), (3, 1), rare, 0.5, auroc, auroc - 0.1, 0.99, half, half, 0.1)


def test_the_page_compares_supervised_trainings_with_the_better_one_class_recipe_of_the_same_draw(
    tmp_path: Path,
) -> None:
    points = [point("padim", 100, 0, number, 0.8 + number / 10) for number in (0, 1)]
    points += [point("patchcore", 100, 0, number, 0.82) for number in (0, 1, 2)]
    points += [point("inspector", 100, 5, number, 0.88) for number in (0, 1)]
    assert [(bad, round(one, 2)) for bad, one in differences(with_bad(points, "mono"))] == [(5, 0.06), (5, -0.02)]
    page = " ".join(render(points).split())
    assert "with 5 bad ones it is higher in 1 of 2 trainings, by +0.02 in the mean (-0.02 to +0.06)" in page
    assert [sorted(curve.points) for curve in with_bad(points, "mono")] == [[5], [0], [0]]
    write_charts(points, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["few-photographs-bad.svg", "few-photographs.svg"]


def test_a_kind_that_was_not_learnt_is_told_apart_from_the_number_of_photographs() -> None:
    points = [point("padim", good, 0, 0, 0.5, rare=0) for good in (10, 200)]
    points += [point("padim", 10, 0, 1, 0.9, rare=1), point("padim", 200, 0, 1, 0.91, rare=3)]
    said = " ".join(" ".join(advice(points)).split())
    assert "The mean AUROC of 2 trainings without any of it is 0.50" in said
    assert "that of 2 trainings with at least one of it is 0.9" in said
    assert "mono: `padim` 10." in said
    assert "Photograph every kind" not in " ".join(advice([point("padim", 10, 0, 0, 0.9)]))


def test_the_fewest_as_good_are_those_from_which_on_all_are() -> None:
    values = {10: 0.89, 25: 0.7, 50: 0.88, 100: 0.92, 200: 0.9}
    curve = Curve("mono", "padim", {good: [point("padim", good, 0, 0, one)] for good, one in values.items()})
    assert fewest_as_good(curve) == 50
