"""A run is exported, reported and resumed only with the photographs from which it was made."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch

from edge.bundle import load_bundle
from edge.errors import EdgeError
from export.source import trained
from train.data.split import SplitChoice
from train.fit import fit
from train.recipe import load_recipe
from train.report.page import write_report
from train.report.scored_photographs import read_inspected
from train.run import RunError, check_photographs, load_run

MakeData = Callable[..., Path]
NAME = "autoencoder-gelu"
RECIPE = load_recipe(NAME, ["train.epochs=1", "train.batch=4"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def data(make_data: MakeData) -> Path:
    return make_data(train=(5, 0), val=(4, 3), test=(2, 2))


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    return fit(NAME, RECIPE, data, tmp_path / "run").path


def call(command: Callable[[], None], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | str:
    """Run a command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["edge-…", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        command()
    return left.value.code or 0


def changed(data: Path) -> None:
    picture = cv2.imread(str(data / "val" / "bad" / "part01.png"))
    cv2.imwrite(str(data / "val" / "bad" / "part01.png"), picture[:, ::-1])


def another_mask(data: Path) -> None:
    mask = cv2.imread(str(data / "val" / "mask" / "part02.png"))
    cv2.imwrite(str(data / "val" / "mask" / "part02.png"), mask[:, ::-1])


def missing(data: Path) -> None:
    (data / "test" / "good" / "part01.png").unlink()


def added(data: Path) -> None:
    for number in range(4):
        shutil.copy(data / "val" / "good" / "part00.png", data / "train" / "good" / f"new{number}.png")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (changed, "1 changed (val/bad/part01.png)"),
        (another_mask, "1 with another mask (val/bad/part02.png)"),
        (missing, "1 missing (test/good/part01.png)"),
        (added, "4 added (train/good/new0.png, train/good/new1.png, train/good/new2.png, …)"),
    ],
)
def test_export_report_and_resume_refuse_other_photographs_and_name_them(
    spoil: Callable[[Path], None],
    says: str,
    run: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import export.cli
    import train.report.cli

    spoil(data)
    before = (run / "report.html").exists()
    for command, more in ((export.cli.main, ["--out", tmp_path / "x.edge"]), (train.report.cli.main, [])):
        capsys.readouterr()
        assert call(command, monkeypatch, run, *more) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"the photographs in {data} are not the ones that {run} was made from: {says}; put them back, or" in line
    assert not (tmp_path / "x.edge").exists()
    assert (run / "report.html").exists() == before
    with pytest.raises(RunError) as refusal:
        fit(NAME, RECIPE, data, run, resume=True)
    assert f"the photographs have changed since {run} began: {says}; put them back" in str(refusal.value)


def test_moved_photographs_are_asked_for_and_taken_only_if_they_are_the_same(
    run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import export.cli
    import train.report.cli

    moved = data.rename(tmp_path / "elsewhere")
    for command, more in ((export.cli.main, ["--out", tmp_path / "x.edge"]), (train.report.cli.main, [])):
        assert call(command, monkeypatch, run, *more) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"made from photographs in {data}, and there is no such folder; if the photographs have moved" in line
        assert "--data FOLDER says where they are now" in line
        assert call(command, monkeypatch, run, *more, "--data", moved) == 0
        capsys.readouterr()
    assert load_bundle(tmp_path / "x.edge").manifest.provenance["data"] == "elsewhere"
    again = fit(NAME, RECIPE, moved, run, resume=True)
    assert again.data == moved
    changed(moved)
    with pytest.raises(RunError, match=r"1 changed \(val/bad/part01\.png\)"):
        trained(load_run(run, moved))


def test_a_run_that_moved_itself_is_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import export.cli

    moved = run.rename(tmp_path / "moved")
    assert call(export.cli.main, monkeypatch, moved, "--out", tmp_path / "x.edge") == 0, capsys.readouterr().err


@pytest.mark.parametrize("is_old", [False, True])
def test_photographs_that_were_left_out_are_not_missed(data: Path, tmp_path: Path, is_old: bool) -> None:
    shutil.copy(data / "train" / "good" / "part00.png", data / "test" / "good" / "leak.png")
    out = fit(NAME, RECIPE, data, tmp_path / "run", choice=SplitChoice(leaks="drop")).path
    split = tmp_path / "split.csv"
    split.write_text((out / "split.csv").read_text())
    by_file = fit(NAME, RECIPE, data, tmp_path / "by file", choice=SplitChoice(file=split)).path
    for folder in (out, by_file):
        assert ",unused," in (folder / "split.csv").read_text()
        if is_old:
            as_before(folder)
        check_photographs(load_run(folder))


def as_before(run: Path) -> None:
    """Change the run to the form from before photographs.csv and the hashes of its files."""
    (run / "photographs.csv").unlink()
    record = json.loads((run / "run.json").read_text())
    del record["files"]
    (run / "run.json").write_text(json.dumps(record))


def test_a_run_from_before_the_hashes_names_what_it_can(run: Path, data: Path) -> None:
    as_before(run)
    check_photographs(load_run(run))
    changed(data)
    with pytest.raises(RunError, match="their fingerprint differs; this run is from before"):
        check_photographs(load_run(run))
    missing(data)
    with pytest.raises(RunError, match=r"made from: 1 missing \(test/good/part01\.png\); put"):
        check_photographs(load_run(run))


@pytest.mark.parametrize("name", ["model.pt", "scores.csv", "split.csv", "photographs.csv"])
def test_a_file_of_another_run_in_its_place_is_named(run: Path, data: Path, tmp_path: Path, name: str) -> None:
    other = load_recipe(NAME, ["train.epochs=1", "train.batch=4", "train.seed=3"])
    (data / "train" / "good" / "part04.png").unlink()
    shutil.copy(fit(NAME, other, data, tmp_path / "other").path / name, run / name)
    with pytest.raises(RunError, match=f"run/{name} is not the file that this training wrote: .*; put back"):
        load_run(run)
    (run / name).unlink()
    with pytest.raises(RunError, match=f"run/{name} cannot be read: No such file"):
        load_run(run)


def test_scores_of_other_photographs_are_refused_where_the_run_recorded_no_hash(run: Path) -> None:
    as_before(run)
    scores = (run / "scores.csv").read_text()
    (run / "scores.csv").write_text(scores.replace("val/bad/part01.png", "val/bad/part77.png"))
    with pytest.raises(
        EdgeError, match=r"scores\.csv is not of this run's photographs: 2 differ .* val/bad/part01\.png"
    ):
        read_inspected(load_run(run))
    with pytest.raises(EdgeError, match=r"scores\.csv is not of this run's photographs"):
        write_report(run)
