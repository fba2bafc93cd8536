"""The benchmark of the promises: it draws whole parts, and tells a promise from a quantile."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.promises import ASKED, Line, Row, app, measure, read_line, read_lines
from benchmarks.promises_page import keeps_word
from edge.errors import DataError
from edge.evaluation.thresholds import STRATEGIES
from train.recipe import load_recipe
from train.run import DataRecord, RunRecord, write_record

COMPARED = (
    ("specificity", {"at_least": 0.9}),
    ("false-rejects-with-confidence", {"at_most": 0.1, "confidence": 0.9}),
)


def run_of(folder: Path, good: int = 60, bad: int = 40, photographs: int = 1, line: str = "plates") -> Path:
    """A finished run with the scores of so many parts in validation and in test, rounded so that many are equal."""
    rng = np.random.default_rng(4)
    folder.mkdir(parents=True)
    data = DataRecord(folder=Path("/nowhere") / line, fingerprint="0" * 64, photographs={})
    recipe = load_recipe("padim")
    record = RunRecord(finished=True, recipe_name="padim", recipe=recipe, data=data, provenance={}, parameters=1)
    write_record(folder, record)
    with (folder / "scores.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["file", "split", "label", "defect", "part", "score"])
        for split in ("val", "test"):
            for label, count in (("good", good), ("bad", bad)):
                for part in range(count):
                    centre = rng.normal(2.0 * (label == "bad"), 1)
                    for light in range(photographs):
                        score = round(float(centre + rng.normal(0, 0.5)), 1)
                        name = f"{split}-{label}-{part}"
                        writer.writerow([f"{name}-{light}.png", split, label, "", name, score])
    return folder


def measured(line: Line, draws: int) -> dict[str, Row]:
    rows = [Row(line.line, strategy, parameters) for strategy, parameters in COMPARED]
    measure(line, rows, np.random.default_rng(1), draws)
    return {row.strategy: row for row in rows}


def test_promises_are_kept_more_often_than_they_say_and_quantiles_are_not(tmp_path: Path) -> None:
    line = read_line(run_of(tmp_path / "run"))
    assert line is not None
    rows = measured(line, 150)
    promised, plain = rows["false-rejects-with-confidence"], rows["specificity"]
    assert promised.kept["run"] >= 0.9 * 150 - 2 * np.sqrt(0.09 * 150)
    assert plain.kept["run"] < 0.8 * 150
    assert keeps_word(promised, 0.9) == "yes"
    promised.kept["run"] = plain.kept["run"]
    assert keeps_word(promised, 0.9) == "**no**"


def test_one_run_that_breaks_its_word_is_not_hidden_by_the_others() -> None:
    row = Row("plates", *COMPARED[1], draws=1000, kept={f"run {number}": 100 for number in range(10)})
    assert keeps_word(row, 0.9) == "yes"
    row.kept["run 3"] = 70
    assert sum(row.kept.values()) >= 0.95 * row.draws
    assert keeps_word(row, 0.9) == "**no**"


def test_the_report_seldom_says_not_kept_of_a_threshold_that_keeps_the_rate(tmp_path: Path) -> None:
    line = read_line(run_of(tmp_path / "run"))
    assert line is not None
    for row in measured(line, 150).values():
        told = row.told[True]
        assert told["not kept"] <= 0.025 * told.total() + 3 * np.sqrt(0.025 * told.total())
        told = row.told[False]
        assert told["kept"] <= 0.025 * told.total() + 3 * np.sqrt(0.025 * max(1, told.total()))


def test_parts_are_drawn_whole_and_judged_by_their_highest_score(tmp_path: Path) -> None:
    line = read_line(run_of(tmp_path / "run", photographs=3))
    assert line is not None
    assert (line.chosen_on, line.given_on) == ({False: 60, True: 40}, {False: 60, True: 40})
    assert [len(line.members[is_bad]) for is_bad in (False, True)] == [120, 80]
    drawn = line.drawn(np.random.default_rng(0), {False: 30, True: 10})
    assert drawn.parts is not None
    assert len(drawn.scores) == 3 * 40
    assert len(set(drawn.parts)) == 40
    known = {tuple(line.whole.scores[one]) for of_class in line.members.values() for one in of_class}
    of_part = {tuple(drawn.scores[np.array(drawn.parts) == part]) for part in drawn.parts}
    assert of_part <= known
    photographs, parts = (line.rejected(False, 1.0, by_part) for by_part in (False, True))
    assert photographs == np.mean(line.whole.scores[~line.whole.bad] >= 1.0)
    assert parts == np.mean([line.whole.scores[one].max() >= 1.0 for one in line.members[False]])
    assert parts > photographs
    quantile, promise = (Row("plates", *one) for one in COMPARED)
    quantile.parameters, promise.parameters = {"at_least": 1 - photographs}, {"at_most": photographs, "confidence": 0.9}
    assert quantile.is_kept(line, 1.0)
    assert not promise.is_kept(line, 1.0)
    promise.parameters = {"at_most": parts, "confidence": 0.9}
    assert promise.is_kept(line, 1.0)


def test_the_page_has_every_line_and_says_what_was_refused(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run_of(runs / "one", bad=20)
    run_of(runs / "two", bad=20)
    other = run_of(tmp_path / "other", good=30, bad=0, line="tiles")
    docs = tmp_path / "docs"
    docs.mkdir()
    done = CliRunner().invoke(app, [str(runs), str(other), "--draws", "10", "--docs", str(docs), "--json"])
    assert done.exit_code == 0, done.output
    page = (docs / "promises.md").read_text(encoding="utf-8")
    assert "### plates\n\n2 runs; 60 good and 20 bad parts to choose on." in page
    assert "### tiles\n\n1 run; 30 good and 0 bad parts to choose on." in page
    assert "takes at least 59 bad photographs to choose on, and there are 20" in " ".join(page.split())
    told = json.loads(done.stdout.splitlines()[-1])
    assert {(row["line"], row["strategy"]) for row in told["rows"]} == {
        (line, strategy) for line in ("plates", "tiles") for strategy, _ in ASKED
    }
    kept = [row for row in told["rows"] if row["line"] == "tiles" and STRATEGIES[row["strategy"]].needs_bad]
    assert all(row["draws"] == 0 and row["refused"] for row in kept)
    assert {cost["good"] for cost in told["costs"] if cost["kept"] is None} == {20, 40}


def test_a_folder_without_runs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run with good validation and test photographs; name runs"):
        read_lines([tmp_path])
