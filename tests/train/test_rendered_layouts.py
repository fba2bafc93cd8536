"""A rendered line in the layouts of the earlier experiments is trained on without another option."""

import csv
from collections import Counter
from pathlib import Path

import cv2
import pytest
from support.drawn_parts import write
from typer.testing import CliRunner

from edge.demo.codes import CodesLine
from edge.demo.pour import PourLine
from train.cli import app
from train.run import load_run


@pytest.fixture
def one_class(tmp_path: Path) -> Path:
    """train/ proliv/ test/ with test.txt: 60 good pours, 12 spills, and 20 of both."""
    data = tmp_path / "pours"
    good, bad, mixed = PourLine(11, 0.0), PourLine(12, 1.0), PourLine(13, 0.3, 1.0)
    for index in range(60):
        write(data / f"train/{index}.png", good.render(index).frame)
    for index in range(12):
        write(data / f"proliv/{index}.png", bad.render(index).frame)
    lines = []
    for index in range(20):
        write(data / f"test/{index}.png", mixed.render(index).frame)
        lines.append(f"{index}.png {int(mixed.part(index).truth == 'bad')}")
    (data / "test.txt").write_text("\n".join(lines))
    return data


def trained(data: Path, run: Path, recipe: str, *options: str) -> Counter[tuple[str, str]]:
    """Train one epoch; the photographs of each split and label."""
    command = [recipe, "--data", str(data), "--out", str(run), "--set", "train.epochs=1", "--json", *options]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.exception or done.output
    with (run / "split.csv").open(newline="") as rows:
        return Counter((row["split"], row["label"]) for row in csv.DictReader(rows))


def test_the_one_class_layout_with_labels_is_trained_on_as_it_is(one_class: Path, tmp_path: Path) -> None:
    held = trained(one_class, tmp_path / "run", "autoencoder-gelu")
    spilt = sum(PourLine(13, 0.3).part(index).truth == "bad" for index in range(20))
    assert held["train", "good"] + held["val", "good"] == 60
    assert 5 <= held["val", "good"] <= 20
    assert held["val", "bad"] == 12
    assert (held["test", "good"], held["test", "bad"]) == (20 - spilt, spilt)
    run = load_run(tmp_path / "run")
    assert [one.name for one in run.photographs("val") if one.is_bad] == sorted(f"proliv/{n}.png" for n in range(12))
    assert set(run.record.metrics) == {"val", "test"}


def test_good_bad_and_masks_without_splits_are_trained_on_as_they_are(tmp_path: Path) -> None:
    data, line = tmp_path / "codes", CodesLine(14, 0.4)
    for index in range(40):
        photograph = line.render(index)
        write(data / photograph.part.truth / f"{index}.png", photograph.frame)
        if photograph.part.defects:
            write(data / "masks" / f"{index}.png", line.mask(index))
    bad = sum(line.part(index).truth == "bad" for index in range(40))
    held = trained(data, tmp_path / "run", "autoencoder-gelu", "--threshold", "balanced")
    for label, count in (("bad", bad), ("good", 40 - bad)):
        assert held["train", label] + held["val", label] + held["test", label] == count
        assert held["val", label] == pytest.approx(0.2 * count, abs=1)
        assert held["test", label] == pytest.approx(0.2 * count, abs=1)
    masked = [one for split in ("train", "val", "test") for one in load_run(tmp_path / "run").photographs(split)]
    assert all((one.mask is not None) == one.is_bad for one in masked)
    one = next(one for one in masked if one.mask)
    assert one.mask is not None
    assert cv2.imread(str(one.mask), cv2.IMREAD_UNCHANGED).any()
