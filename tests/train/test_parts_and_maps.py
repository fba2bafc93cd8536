"""Figures of whole parts and of maps in run.json: exactly those of the evaluation of the scores in the run folder."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edge.evaluation.metrics import judge, part_scores
from train.cli import report
from train.fit import fit
from train.recipe import load_recipe
from train.run import Run, load_run, read_record, read_scores

MakeData = Callable[..., Path]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def photographed_twice(data: Path) -> Path:
    """The photographs, grouped as two per part."""
    table = data / "parts.csv"
    rows = [re.sub(r"-(\d+)$", lambda found: f"-{int(found[1]) // 2}", row) for row in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    return data


def trained(name: str, data: Path, out: Path, *overrides: str) -> Run:
    return fit(name, load_recipe(name, ["train.epochs=1", "train.batch=4", *overrides]), data, out)


def test_parts_photographed_twice_are_judged_by_their_mean_scores(
    make_data: MakeData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = photographed_twice(make_data(train=(8, 0), val=(6, 4), test=(8, 6)))
    run = trained("autoencoder-gelu", data, tmp_path / "run")
    rows = [row for row in read_scores(run.path) if row.split == "test"]
    parts = [row.part for row in rows if row.part]
    assert len(parts) == 14
    selection, by_part = run.record.selection, run.record.metrics["test"].by_part
    assert selection is not None
    assert by_part is not None
    wanted = judge(*part_scores([row.score for row in rows], [row.is_bad for row in rows], parts), by_part.threshold)
    assert by_part == wanted
    assert by_part.threshold == selection.threshold.value
    assert (by_part.specificity.trials, by_part.recall.trials) == (4, 3)
    report(run, as_json=False)
    assert f"whole parts: recall {by_part.recall}" in capsys.readouterr().out


def test_parts_photographed_once_are_not_judged_again(make_data: MakeData, tmp_path: Path) -> None:
    run = trained("autoencoder-gelu", make_data(train=(8, 0), val=(4, 4), test=(4, 4)), tmp_path / "run")
    assert run.record.metrics["test"].by_part is None
    (run.path / "run.json").write_text(json.dumps(_as_before(json.loads((run.path / "run.json").read_text()))))
    (run.path / "scores.csv").write_text("file,split,label,defect,score\ntest/good/part00.png,test,good,,0.5\n")
    assert load_run(run.path).record.metrics["test"].overlap is None, "a run from before these figures still loads"
    assert read_scores(run.path)[0].part is None


def test_dice_of_the_map_is_recorded_where_there_are_masks(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(train=(8, 8), val=(4, 4), test=(4, 3))
    run = trained("demo-line", data, tmp_path / "run", "letterbox.side=64", "train.crop=32")
    covered = {split: one.overlap for split, one in read_record(run.path).metrics.items()}
    assert covered["val"] is not None
    assert covered["test"] is not None
    assert covered["test"].photographs == 3
    assert covered["test"].level == covered["val"].level, "the level is chosen on validation alone"
    assert covered["test"].low <= covered["test"].dice <= covered["test"].high


def _as_before(record: dict[str, dict[str, dict[str, object]]]) -> dict[str, dict[str, dict[str, object]]]:
    for split in record["metrics"].values():
        del split["by_part"], split["overlap"]
    del record["files"]
    return record
