"""`edge-train auto`: what is tried, what is kept, and what is said of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from autotrain.alignment import Alignment
from autotrain.selection import _choose
from edge.errors import RecipeError
from train.run import Compared, load_run, read_record

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
    assert trained.keys() == {"padim", "patchcore"}
    assert trained[comparison.chosen] >= max(trained.values()) - 0.002
    assert "bad training photographs" in str(by_name["inspector"].said)
    (other,) = (tmp_path / "run.candidates").iterdir()
    assert {load_run(out).record.recipe_name, load_run(other).record.recipe_name} == {"padim", "patchcore"}
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
    kept = _choose(tmp_path, found, ALIGNED, latency_ms=5.0)
    assert kept.chosen == "padim"
    assert kept.why == "padim is the only one that could be trained and is fast enough"
    with pytest.raises(RecipeError, match=r"the fastest, padim, takes 4\.0 ms on this machine; allow more"):
        _choose(tmp_path, found, ALIGNED, latency_ms=3.0)


def test_of_two_that_rank_alike_the_faster_is_kept(tmp_path: Path) -> None:
    for name in ("padim", "patchcore"):
        (tmp_path / name).mkdir()
        rows = [f"{number}.png,val,{'bad' if number % 3 == 0 else 'good'},,,{number % 7}" for number in range(60)]
        (tmp_path / name / "scores.csv").write_text("\n".join(["file,split,label,defect,part,score", *rows]))
    found = [one.model_copy(update={"auroc": 0.9}) for one in compared(padim=9.0, patchcore=4.0)]
    kept = _choose(tmp_path, found, ALIGNED, latency_ms=None)
    assert kept.chosen == "patchcore"
    assert "with 20 bad validation photographs the two cannot be told apart" in kept.why


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
