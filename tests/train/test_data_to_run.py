"""Training from a data folder: the split is recorded and read again, leaks are refused, bad data gives one line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from support.drawn_parts import part, seen_again, write
from typer.testing import CliRunner

from edge.bundle import load_bundle
from edge.errors import DataError, RecipeError
from export.cli import main as export_main
from train.cli import app, report
from train.data.split import SplitChoice
from train.fit import fit
from train.recipe import load_recipe
from train.run import Run, RunError, load_run

MakeData = Callable[..., Path]

NAME = "autoencoder-gelu"
RECIPE = load_recipe(NAME, ["train.epochs=1", "train.batch=4"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def lot(tmp_path: Path) -> Path:
    """15 good and 10 bad parts without a split, each photographed twice."""
    rng = np.random.default_rng(0)
    for index in range(25):
        frame = part(rng)
        folder = tmp_path / "lot" / ("good" if index < 15 else "bad")
        write(folder / f"part{index:02}_a.png", frame)
        write(folder / f"part{index:02}_b.png", seen_again(rng, frame))
    return tmp_path / "lot"


def names(run: Run, split: str) -> list[str]:
    return [photograph.name for photograph in run.photographs(split)]


def test_split_by_group_is_written_down_and_read_again(lot: Path, tmp_path: Path) -> None:
    by_part = SplitChoice(r"(part\d+)")
    run = fit(NAME, RECIPE, lot, tmp_path / "one", choice=by_part)
    assert {split: len(names(run, split)) for split in ("train", "val", "test")} == {"train": 30, "val": 10, "test": 10}
    assert run.record.data.photographs["val"] == {"good": 6, "bad": 4}
    assert run.record.data.split == r"25 groups by (part\d+), seed 0"
    assert run.record.data.layout == "good/ bad/: 50 in no split"
    assert run.record.data.leaks is not None
    assert run.record.data.leaks.pairs_across == 0
    assert run.record.data.leaks.pairs_within >= 20
    assert set(run.record.metrics) == {"val", "test"}

    again = fit(NAME, RECIPE, lot, tmp_path / "two", choice=SplitChoice(file=tmp_path / "one" / "split.csv"))
    assert [names(again, split) for split in ("train", "val", "test")] == [
        names(load_run(tmp_path / "one"), split) for split in ("train", "val", "test")
    ]
    assert (tmp_path / "one" / "scores.csv").read_bytes() == (tmp_path / "two" / "scores.csv").read_bytes()
    with pytest.raises((DataError, RunError), match="says another split"):
        fit(NAME, RECIPE, lot, tmp_path / "one", resume=True, choice=SplitChoice(r"(part\d+)", seed=1))


def test_leaking_split_is_refused_before_a_run_folder_is_made(lot: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^\d+ pairs of photographs .* listed in .*run\.leaks\.csv; "):
        fit(NAME, RECIPE, lot, tmp_path / "run", choice=SplitChoice("(.+)"))
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "run.leaks.png").is_file()


def test_run_on_an_allowed_leak_says_that_its_figures_are_too_good(
    lot: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(NAME, RECIPE, lot, tmp_path / "run", choice=SplitChoice("(.+)", leaks="allow"))
    written = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["leaks"]
    assert "look alike as only the same parts do, so that figures on the later split are too good" in written["warning"]
    assert written["pairs_across"] > 5
    report(run, as_json=False)
    assert f"warning: {written['warning']}" in capsys.readouterr().out


def test_run_on_a_mended_leak_learns_without_the_photographs_left_out(lot: Path, tmp_path: Path) -> None:
    run = fit(NAME, RECIPE, lot, tmp_path / "run", choice=SplitChoice("(.+)", leaks="drop"))
    leaks = run.record.data.leaks
    assert leaks is not None
    assert leaks.warning is None
    assert leaks.left_out > 5
    assert sum(len(names(run, split)) for split in ("train", "val", "test")) == 50 - leaks.left_out
    assert run.record.data.photographs["train"]["good"] == sum(not p.is_bad for p in run.photographs("train"))
    assert (tmp_path / "run" / "split.csv").read_text().count(",unused,") == leaks.left_out


def empty_class(data: Path) -> None:
    for file in (data / "train" / "good").iterdir():
        file.unlink()


def three_in_all(data: Path) -> None:
    for file in [p for p in sorted(data.rglob("*.png")) if p.parent.name == "good"][3:]:
        file.unlink()


def all_the_same(data: Path) -> None:
    files = [p for p in sorted(data.rglob("*.png")) if p.parent.name == "good"]
    for file in files[1:]:
        file.write_bytes(files[0].read_bytes())


def text_file(data: Path) -> None:
    (data / "train" / "good" / "notes.txt").write_text("mind the light\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, r"train/good holds 0 photographs; autoencoder-gelu learns from good ones and needs at least 4"),
        (three_in_all, r"train/good holds 3 photographs; .* needs at least 4"),
        (all_the_same, r"^all 10 photographs are the same picture: train/good/part00\.png"),
        (text_file, r"^1 of 11 photographs cannot be used: .*notes\.txt: its name ends with none of \.bmp"),
    ],
)
def test_wrong_data_says_what_is_wrong_in_one_line(
    spoil: Callable[[Path], None], message: str, make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data(train=(6, 0), val=(4, 0))
    spoil(data)
    with pytest.raises(DataError, match=message) as refusal:
        fit(NAME, RECIPE, data, tmp_path / "run")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_edge_train_takes_the_options(lot: Path, tmp_path: Path) -> None:
    def edge_train(*options: str) -> Result:
        command = [NAME, "--data", str(lot), "--out", str(tmp_path / "run"), "--set", "train.epochs=1", "--json"]
        return CliRunner().invoke(app, [*command, *options])

    for options, message in (
        ([], "look alike"),
        (["--allow-leaks", "--drop-leaks"], "--allow-leaks and --drop-leaks: give one of them"),
        (["--split", "nowhere.csv"], "split file nowhere.csv cannot be read"),
        (["--group-by", "(.+)", "--split-seed", "3"], "look alike"),
    ):
        answer = edge_train(*options)
        assert isinstance(answer.exception, DataError)
        assert message in str(answer.exception)
    done = edge_train("--group-by", "(.+)", "--split-seed", "3", "--drop-leaks")
    assert done.exit_code == 0, done.exception
    data = json.loads(done.stdout)["data"]
    assert data["split"] == "50 groups by (.+), seed 3"
    assert data["leaks"]["left_out"] > 5


def test_a_finished_run_is_exported_with_another_threshold_in_the_words_of_a_training(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run, out = make_data(train=(6, 6), val=(4, 4)), tmp_path / "run", tmp_path / "x.edge"
    arguments = [NAME, "--data", data, "--out", run, "--threshold", "specificity=0.5", "--set", "train.epochs=1"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--set", "train.batch=4"])
    assert done.exit_code == 0, done.output
    chosen = load_run(run).recipe.threshold
    assert (chosen.strategy, chosen.options) == ("specificity", {"at_least": 0.5})
    assert f"edge-export {run} --threshold cost=10,1" in (run / "report.html").read_text()
    for wrong in ("lowest", "cost=1,2,3"):
        refused = CliRunner().invoke(app, [*map(str, arguments[:5]), "--threshold", wrong])
        assert isinstance(refused.exception, RecipeError)
    monkeypatch.setattr("sys.argv", ["edge-export", str(run), "--out", str(out), "--threshold", "lowest-bad"])
    with pytest.raises(SystemExit) as left:
        export_main()
    assert not left.value.code
    assert {artifact.threshold.strategy for artifact in load_bundle(out).manifest.artifacts.values()} == {"lowest-bad"}
