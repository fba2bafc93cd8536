"""The inspector learns from what is known of each bad photograph: a mask, or the label alone."""

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.errors import DataError
from edge.terminal.progress import Progress
from train.data.photographs import list_photographs
from train.data.rendered import Rendered
from train.fit import fit, needs_masks, recipes_that_learn_from
from train.learner import Learner
from train.models import Batch, build_network
from train.recipe import Recipe, load_recipe
from train.report.page import write_report
from train.run import Run, load_run

MakeData = Callable[..., Path]

SMALL = ["letterbox.side=64", "train.crop=32", "train.batch=8", "train.epochs=2", "model.weights=random"]
SMALL += ["model.familiar=10", "checkpoint.criterion=val_loss"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small(*overrides: str) -> Recipe:
    return load_recipe("inspector", [*SMALL, *overrides])


def without_masks(data: Path, keep: int = 0) -> Path:
    """The photographs with the first `keep` masks of each split alone."""
    for folder in data.glob("*/mask"):
        for mask in sorted(folder.iterdir())[keep:]:
            mask.unlink()
    return data


def columns(run: Run) -> set[str]:
    with (run.path / "history.csv").open(newline="") as lines:
        return {key for row in csv.DictReader(lines) for key, value in row.items() if value}


def test_a_photograph_is_located_if_somebody_looked_for_its_defect(make_data: MakeData) -> None:
    data = make_data(train=(1, 3))
    (data / "train" / "mask" / "part01.png").unlink()
    empty = data / "train" / "mask" / "part02.png"
    cv2.imwrite(str(empty), np.zeros_like(cv2.imread(str(empty), cv2.IMREAD_GRAYSCALE)))
    contract = small().letterbox
    good, marked, unmarked, nothing = Rendered(list_photographs(data, "train"), contract, exact=True)
    assert [float(one.label) for one in (good, marked, unmarked, nothing)] == [0, 1, 1, 1]
    assert [float(one.located) for one in (good, marked, unmarked, nothing)] == [1, 1, 0, 1]
    assert marked.truth.any()
    assert not unmarked.truth.any()
    assert not nothing.truth.any()


@pytest.mark.parametrize("keep", [0, 3])
def test_labels_alone_and_some_masks_make_a_run_with_a_report(
    keep: int, make_data: MakeData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = without_masks(make_data(train=(10, 10), val=(5, 5), test=(5, 5)), keep)
    run = fit("inspector", small(), data, tmp_path / "run", progress=Progress())
    assert f"{10 - keep} of 10 bad photographs without a mask: learning from whole pictures" in capsys.readouterr().err
    assert run.recipe.train.crop is None
    assert ("val_dice" in columns(run)) == (keep > 0)
    overlap = run.record.metrics["test"].overlap
    assert (overlap.photographs if overlap else 0) == keep
    said = write_report(run.path).file.read_text()
    assert (f"{keep} of these with their defects outlined" in said) == (keep > 0)
    assert ("Dice" in said) == (keep > 0)
    again = load_run(tmp_path / "run").network.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in run.network.state_dict().items())


def test_pictures_are_cropped_where_every_defect_is_outlined(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    step = Learner.training_step

    def watched(learner: Learner, batch: Batch, index: int) -> torch.Tensor | None:
        seen.append(learner.recipe.train.crop or batch.image.shape[-1])
        return step(learner, batch, index)

    monkeypatch.setattr(Learner, "training_step", watched)
    data = make_data(train=(8, 8), val=(4, 4))
    run = fit("inspector", small("train.epochs=1"), data, tmp_path / "marked")
    assert run.recipe.train.crop == 32
    assert set(seen) == {32}
    seen.clear()
    fit("inspector", small("train.epochs=1"), without_masks(data, keep=7), tmp_path / "some")
    assert set(seen) == {64}


def test_an_interrupted_training_without_masks_resumes(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = without_masks(make_data(train=(8, 8), val=(4, 4)))
    step = Learner.training_step

    def power_cut(learner: Learner, batch: Batch, index: int) -> torch.Tensor | None:
        if learner.current_epoch == 1:
            raise OSError("power cut")
        return step(learner, batch, index)

    monkeypatch.setattr(Learner, "training_step", power_cut)
    with pytest.raises(OSError, match="power cut"):
        fit("inspector", small(), data, tmp_path / "cut")
    monkeypatch.undo()
    resumed = fit("inspector", small(), data, tmp_path / "cut", resume=True)
    assert resumed.record.finished


def test_maps_of_photographs_without_masks_do_not_count_in_the_dice(make_data: MakeData, tmp_path: Path) -> None:
    """The map is the same with and without the mask of the one that is not found."""
    network = build_network("inspector", {"familiar": 0}).eval()
    learner = Learner(network, small("model.familiar=0"))
    logged: dict[str, float | torch.Tensor] = {}
    learner.log = lambda name, value, **_: logged.update({name: value})  # type: ignore[method-assign]
    found, truth = torch.zeros(2, 32, 32), torch.zeros(2, 1, 64, 64)
    found[0, 8:16, 8:16], truth[0, :, 16:32, 16:32] = 1, 1
    found[1, :16] = 1
    network.forward = lambda image, mask: (torch.tensor([0.9, 0.8]), found)  # type: ignore[method-assign]
    image, mask = torch.zeros(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    for located, dice in (([1.0, 0.0], 1.0), ([1.0, 1.0], 2 * 64 / (64 + 512 + 64)), ([0.0, 0.0], None)):
        logged.clear()
        learner.validation_step(Batch(image, mask, torch.ones(2), truth, torch.tensor(located)), 0)
        learner.on_validation_epoch_end()
        found_dice = logged.get("val_dice")
        assert (None if found_dice is None else float(found_dice)) == (None if dice is None else pytest.approx(dice))


def test_a_criterion_of_masks_is_refused_where_validation_has_none(make_data: MakeData, tmp_path: Path) -> None:
    data = without_masks(make_data(train=(8, 8), val=(4, 4)))
    with pytest.raises(DataError, match=r"criterion 'val_dice' needs masks of photographs in .*val/bad; try val_loss"):
        fit("inspector", small("checkpoint.criterion=val_dice"), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_the_inspector_takes_masks_as_they_come() -> None:
    needs = {name: needs_masks(build_network(name, {})) for name in ("inspector", "segmenter-small", "densenet121")}
    assert needs == {"inspector": False, "segmenter-small": True, "densenet121": False}
    assert recipes_that_learn_from("labels")[0] == "inspector"
    assert "inspector" not in recipes_that_learn_from("good")


@pytest.mark.parametrize(("schedule", "key"), [("constant", "lr"), ("one-cycle", "max_lr")])
def test_the_pretrained_part_learns_at_a_rate_of_its_own(
    schedule: str, key: str, make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data(train=(8, 8), val=(4, 4))
    chosen = [f"train.schedule={schedule}", "train.learning_rate=1e-3", "train.epochs=1", "model.frozen=3"]
    for rate, rates in ((1.0, [1e-3]), (0.25, [1e-3, 2.5e-4])):
        out = tmp_path / f"{rate}"
        network = fit("inspector", small(*chosen, f"train.pretrained_rate={rate}"), data, out).network
        state = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
        assert [group[key] for group in state["param_groups"]] == pytest.approx(rates)
        counts = [len(group["params"]) for group in state["param_groups"]]
        assert sum(counts) == len(list(network.parameters()))
        assert counts[1:] == [len(list(network.encoder.parameters()))] * (rate < 1)
