"""A training writes a run with a complete description; an interrupted training continues to the same result."""

import csv
import functools
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from edge.errors import DataError, EdgeError, RecipeError
from edge.pictures import read_picture
from edge.terminal.progress import Progress
from train.fit import fit
from train.learner import Learner
from train.letterbox import letterboxed
from train.models import Batch, build_network
from train.models.segmenter_small import SegmenterSmall
from train.recipe import Recipe, load_recipe
from train.report.page import _data
from train.report.scored_photographs import read_inspected
from train.run import RunError, load_run

MakeData = Callable[..., Path]

QUICK = {
    "autoencoder-gelu": ["train.epochs=3", "train.batch=4"],
    "demo-line": ["train.epochs=3", "letterbox.side=64", "train.crop=32", "train.batch=8"],
}


def quick(name: str, *overrides: str) -> Recipe:
    return load_recipe(name, QUICK[name] + list(overrides))


def rising(sides: list[int], epochs: int = 3) -> Recipe:
    recipe = load_recipe("demo-line", ["letterbox.side=64", "train.batch=8", f"train.epochs={epochs}"])
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"crop": None, "sides": tuple(sides)})})


@pytest.fixture
def data(make_data: MakeData) -> Path:
    return make_data(train=(12, 12), val=(6, 6), test=(6, 6))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", QUICK)
def test_training_writes_a_run_that_reads_back(name: str, data: Path, tmp_path: Path) -> None:
    run = fit(name, quick(name), data, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.recipe == quick(name)
    assert again.contract == run.contract
    assert again.data == data
    assert again.fingerprint == run.record.data.fingerprint
    assert not again.network.training
    assert [len(again.photographs(split)) for split in ("train", "val", "test")] == [24, 12, 12]
    assert set(again.record.metrics) == {"val", "test"}
    assert again.record.selection is not None
    assert again.record.metrics["val"].figures.confusion == again.record.selection.threshold.confusion
    with (tmp_path / "run" / "history.csv").open() as lines:
        assert [row["epoch"] for row in csv.DictReader(lines)] == ["0", "1", "2"]


def test_scores_of_the_run_are_those_of_its_network_on_the_exact_letterbox(data: Path, tmp_path: Path) -> None:
    run = fit("demo-line", quick("demo-line"), data, tmp_path / "run")
    with (tmp_path / "run" / "scores.csv").open() as lines:
        written = {row["file"]: float(row["score"]) for row in csv.DictReader(lines)}
    assert len(written) == 48
    for photograph in run.photographs("test"):
        image, mask = letterboxed(read_picture(photograph.path), run.contract)
        with torch.inference_mode():
            score, _ = run.network(image[None], mask[None])
        assert written[photograph.name] == pytest.approx(float(score), abs=1e-5)


def test_of_many_training_photographs_some_are_scored_and_the_report_reads_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.fit.SCORED_OF_TRAINING", 5)
    run = fit("demo-line", quick("demo-line"), data, tmp_path / "run")
    inspected = read_inspected(run)
    assert {split: len(found) for split, found in inspected.items()} == {"train": 10, "val": 12, "test": 12}
    for bad in (False, True):
        of_class = [one.name for one in run.photographs("train") if one.is_bad is bad]
        scored = [one.name for one in inspected["train"] if one.is_bad is bad]
        assert scored == [of_class[number * len(of_class) // 5] for number in range(5)]
    (row, *_) = _data(run, inspected)
    assert sum(row[label][0] for label in ("good", "bad")) == 24


def test_supervised_network_learns_the_plain_defect(data: Path, tmp_path: Path) -> None:
    recipe = quick("demo-line", "train.epochs=25", "augment.rotate=0", "loss.hardest=0.05")
    run = fit("demo-line", recipe, data, tmp_path / "run")
    assert run.record.metrics["test"].figures.auroc == 1.0


def test_autoencoder_never_sees_a_bad_photograph(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = []
    step = Learner.training_step

    def watched(learner: Learner, batch: Batch, index: int) -> torch.Tensor:
        labels.extend(batch.label.tolist())
        return step(learner, batch, index)

    monkeypatch.setattr(Learner, "training_step", watched)
    fit("autoencoder-gelu", quick("autoencoder-gelu"), data, tmp_path / "run")
    assert labels
    assert not any(labels)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((name, []) for name in QUICK),
        ("demo-line", ["train.average=0.9"]),
        ("autoencoder-gelu", ["train.normalise=data"]),
    ],
    ids=str,
)
def test_interrupted_training_resumes_to_the_uninterrupted_result(
    name: str, changes: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick(name, "train.schedule=one-cycle", *changes)
    whole = fit(name, recipe, data, tmp_path / "whole")

    def power_cut(learner: Learner, batch: Batch, index: int) -> torch.Tensor:
        if learner.current_epoch == 2 and index:
            raise OSError("power cut")
        return step(learner, batch, index)

    step = Learner.training_step
    monkeypatch.setattr(Learner, "training_step", power_cut)
    with pytest.raises(OSError, match="power cut"):
        fit(name, recipe, data, tmp_path / "cut")
    monkeypatch.undo()
    with pytest.raises(RunError, match="has not finished"):
        load_run(tmp_path / "cut")

    resumed = fit(name, recipe, data, tmp_path / "cut", resume=True)
    for key, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[key]), key
    assert (tmp_path / "cut" / "scores.csv").read_bytes() == (tmp_path / "whole" / "scores.csv").read_bytes()
    assert (tmp_path / "cut" / "history.csv").read_bytes() == (tmp_path / "whole" / "history.csv").read_bytes()


def test_two_threads_give_the_same_weights_again(data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(2)
    one, other = (fit("demo-line", quick("demo-line"), data, tmp_path / name).network for name in ("one", "other"))
    for key, weight in one.state_dict().items():
        assert torch.equal(weight, other.state_dict()[key]), key


def test_batch_statistics_are_learnt_by_who_should_and_kept_by_who_should_not(data: Path, tmp_path: Path) -> None:
    def moved(name: str, *changes: str) -> bool:
        recipe = load_recipe(name, ["train.epochs=1", "letterbox.side=64", "train.batch=8", "train.crop=32", *changes])
        state = fit(name, recipe, data, tmp_path / name).network.state_dict()
        torch.manual_seed(0)
        start = build_network(recipe.model.name, recipe.model.options).state_dict()
        return any(not torch.equal(state[key], start[key]) for key in state if "running" in key)

    assert moved("demo-line")
    assert not moved("inspector", "model.weights=random")


def test_averaged_weights_are_those_judged_and_kept(data: Path, tmp_path: Path) -> None:
    plain = fit("demo-line", quick("demo-line"), data, tmp_path / "plain")
    averaged = fit("demo-line", quick("demo-line", "train.average=0.999999"), data, tmp_path / "averaged")
    torch.manual_seed(0)
    start = build_network(averaged.recipe.model.name, averaged.recipe.model.options).state_dict()
    step = 1.5 * averaged.recipe.train.learning_rate  # of Adam, about; the average begins after the first one
    for key, weight in averaged.network.named_parameters():
        assert (weight - start[key]).abs().max() < step
    assert any((weight - start[key]).abs().max() > step for key, weight in plain.network.named_parameters())


def test_data_normalises_itself_and_the_run_holds_plain_numbers(data: Path, tmp_path: Path) -> None:
    recipe = quick("autoencoder-gelu", "train.normalise=data", "train.epochs=1")
    run = fit("autoencoder-gelu", recipe, data, tmp_path / "run")
    plain = run.contract.model_copy(update={"mean": (0.0,) * 3, "std": (1.0,) * 3})
    good = [p for p in run.photographs("train") if not p.is_bad]
    assert 0 < len(good) < len(run.photographs("train"))
    seen = [letterboxed(read_picture(photograph.path), plain) for photograph in good]
    pixels = torch.cat([image[:, mask[0] > 0] for image, mask in seen], dim=1).double()
    assert run.contract.mean == pytest.approx(pixels.mean(1).tolist(), abs=1e-6)
    assert run.contract.std == pytest.approx(pixels.std(1, unbiased=False).tolist(), abs=1e-6)
    assert load_run(run.path).contract == run.contract
    assert run.recipe.train.normalise == "letterbox"
    again = fit("autoencoder-gelu", run.recipe, data, tmp_path / "again")
    assert (again.path / "scores.csv").read_bytes() == (run.path / "scores.csv").read_bytes()


def test_pictures_of_reconstructions_are_drawn_as_often_as_asked(data: Path, tmp_path: Path) -> None:
    fit(
        "autoencoder-gelu",
        quick("autoencoder-gelu", "train.epochs=4", "train.pictures=2"),
        data,
        tmp_path / "run",
    )
    files = sorted((tmp_path / "run" / "reconstructions").iterdir())
    assert [file.name for file in files] == ["epoch-002.png", "epoch-004.png"]
    first, second = map(read_picture, files)
    assert first.shape == (2 * 128, 8 * 128, 3)
    assert np.array_equal(first[:128], second[:128]), "what was seen stays the same"
    assert not np.array_equal(first[128:], second[128:]), "what was drawn does not"


def test_tensorboard_reads_the_figures_of_every_epoch(data: Path, tmp_path: Path) -> None:
    fit("autoencoder-gelu", quick("autoencoder-gelu"), data, tmp_path / "run")
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    with (tmp_path / "run" / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    logged = [event.value for event in events.Scalars("val_loss")]
    assert logged == pytest.approx([float(row["val_loss"]) for row in rows])


def test_settings_that_cannot_work_together_are_said_before_anything_is_read(data: Path, tmp_path: Path) -> None:
    for name, changes, complaint in (
        ("padim", ["train.average=0.9"], "takes no steps whose weights could be averaged"),
        ("demo-line", ["augment.enlarge=10"], "what is smaller cannot be enlarged back"),
        ("demo-line", ["train.sides=[64, 128]"], "crops have one side"),
        ("autoencoder-gelu", ["train.sides=[32, 64]"], "learns from whole pictures of its side"),
    ):
        with pytest.raises(RecipeError, match=complaint):
            fit(name, load_recipe(name, ["model.weights=random", *changes]), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sides_of_the_training_pictures_rise_through_the_epochs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    loss = SegmenterSmall.loss

    def watched(self: SegmenterSmall, batch: Batch, **options: float) -> dict[str, Tensor]:
        if self.training:
            seen.append(batch.image.shape[-1])
        return loss(self, batch, **options)

    monkeypatch.setattr(SegmenterSmall, "loss", functools.wraps(loss)(watched))
    fit("demo-line", rising([32, 64], epochs=5), data, tmp_path / "run")
    steps = len(seen) // 5
    assert seen == [32] * 3 * steps + [64] * 2 * steps


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ([64, 32], r"train\.sides = \[64, 32\]: they must rise and end with letterbox\.side, 64"),
        ([32, 32, 64], "they must rise"),
    ],
)
def test_sides_that_do_not_rise_to_the_letterbox_are_refused(
    sides: list[int], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        fit("demo-line", rising(sides), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_last_epoch_is_judged_beside_the_one_kept_by_a_threshold_of_its_own(data: Path, tmp_path: Path) -> None:
    recipe = quick("demo-line", "checkpoint.best=highest", "checkpoint.criterion=train_loss")
    run = fit("demo-line", recipe, data, tmp_path / "kept-first")
    selection, last = run.record.selection, run.record.last
    assert selection is not None
    assert last is not None
    assert (selection.epoch, last.epoch) == (0, 2), "the loss falls, so its highest is that of the first epoch"
    assert last.value < selection.value

    until_the_end = quick("demo-line", "checkpoint.best=lowest", "checkpoint.criterion=train_loss")
    same = fit("demo-line", until_the_end, data, tmp_path / "kept-last")
    assert same.record.last is None
    assert same.record.selection is not None
    assert last.threshold == same.record.selection.threshold
    assert last.metrics == same.record.metrics
    kept = {key: value for key, value in torch.load(run.path / "model.pt")["model"].items() if "running" in key}
    assert all(torch.equal(value, run.network.state_dict()[key]) for key, value in kept.items())
    assert any(not torch.equal(value, same.network.state_dict()[key]) for key, value in kept.items())


def test_record_of_before_the_last_epoch_was_judged_still_reads(data: Path, tmp_path: Path) -> None:
    run = fit("autoencoder-gelu", quick("autoencoder-gelu", "train.epochs=1"), data, tmp_path / "run")
    content = json.loads((run.path / "run.json").read_text())
    del content["last"]
    (run.path / "run.json").write_text(json.dumps(content))
    assert load_run(run.path).record.last is None


def test_same_seed_same_weights_and_other_seed_others(data: Path, tmp_path: Path) -> None:
    def weights(out: str, seed: int) -> torch.Tensor:
        recipe = quick("autoencoder-gelu", "train.epochs=1", f"train.seed={seed}")
        run = fit("autoencoder-gelu", recipe, data, tmp_path / out)
        return torch.cat([weight.flatten() for weight in run.network.state_dict().values()])

    first = weights("a", 1)
    assert torch.equal(first, weights("b", 1))
    assert not torch.equal(first, weights("c", 2))


def test_validation_without_bad_photographs_is_enough_for_one_class(make_data: MakeData, tmp_path: Path) -> None:
    run = fit("autoencoder-gelu", quick("autoencoder-gelu"), make_data(train=(8, 0), val=(6, 0)), tmp_path / "r")
    assert run.record.metrics["val"].figures.recall.value is None
    assert run.record.metrics["val"].figures.specificity.value is not None


@pytest.mark.parametrize(
    ("name", "splits", "overrides", "message"),
    [
        ("demo-line", {"train": (8, 0), "val": (4, 4)}, [], r"train/bad holds 0 photographs; segmenter-small learns"),
        ("demo-line", {"train": (2, 1), "val": (4, 4)}, [], r"train/good holds 2 photographs.* needs at least 4"),
        ("demo-line", {"train": (8, 8)}, [], r"val/good holds no photographs"),
        ("demo-line", {"train": (8, 8), "val": (4, 0)}, [], r"'balanced' needs bad photographs and there are none"),
        (
            "autoencoder-gelu",
            {"train": (8, 0), "val": (4, 0)},
            ["checkpoint.criterion=val_ap"],
            r"try val_loss",
        ),
    ],
)
def test_wrong_data_is_one_line_before_anything_is_written(
    name: str,
    splits: dict[str, tuple[int, int]],
    overrides: list[str],
    message: str,
    make_data: MakeData,
    tmp_path: Path,
) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        fit(name, quick(name, *overrides), make_data(**splits), tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("checkpoint.criterion=val_f1", "no checkpoint criterion 'val_f1'; there are train_loss, val_loss"),
        ("threshold.strategy=best", r"no threshold strategy 'best'; did you mean 'best-f1'\? there are best-f1"),
        ("threshold.at_least=0.5", "'balanced' has no parameter 'at_least'"),
        ("model.depth=3", "segmenter-small has no option 'depth'; it has channels"),
        ("loss.focus=3", r"\[loss\] has no option 'focus'; it has picture, hardest"),
        ("train.crop=96", r"letterbox\.side = 64 is less than train\.crop = 96: set train\.crop to at most 64 too"),
    ],
)
def test_wrong_recipe_is_one_line_before_anything_is_written(
    override: str, message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        fit("demo-line", quick("demo-line", override), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_run_folder_in_use_is_never_overwritten_nor_resumed_as_another(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    recipe = quick("autoencoder-gelu", "train.epochs=1")
    fit("autoencoder-gelu", recipe, data, out)
    with pytest.raises(RunError, match="already exists; --resume goes on"):
        fit("autoencoder-gelu", recipe, data, out)
    with pytest.raises(RunError, match="was made with other settings"):
        fit("autoencoder-gelu", quick("autoencoder-gelu"), data, out, resume=True)
    (data / "train" / "good" / "part03.png").unlink()
    with pytest.raises(
        RunError, match=r"the photographs have changed since .*: 1 missing \(train/good/part03\.png\); put"
    ):
        fit("autoencoder-gelu", recipe, data, out, resume=True)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_no_file_of_a_run_executes_anything_when_read(data: Path, tmp_path: Path) -> None:
    out, trace = tmp_path / "run", tmp_path / "executed"
    recipe = quick("autoencoder-gelu", "train.epochs=1")
    fit("autoencoder-gelu", recipe, data, out)
    for file in (out / "model.pt", out / "checkpoints" / "last.ckpt"):
        torch.save({"model": Hostile(trace)}, file)
    with pytest.raises(RunError, match=r"model\.pt is not the file that this training wrote"):
        load_run(out)
    content = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(content | {"files": {}}))
    with pytest.raises(RunError, match=r"model\.pt does not hold this run's weights"):
        load_run(out)
    with pytest.raises((EdgeError, pickle.UnpicklingError)):
        fit("autoencoder-gelu", recipe, data, out, resume=True)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "has schema 99, this program knows up to 1"),
        ({"finished": False}, "has not finished"),
        ({"recipe": {}}, r"run\.json: recipe\.title"),
    ],
)
def test_run_that_cannot_be_used_says_why(change: dict[str, object], message: str, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit("autoencoder-gelu", quick("autoencoder-gelu", "train.epochs=1"), data, out)
    content = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(content | change))
    with pytest.raises(RunError, match=message):
        load_run(out)


def test_folder_that_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run: it has no run\.json"):
        load_run(tmp_path)


def test_region_grey_frames_and_bilinear_reach_the_run_and_what_cannot_work_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    height, width = read_picture(next((data / "train" / "good").iterdir())).shape[:2]
    region = f"letterbox.region={{top=4, left=8, height={height - 8}, width={width - 8}}}"
    chosen = ["letterbox.frame=grey", "letterbox.filter=bilinear", region, "train.epochs=1"]
    run = fit("autoencoder-gelu", quick("autoencoder-gelu", *chosen), data, tmp_path / "run", progress=Progress())
    assert load_run(tmp_path / "run").contract == run.contract
    assert run.contract.region is not None
    assert "warning: letterbox.filter bilinear" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="autoencoder-gelu sees 3 channels; for grey frames set"):
        fit("x", quick("autoencoder-gelu", "letterbox.colour=grey"), data, tmp_path / "grey")
    beyond = f"letterbox.region={{top=4, left=8, height={height}, width={width}}}"
    with pytest.raises(DataError, match=r"48 of 48 photographs cannot be used: .* does not hold the region of"):
        fit("x", quick("autoencoder-gelu", beyond), data, tmp_path / "beyond")


def test_photographs_without_masks_name_the_recipes_that_need_none(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(train=(6, 6), val=(3, 3))
    for mask in data.rglob("mask/*.png"):
        mask.unlink()
    with pytest.raises(
        DataError,
        match=r"learns from masks: train inspector or inspector-labels or densenet121-resize or densenet121-letterbox, "
        "which learn from good and bad photographs, or padim, which learns from good ones; or add masks",
    ) as refusal:
        fit("unet-resnet34", load_recipe("unet-resnet34"), data, tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()
