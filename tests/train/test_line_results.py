"""The page of the rendered lines: the measurements beside the runs, and the page with these and the runs' figures."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from support.line import ROOT

from benchmarks.results import in_turns, live, masks
from benchmarks.results.archive import restore, store
from benchmarks.results.beside import file_beside, read_beside
from benchmarks.results.in_turns import THEIRS, InTurns, experiments_input
from benchmarks.results.live import LiveFigures
from benchmarks.results.masks import MaskFigures
from benchmarks.results.measure import LivePace, measure_lines, sheet_file
from benchmarks.results.numbers import SCHEMA, numbers, write_numbers
from benchmarks.results.page import render
from benchmarks.results.plan import Plan, PlanError, read_plan
from benchmarks.results.reasons import Difference, Reasons, because
from benchmarks.results.sheets import write_sheet
from edge.demo.lines import open_line, split_lines
from edge.demo.photographs import write_photographs
from edge.errors import DataError
from edge.evaluation.distribution_shift import Shift
from edge.evaluation.metrics import confusion, dice
from edge.evaluation.thresholds import choose_threshold
from edge.photographs.photograph import read_photograph, read_truth
from edge.report.heat import map_in_frame
from train.fit import fit
from train.letterbox import letterboxed
from train.models import network_class
from train.recipe import load_recipe, recipe_names
from train.report.overlap import Coverage
from train.run import Run, load_run, read_record, read_scores
from train.score import scores_and_maps

PARTS = 12
PLAN = """
set = ["train.batch=8"]
[photographs.codes]
title = "Codes"
about = "Printed codes."
line = "codes"
frame = "285x110"
[photographs.pour]
title = "Pour"
about = "Pours."
line = "pour"
[[entry]]
recipe = "demo-line"
data = "codes"
set = ["letterbox.side=64", "train.crop=32", "train.epochs=2"]
pictures = "misses"
in_turns = true
[[entry.reported]]
said = "kept by validation"
precision = 0.111
recall = 0.222
specificity = 0.333
dice = 0.444
iou = 0.555
[[entry.reported]]
said = "last epoch"
is_last = true
recall = 0.666
[[entry]]
recipe = "autoencoder-gelu"
data = "pour"
set = ["train.epochs=1", 'threshold={strategy="balanced"}']
"""


class Made:
    """The runs of `PLAN`, the measurements of the run on codes, and the path of the page."""

    def __init__(self, folder: Path) -> None:
        self.runs, self.page = folder / "runs", folder / "docs" / "lines.md"
        (folder / "plan.toml").write_text(PLAN)
        self.plan: Plan = read_plan(folder / "plan.toml")
        self.folders = {name: folder / name for name in ("codes", "pour")}
        for name, counts in (("codes", (24, 20, 20)), ("pour", (16, 20, 24))):
            lines = split_lines(name, defect_rate=0.4)  # type: ignore[arg-type]
            write_photographs(self.folders[name], lines, dict(zip(("train", "val", "test"), counts, strict=True)))
        for one in self.plan.trainings():
            fit(one.entry.recipe, one.recipe, self.folders[one.entry.data], self.runs / one.folder)
        self.failed = self.measure()

    def measure(self, say: Callable[[str], None] = lambda text: None) -> list[str]:
        """Measure the row on codes."""
        chosen = self.plan.only(["demo-line"]).trainings()
        return measure_lines(chosen, self.runs, self.folders, self.page, say, LivePace(PARTS, 10.0))

    @property
    def codes(self) -> Run:
        """The run on codes."""
        return load_run(self.runs / "demo-line-codes-seed0", self.folders["codes"])

    def row(self, head: str) -> dict[str, str]:
        """The row of the network on codes in the first table of the page that has a column `head`."""
        lines = render(self.plan, self.runs, None, self.page).splitlines()
        heads = next(index for index, line in enumerate(lines) if line.startswith("|") and f"| {head} |" in line)
        columns, cells = (
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[heads], lines[heads + 2])
        )
        assert cells[0] == "`demo-line`"
        names = [f"{columns[index - 1]}, there" if name == "there" else name for index, name in enumerate(columns)]
        return dict(zip(names, cells, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The results of two small trainings, one export and one station, made once."""
    torch.set_num_threads(1)
    return Made(tmp_path_factory.mktemp("lines"))


def test_the_plan_of_the_lines_holds_every_network_and_can_be_followed() -> None:
    plan = read_plan(ROOT / "benchmarks" / "line_results.toml")
    trainings = plan.trainings()
    named = {one.entry.recipe for one in trainings}
    assert named | {"unet-autoencoder-perceptual", "unet-resnet34"} == set(recipe_names())
    for one in trainings:
        chosen = one.recipe.threshold
        choose_threshold([0.1, 0.2], [False, True], chosen.strategy, **chosen.options)
        if one.entry.data == "pour":
            assert network_class(one.recipe.model.name).learns_from == "good", "pour has no bad training photographs"
    assert {one.recipe.loss.options["alpha"] for one in trainings if "resnet34" in one.entry.recipe} == {
        0.2, 0.4, 0.6, 0.8,
    }  # fmt: skip


def test_everything_is_measured_once(made: Made) -> None:
    assert made.failed == []
    run = made.codes.path
    files = [file_beside(run, what) for what in ("masks", "reasons", "live", "in-turns", "pictures")]
    files.append(sheet_file(made.page, "demo-line-codes"))
    before = [file.stat().st_mtime_ns for file in files]
    assert made.measure() == []
    assert [file.stat().st_mtime_ns for file in files] == before
    file_beside(run, "masks").write_text("{}")
    made.measure()
    assert read_beside(run, masks.WHAT, MaskFigures) is not None, "measured by another version"


def test_dice_is_counted_over_bad_photographs_and_over_all(made: Made) -> None:
    run = made.codes
    found = read_beside(run.path, masks.WHAT, MaskFigures)
    assert found is not None
    photographs = run.photographs("test")
    plain, counted = [], []
    for one, (_, cells) in zip(photographs, scores_and_maps(run.network, run.contract, photographs), strict=True):
        shape = read_photograph(one).shape[:2]
        assert cells is not None
        heat = map_in_frame(cells, run.contract, *shape)
        truth = read_truth(one) if one.is_bad else np.zeros(shape, np.uint8)
        assert truth is not None
        if one.is_bad:
            plain.append(dice(heat >= found.plain.level, truth > 0))
        value = dice(heat >= found.counted.level, truth > 0)
        counted.append(1.0 if value is None else value)
    assert found.plain.dice == pytest.approx(np.mean(np.array(plain, float)))
    assert found.counted.dice == pytest.approx(np.mean(counted))
    assert (found.bad, found.photographs) == (len(plain), len(counted))
    assert found.nothing == pytest.approx(1 - len(plain) / len(counted))


def test_a_picture_without_defect_and_without_predicted_pixel_counts_one() -> None:
    def column(*values: float) -> np.ndarray:
        return np.array([values], float).T

    seen = Coverage(
        both=column(0, 0, 0, 2), found=column(0, 3, 0, 4), true=column(0, 0, 5, 4), frame=column(9, 9, 9, 9)
    )
    assert masks.counted_dice(seen)[:, 0].tolist() == [1, 0, 0, 0.5]
    assert masks.counted_iou(seen)[:, 0].tolist() == [1, 0, 0, pytest.approx(1 / 3)]


def test_reported_figures_stand_beside_ours(made: Made) -> None:
    row = made.row("Dice, counted as there")
    found = read_beside(made.codes.path, masks.WHAT, MaskFigures)
    assert found is not None
    figures = read_record(made.codes.path).metrics["test"].figures
    assert row["recall (TPR)"].startswith(f"**{figures.recall.value:.3f}**")
    assert row["specificity (TNR)"].startswith(f"**{figures.specificity.value:.3f}**")
    assert (row["Dice"], row["Dice, counted as there"]) == (
        f"**{found.plain.dice:.3f}**",
        f"**{found.counted.dice:.3f}**",
    )
    theirs = ("precision", "recall (TPR)", "specificity (TNR)", "Dice, counted as there")
    assert [row[f"{name}, there"] for name in theirs] == ["0.111", "0.222", "0.333", "0.444"]
    page = render(made.plan, made.runs, None, made.page)
    assert "| `demo-line` | last epoch | – | 0.666 | – | – | – |" in page
    assert f"]({sheet_file(made.page, 'demo-line-codes').name})" in page


def test_strategies_show_what_they_promised_and_gave(made: Made) -> None:
    rows = read_scores(made.codes.path)
    val, test = ([row for row in rows if row.split == split] for split in ("val", "test"))
    chosen = choose_threshold([row.score for row in val], [row.is_bad for row in val], "best-f1")
    given = confusion([row.score for row in test], [row.is_bad for row in test], chosen.value)
    pairs = [f"{one.recall.value:.3f} / {one.specificity.value:.3f}" for one in (chosen.confusion, given)]
    assert made.row("best F1")["best F1"].replace("*", "") == "<br>".join(pairs)


def test_live_parts_are_all_judged_and_compared_with_their_truth(made: Made) -> None:
    found = read_beside(made.codes.path, live.WHAT, LiveFigures)
    assert found is not None
    assert found.unknown == {}
    bad = sum(open_line("codes").part(index).truth == "bad" for index in range(PARTS))
    assert found.confusion.tp + found.confusion.fn == bad
    assert found.confusion.fp + found.confusion.tn == PARTS - bad
    assert made.row("artifact")["parts"] == str(PARTS)


def test_both_programs_judge_the_same_photographs_alike(made: Made) -> None:
    found = read_beside(made.codes.path, in_turns.WHAT, InTurns)
    assert found is not None
    assert [one.name for one in found.programs] == ["openvino", "onnxruntime", THEIRS]
    assert found.photographs == 20
    assert all(one.difference < 0.02 for one in found.programs)
    assert all(one.seconds > 0 for one in found.programs)


@pytest.mark.parametrize("recipe", ["densenet121-letterbox", "densenet121-resize"])
def test_the_experiments_program_shows_the_network_what_training_shows_it(made: Made, recipe: str) -> None:
    contract = load_recipe(recipe, ["letterbox.side=64"]).letterbox
    for photograph in made.codes.photographs("test")[:4]:
        image, mask = experiments_input(photograph.path, contract)
        ours, our_mask = letterboxed(read_photograph(photograph), contract)
        assert torch.equal(mask, our_mask)
        grey_level = 1 / 255 / min(contract.std)
        assert float((image - ours).abs().max()) < 2 * grey_level


def test_a_sheet_shows_a_map_or_a_drawing(made: Made, tmp_path: Path) -> None:
    sheet = sheet_file(made.page, "demo-line-codes")
    assert sheet.stat().st_size < 250_000
    assert cv2.imread(str(sheet)) is not None
    autoencoder = load_run(made.runs / "autoencoder-gelu-pour-seed0", made.folders["pour"])
    shown = write_sheet(tmp_path / "drawn.jpg", autoencoder, "bad", None)
    assert shown.pictures[1:] == ("what the network draws", "where the two differ")
    bad = sum(one.is_bad for one in autoencoder.photographs("test"))
    assert (shown.which, shown.shown, shown.of) == ("evenly", min(12, bad), bad)


def test_numbers_are_those_of_the_runs_and_name_no_folder(made: Made, tmp_path: Path) -> None:
    write_numbers(made.plan, made.runs, tmp_path / "numbers.json")
    text = (tmp_path / "numbers.json").read_text()
    said = json.loads(text)
    assert said == json.loads(json.dumps(numbers(made.plan, made.runs)))
    assert said["schema_version"] == SCHEMA
    assert str(made.runs.parent) not in text
    row = next(one for one in said["rows"] if one["name"] == "demo-line")
    record = read_record(made.codes.path)
    assert row["recall"]["mean"] == record.metrics["test"].figures.recall.value
    assert row["reported"][0]["dice"] == 0.444
    assert row["seeds"][0]["live"]["parts"] == PARTS
    assert row["seeds"][0]["kept"]["metrics"]["test"]["figures"]["auroc"] == record.metrics["test"].figures.auroc
    assert said["photographs"]["codes"]["splits"]["test"]["bad"]["photographs"] == sum(
        one.is_bad for one in made.codes.photographs("test")
    )


def test_a_page_is_written_from_records_where_nothing_was_trained(made: Made, tmp_path: Path) -> None:
    archive, elsewhere = tmp_path / "records.tar.xz", tmp_path / "runs"
    measured = file_beside(made.codes.path, "command")
    measured.write_text(json.dumps({"path": str(made.codes.path.resolve())}))
    store(archive, made.plan.trainings(), made.runs)
    elsewhere.mkdir()
    names = [one.folder for one in made.plan.trainings()]
    measured.unlink()
    assert restore(archive, elsewhere) == sorted(names)
    assert not list(elsewhere.rglob("*.pt"))
    for file in (one for one in elsewhere.rglob("*") if one.is_file()):
        assert str(made.runs.parent) not in file.read_text(), "no folder of the machine that trained it"
    assert numbers(made.plan, elsewhere) == numbers(made.plan, made.runs)
    assert restore(archive, elsewhere) == [], "what is there stays"
    assert measure_lines(made.plan.trainings(), elsewhere, {}, made.page, print) == [], "no weights: left as it is"
    store(tmp_path / "again.tar.xz", made.plan.trainings(), elsewhere)
    with tarfile.open(archive) as one, tarfile.open(tmp_path / "again.tar.xz") as other:
        assert sorted(one.getnames()) == sorted(other.getnames())


def test_an_archive_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "records.tar.xz").write_text("no archive")
    with pytest.raises(DataError, match=r"records\.tar\.xz cannot be unpacked: .*; remove it"):
        restore(tmp_path / "records.tar.xz", tmp_path / "runs")
    assert restore(tmp_path / "none.tar.xz", tmp_path) == []


def test_a_reason_names_scores_and_then_pictures() -> None:
    def difference(name: str, sentence: str) -> Difference:
        shift = Shift(name=name, before=1, after=2, distance=0.6, p_value=0.001, units=(20, 20))
        return Difference(sentence=sentence, shift=shift)

    brighter = difference("val|test|good|mean grey", "Test photographs are brighter.")
    higher = difference("val|test|good|score", "Test photographs have higher scores.")
    of_bad = difference("val|test|bad|contrast", "Bad ones are flatter.")
    both = because(Reasons(made=12, found=(of_bad, brighter, higher)))
    assert both == "Test photographs have higher scores. A likely reason is that test photographs are brighter."
    assert "No property" in because(Reasons(made=12, found=(of_bad, higher)))
    assert because(Reasons(made=12, found=())).startswith("The scores of good photographs do not differ")


def test_a_wrong_reported_figure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN.replace("recall = 0.222", "recall = 22.2"))
    with pytest.raises(PlanError, match="recall"):
        read_plan(tmp_path / "plan.toml")
