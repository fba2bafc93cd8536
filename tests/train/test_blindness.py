"""A run that does not separate good from bad has a warning in every output, by one definition, counted by parts."""

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

import export.cli
from edge.photographs.listing import read_listing
from train.cli import report
from train.data.split import UNUSED
from train.fit import fit
from train.recipe import load_recipe
from train.report.page import write_report
from train.report.verdict import blindness
from train.run import Run, hash_files, write_record

MakeData = Callable[..., Path]


@pytest.fixture
def run(make_data: MakeData, tmp_path: Path) -> Run:
    torch.set_num_threads(1)
    recipe = load_recipe("autoencoder-gelu", ["train.epochs=1", "train.batch=4", "letterbox.side=64"])
    return fit("autoencoder-gelu", recipe, make_data(train=(6, 0), val=(30, 30), test=(30, 30)), tmp_path / "run")


def scored(run: Run, scores: Iterable[float], bad: Iterable[bool], photographs_of_a_part: int) -> Run:
    """The run, as if validation and test had only these photographs, with these scores."""
    table = [["file", "split", "label", "defect", "part", "score"]]
    table += [[p.name, "train", p.label, "", "", "0.5"] for p in run.photographs("train")]
    for split in ("val", "test"):
        for index, (score, is_bad) in enumerate(zip(scores, bad, strict=True)):
            label, part = "bad" if is_bad else "good", index // photographs_of_a_part
            table.append([f"{split}/{label}/part{index % 30:02}.png", split, label, "", f"{split}-{part}", str(score)])
    names = {row[0] for row in table}
    splits = [
        [p.name, p.name.partition("/")[0] if p.name in names else UNUSED] for p in read_listing(run.data).photographs
    ]
    for name, rows in (("scores.csv", table), ("split.csv", [["file", "split"], *splits])):
        with (run.path / name).open("w", newline="") as lines:
            csv.writer(lines).writerows(rows)
    write_record(run.path, run.record.model_copy(update={"files": hash_files(run.path)}))
    return run


def test_many_photographs_of_few_parts_do_not_make_a_guess_better(run: Run) -> None:
    bad = [True] * 30 + [False] * 30
    scores = np.concatenate([np.linspace(0.4, 1.4, 30), np.linspace(0, 1, 30)]).tolist()
    assert blindness(scored(run, scores, bad, photographs_of_a_part=1)) is None
    said = blindness(scored(run, scores, bad, photographs_of_a_part=10))
    assert said is not None
    assert "from 3 bad and 3 good parts" in said
    assert "\n" not in said


def test_with_one_class_there_is_nothing_to_tell_apart(run: Run) -> None:
    assert blindness(scored(run, [0.1, 0.2, 0.3], [False] * 3, 1)) is None


def test_terminals_of_train_and_export_and_the_report_say_the_same(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = scored(run, [0.1, 0.4, 0.2, 0.3] * 4, [True, False] * 8, 1)
    said = blindness(blind)
    assert said is not None
    report(blind, as_json=False)
    assert f"warning: {said}" in capsys.readouterr().out.splitlines()
    report(blind, as_json=True)
    assert json.loads(capsys.readouterr().out)["warning"] == said
    verdict = write_report(blind.path).verdict
    assert verdict.headline.startswith("Not shown to tell good from bad")
    assert verdict.tells_apart == {"val": False, "test": False}
    exported = []
    for as_json in ([], ["--json"]):
        out = tmp_path / f"blind{len(as_json)}.edge"
        monkeypatch.setattr(sys, "argv", ["edge-export", str(blind.path), "--out", str(out), *as_json])
        with contextlib.suppress(SystemExit):
            export.cli.main()
        exported.append(capsys.readouterr())
    assert f"warning: {said}" in exported[0].err
    assert json.loads(exported[1].out)["warning"] == said


def test_a_run_that_tells_them_apart_is_not_warned_of(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    sharp = scored(run, [1.0] * 12 + [0.0] * 12, [True] * 12 + [False] * 12, 1)
    assert blindness(sharp) is None
    report(sharp, as_json=False)
    assert "warning" not in capsys.readouterr().out
    assert write_report(sharp.path).verdict.tells_apart == {"val": True, "test": True}
