"""A training whose threshold makes a promise: chosen by parts, refused before the first epoch if these are too few."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from edge.errors import DataError
from edge.evaluation.thresholds import keeps_promise
from train.cli import app
from train.run import load_run, read_scores

MakeData = Callable[..., Path]
NAME = "autoencoder-gelu"
PROMISE = {"at_most": 0.1, "confidence": 0.8}
OPTION = "false-rejects-with-confidence=0.1,0.8"
"""It takes 16 good parts, none of which may be rejected."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def trained(data: Path, out: Path, *options: str) -> tuple[str, BaseException | None]:
    command = [NAME, "--data", str(data), "--out", str(out), "--set", "train.epochs=1", "--set", "train.batch=4"]
    done = CliRunner().invoke(app, [*command, *options])
    return done.output, done.exception


def in_pairs(data: Path) -> None:
    """Every part is shown by two photographs."""
    table = (data / "parts.csv").read_text().splitlines()
    paired = [re.sub(r"-(\d+)$", lambda found: f"-{int(found[1]) // 2}", line) for line in table]
    (data / "parts.csv").write_text("\n".join(paired) + "\n")


def test_the_threshold_of_a_run_keeps_the_promise_for_its_validation_parts(make_data: MakeData, tmp_path: Path) -> None:
    data, out = make_data(train=(8, 0), val=(32, 4), test=(8, 6)), tmp_path / "run"
    in_pairs(data)
    said, error = trained(data, out, "--threshold", OPTION)
    assert not isinstance(error, Exception), said
    run = load_run(out)
    assert run.record.selection is not None
    threshold = run.record.selection.threshold
    assert (threshold.strategy, threshold.parameters) == ("false-rejects-with-confidence", PROMISE)
    rows = [row for row in read_scores(out) if row.split == "val"]
    scores, bad = [row.score for row in rows], [row.is_bad for row in rows]
    parts = [str(row.part) for row in rows]
    assert keeps_promise(scores, bad, threshold.value, threshold.strategy, parts=parts, **PROMISE)
    assert threshold.confusion.fp == 0
    assert "Asked was a rate of false rejects of at most 10.0 % with 80.0 % confidence. Test gave " in said
    page = (out / "report.html").read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "Asked was a rate of false rejects of at most 10.0 % with 80.0 % confidence" in page


def test_too_few_parts_are_refused_before_the_first_epoch(make_data: MakeData, tmp_path: Path) -> None:
    data, out = make_data(train=(8, 0), val=(30, 4)), tmp_path / "run"
    in_pairs(data)
    _, error = trained(data, out, "--threshold", OPTION)
    assert isinstance(error, DataError)
    assert f"{OPTION} takes at least 16 good parts to choose on, and there are 15;" in str(error)
    assert not out.exists()
    (data / "parts.csv").unlink()
    said, error = trained(data, out, "--threshold", OPTION)
    assert not isinstance(error, Exception), "30 photographs of which no part is known count as 30 parts: " + said


def test_a_recipe_has_the_promise_as_keys(make_data: MakeData, tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        f'extends = "{NAME}"\n[threshold]\nstrategy = "recall-with-confidence"\nat_least = 0.9\nconfidence = 0.8\n'
    )
    command = [str(recipe), "--data", str(make_data(train=(8, 0), val=(4, 15))), "--out", str(tmp_path / "run")]
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, DataError)
    assert "recall-with-confidence=0.9,0.8 takes at least 16 bad parts to choose on, and there are 15" in str(error)


def test_what_was_asked_is_in_the_json_of_a_training(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(train=(8, 0), val=(8, 4), test=(6, 6))
    said, error = trained(data, tmp_path / "run", "--threshold", "specificity=0.9", "--json")
    assert not isinstance(error, Exception), said
    asked = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["asked"]
    assert (asked["name"], asked["bound"], asked["given"]["trials"]) == ("specificity", 0.9, 6)
    assert asked["kept"] in ("kept", "not kept", "cannot be told from so few")
