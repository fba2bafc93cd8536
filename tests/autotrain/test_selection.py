"""`edge-train auto`: what is tried, what is kept, and what is said of it."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from autotrain.alignment import Alignment
from autotrain.held_out import FOLDS, folds_of, held_out
from autotrain.ranking import Validation, validation
from autotrain.selection import _choose
from edge.errors import RecipeError
from edge.terminal.progress import SILENT
from train.data.rendered import Rendered, in_order
from train.data.split import SplitChoice
from train.fit import fit
from train.recipe import load_recipe
from train.run import Compared, load_run, read_record
from train.score import score_photographs

ALIGNED = Alignment(0.8, 0.8, 0.0, 0.0)
TINY = ("--set", "letterbox.side=64", "--set", "model.weights=random", "--allow-leaks")


def photographs(folder: Path, bad: int = 12, validation_bad: int = 6) -> Path:
    """Plates with a bright edge; bad ones have a dark spot. Without masks."""
    rng = np.random.default_rng(0)
    counts = {"train": (16, bad), "val": (10, validation_bad), "test": (10, 6)}
    for split, (good_ones, bad_ones) in counts.items():
        for label, count in (("good", good_ones), ("bad", bad_ones)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                frame = rng.normal(150, 8, (72, 96, 3)).clip(0, 255).astype(np.uint8)
                cv2.rectangle(frame, (10, 10), (85, 60), (200, 200, 200), 3)
                if label == "bad":
                    x, y = (int(value) for value in rng.integers((25, 25), (70, 50)))
                    cv2.circle(frame, (x, y), 9, (10, 10, 10), -1)
                cv2.imwrite(str(folder / split / label / f"{number:03}.png"), frame)
    return folder


def auto(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "autotrain.cli", "auto", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_the_best_on_validation_is_the_run_and_the_others_stay_beside_it(tmp_path: Path) -> None:
    data, out = photographs(tmp_path / "data", bad=4), tmp_path / "run"
    done = auto("--data", data, "--out", out, *TINY)
    assert done.returncode == 0, done.stderr
    comparison = read_record(out).comparison
    assert comparison is not None
    by_name = {one.name: one for one in comparison.candidates}
    trained = {name: one.auroc for name, one in by_name.items() if one.auroc is not None}
    assert trained.keys() == {"padim", "patchcore", "padim-patchcore"}
    assert trained[comparison.chosen] >= max(trained.values()) - 0.002
    assert "bad training photographs" in str(by_name["inspector"].said)
    runs = [out, *(tmp_path / "run.candidates").glob("*/")]
    assert {load_run(one).record.recipe_name for one in runs} == trained.keys()
    assert comparison.why in done.stdout
    assert (out / "report.html").exists()
    assert comparison.why.split(";")[0][:40] in (out / "report.html").read_text()


def test_without_bad_validation_photographs_the_place_of_the_parts_decides(tmp_path: Path) -> None:
    data = photographs(tmp_path / "data", bad=0, validation_bad=0)
    done = auto("--data", data, "--out", tmp_path / "run", *TINY, "--json")
    assert done.returncode == 0, done.stderr
    comparison = json.loads(done.stdout)["comparison"]
    assert comparison["chosen"] == "padim"
    assert "nothing can be compared" in comparison["why"]
    assert not (tmp_path / "run.candidates").exists()


def compared(**ms: float) -> list[Compared]:
    return [
        Compared(name=name, auroc=0.9 + at / 100, low=0.8, high=1.0, minutes=1.0, latency_ms=took)
        for at, (name, took) in enumerate(ms.items())
    ]


def test_a_recipe_that_is_too_slow_is_not_kept_and_if_all_are_the_fastest_is_named(tmp_path: Path) -> None:
    found = compared(padim=4.0, patchcore=9.0)
    kept = _choose(tmp_path, found, {}, ALIGNED, latency_ms=5.0)
    assert kept.chosen == "padim"
    assert kept.why == "padim is the only one that could be trained and is fast enough"
    with pytest.raises(RecipeError, match=r"the fastest, padim, takes 4\.0 ms on this machine; allow more"):
        _choose(tmp_path, found, {}, ALIGNED, latency_ms=3.0)


def alike(count: int = 60) -> Validation:
    numbers = np.arange(count)
    return Validation((numbers % 7).astype(float), numbers % 3 == 0, np.array([f"{number}" for number in numbers]))


def test_of_two_that_rank_alike_the_faster_is_kept(tmp_path: Path) -> None:
    found = [one.model_copy(update={"auroc": 0.9}) for one in compared(padim=9.0, patchcore=4.0)]
    kept = _choose(tmp_path, found, {name: alike() for name in ("padim", "patchcore")}, ALIGNED, latency_ms=None)
    assert kept.chosen == "patchcore"
    assert "with 20 bad validation photographs the two cannot be told apart" in kept.why


def test_a_comparison_goes_on_with_what_is_trained_and_without_what_cannot_be(tmp_path: Path) -> None:
    data, out = photographs(tmp_path / "data", bad=4), tmp_path / "run"
    options = ("--data", data, "--out", out, *TINY, "--set", "model.dimensions=8")
    done = auto(*options)
    assert done.returncode == 0, done.stderr
    assert "padim-patchcore: [model] padim-patchcore has no option 'dimensions'" in done.stdout
    out.rename(tmp_path / "run.candidates" / read_record(out).recipe_name)
    before = {one.name: (one / "model.pt").stat().st_mtime_ns for one in (tmp_path / "run.candidates").glob("*/")}
    refused = auto(*options)
    assert refused.returncode == 2
    assert "run.candidates already exists; --resume goes on with it" in refused.stderr
    other = auto(*options, "--resume", "--split-seed", "1")
    assert other.returncode == 2
    assert "run.candidates began with other options; give those" in other.stderr
    shutil.rmtree(tmp_path / "run.candidates" / "patchcore")
    again = auto(*options, "--resume")
    assert again.returncode == 0, again.stderr
    runs = [out, *(tmp_path / "run.candidates").glob("*/")]
    after = {read_record(one).recipe_name: (one / "model.pt").stat().st_mtime_ns for one in runs}
    assert after["padim"] == before["padim"]
    assert after["patchcore"] > before["patchcore"]


def test_a_network_that_is_calibrated_on_validation_is_judged_on_parts_that_it_was_not_calibrated_on(
    tmp_path: Path,
) -> None:
    data = photographs(tmp_path / "data")
    settings = ["letterbox.side=64", "train.epochs=1", "train.batch=8", "train.crop=64", "model.weights=random"]
    recipe = load_recipe("inspector-labels", settings)
    run = fit("inspector-labels", recipe, data, tmp_path / "run", choice=SplitChoice(leaks="allow"))
    assert run is not None
    known = validation(run.path)
    judged = held_out(run, SILENT.begin)
    assert list(judged.parts) == list(known.parts)
    folds = folds_of(known)
    assert set(folds) == set(range(FOLDS))
    copy_of = copy.deepcopy(run.network)
    names = sorted(run.photographs("val"), key=lambda one: one.name)
    with torch.no_grad():
        others = [one for one, fold in zip(names, folds, strict=True) if fold != 0]
        copy_of.calibrate(in_order(Rendered(others, run.contract, exact=True), 8))
    first = [one for one, fold in zip(names, folds, strict=True) if fold == 0]
    np.testing.assert_allclose(judged.scores[folds == 0], score_photographs(copy_of, run.contract, first), rtol=1e-4)
    assert not np.allclose(judged.scores, known.scores)


def test_folds_hold_the_photographs_of_a_part_together_and_never_a_whole_class() -> None:
    numbers = np.arange(60)
    parts = np.array([f"{number // 3}" for number in numbers])
    rows = Validation(numbers.astype(float), numbers < 9, parts)
    folds = folds_of(rows)
    assert set(folds) == {0, 1, 2}, "there are three bad parts"
    for part in set(parts):
        assert len(set(folds[parts == part])) == 1
    for is_bad in (True, False):
        assert set(folds[rows.bad == is_bad]) == {0, 1, 2}
    assert not folds_of(rows._replace(bad=numbers < 3)).any(), "one bad part cannot be held out"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "missing"), "no such data folder"),
        (("--data", ".", "--allow-leaks", "--drop-leaks"), "give one of them"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = auto(*arguments, "--out", tmp_path / "run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
