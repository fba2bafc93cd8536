"""`make results` trains missing runs, never overwrites existing ones, and its page has the figures of the runs."""

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from support.line import ROOT

from benchmarks.results import runs as trainings
from benchmarks.results.__main__ import app
from benchmarks.results.chart import write_chart
from benchmarks.results.outcome import outcomes
from benchmarks.results.page import render
from benchmarks.results.plan import Plan, PlanError, read_plan
from benchmarks.results.runs import latency_file, train_all
from edge.cli import run_app
from edge.evaluation.intervals import auroc_interval
from edge.evaluation.metrics import auroc, part_scores
from train.fit import fit
from train.recipe import recipe_names
from train.run import read_record, read_scores

MakeData = Callable[..., Path]
Train = Callable[[Plan, Path], Path]

PHOTOGRAPHS = """
[photographs.magnetic-tile]
title = "Plates"
about = "Grey plates."
[photographs.demo-line]
title = "Other plates"
about = "Grey plates."
"""
PLAN = (
    'set = ["train.epochs=1", "train.batch=4"]\n'
    + PHOTOGRAPHS
    + """
[[entry]]
recipe = "autoencoder-gelu"
seeds = [0, 1]
[[entry]]
recipe = "autoencoder-relu"
name = "never-trained"
[[entry]]
recipe = "demo-line"
data = "demo-line"
set = ["letterbox.side=64", "train.crop=32"]
[[reported]]
network = "Small autoencoders"
said = "recall 0.90"
recipes = ["autoencoder-gelu"]
"""
)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def kept() -> dict[str, Path]:
    """Storage in which `data` and `trained` keep their results for all tests of this file."""
    return {}


@pytest.fixture
def data(kept: dict[str, Path], make_data: MakeData) -> Path:
    """Plates, each photographed twice; tests must not write to the folder."""
    if "data" in kept:
        return kept["data"]
    folder = kept["data"] = make_data(train=(8, 8), val=(6, 4), test=(8, 6))
    table = folder / "parts.csv"
    rows = [re.sub(r"-(\d+)$", lambda found: f"-{int(found[1]) // 2}", row) for row in table.read_text().splitlines()]
    table.write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "plan.toml").write_text(PLAN)
    return read_plan(tmp_path / "plan.toml")


@pytest.fixture
def trained(kept: dict[str, Path], data: Path) -> Train:
    """`trained(plan, runs)` copies the runs of the plan into `runs`, each trained once, except `never-trained`."""

    def copied(plan: Plan, runs: Path) -> Path:
        for training in plan.trainings():
            name = training.folder
            if training.entry.label != "never-trained":
                if name not in kept:
                    out = data.with_name("trained") / name
                    kept[name] = fit(training.entry.recipe, training.recipe, data, out).path
                shutil.copytree(kept[name], runs / name)
        return runs

    return copied


def rows_of(page: str, label: str) -> list[list[str]]:
    """The cells of each table row that begins with this label."""
    lines = [line for line in page.splitlines() if line.startswith(f"| `{label}` |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_plan_that_ships_holds_every_recipe_and_can_be_followed() -> None:
    plan = read_plan()
    assert {entry.recipe for entry in plan.entry} == set(recipe_names())
    folders = [training.folder for training in plan.trainings()]
    assert len(set(folders)) == len(folders)
    assert {entry.data for entry in plan.entry if entry.recipe == "demo-line"} == {"demo-line"}


def test_the_page_says_of_each_row_what_its_runs_say(plan: Plan, trained: Train, tmp_path: Path) -> None:
    runs = trained(plan, tmp_path / "runs")
    page = render(plan, runs, "results.svg")
    judged = []
    for seed in (0, 1):
        rows = [row for row in read_scores(runs / f"autoencoder-gelu-seed{seed}") if row.split == "test"]
        scores, bad = [row.score for row in rows], [row.is_bad for row in rows]
        judged.append((auroc(scores, bad), auroc(*part_scores(scores, bad, [str(row.part) for row in rows]))))
    (first, first_parts), (second, second_parts) = judged
    assert None not in (first, second, first_parts, second_parts)
    main, cost, kinds, *seeds = rows_of(page, "autoencoder-gelu")
    mean = (first + second) / 2
    low, high = auroc_interval(mean, bad=3, good=4)
    spread = f"{min(first, second):.3f}–{max(first, second):.3f}"
    assert main[2:4] == ["2", f"**{mean:.3f}** [{low:.2f}, {high:.2f}]<br>{spread}"]
    assert main[8].startswith(f"**{(first_parts + second_parts) / 2:.3f}**")
    assert cost[1:4] == ["47,107", "random initialisation", "1 of the recipe's 25 (1)"]
    assert len(kinds) == 2, "one kind of defect"
    assert [row[1:3] for row in seeds[:2]] == [["0", f"{first:.3f}"], ["1", f"{second:.3f}"]]
    record = read_record(runs / "demo-line-seed0").metrics["test"]
    assert record.overlap is not None
    assert rows_of(page, "demo-line")[0][9].startswith(f"**{record.overlap.dice:.3f}** [")
    assert "- `never-trained` (seed 0): **not trained**. `edge-train autoencoder-relu --data" in page
    assert "cannot be compared" in page
    assert "| test | 8 photographs of 4 parts | 6 photographs of 3 parts |" in page
    assert str(tmp_path) not in page, "the page names no folder of this machine"


def test_the_interval_of_a_recall_takes_a_part_together_under_all_seeds(
    plan: Plan, trained: Train, tmp_path: Path
) -> None:
    runs = trained(plan, tmp_path / "runs")
    one_seed = plan.model_copy(update={"entry": (plan.entry[0].model_copy(update={"seeds": (0,)}),)})
    (both, *_), (alone,) = outcomes(plan, runs), outcomes(one_seed, runs)
    pooled, single = both.specificity(), alone.specificity()
    assert pooled is not None
    assert single is not None
    assert pooled.interval is not None
    assert single.interval is not None
    assert pooled.mean == pytest.approx(np.mean(pooled.seeds))
    widths = [high - low for low, high in (pooled.interval, single.interval)]
    assert widths[0] > widths[1] / np.sqrt(2), "a second seed shows no new parts"


def test_the_picture_shows_what_is_trained_and_is_the_same_each_time(
    plan: Plan, trained: Train, tmp_path: Path
) -> None:
    assert not write_chart(plan, tmp_path / "runs", tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
    runs = trained(plan.only(["autoencoder-gelu"]), tmp_path / "runs")
    assert write_chart(plan, runs, tmp_path / "one.svg")
    assert write_chart(plan, runs, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_latency_is_shown_until_its_run_is_newer(plan: Plan, trained: Train, tmp_path: Path) -> None:
    plan = plan.only(["demo-line"])
    run = trained(plan, tmp_path / "runs") / "demo-line-seed0"
    measured = {
        "made": "2026-01-01T00:00:00+00:00",
        "command": "edge-bench",
        "machine": {
            "cpu": "a processor", "cores": 2, "instruction_sets": [], "governor": None, "mhz": None, "memory_mib": 1,
            "system": "", "python": "", "versions": {},
        },
        "bundles": [],
        "series": [
            {
                "bundle": "demo-line", "way": "bare", "pace": {}, "samples_ms": [4.4, 4.56, 4.7], "frames_per_s": 219,
                "setting": {
                    "artifact": "openvino", "backend": "openvino", "precision": "f32", "threads": 2, "is_static": True,
                    "height": 720, "width": 1280,
                },
                "disturbance": {
                    "others_cores": 0.25, "steal_share": None, "waiting": None, "is_disturbed": True, "said": "others"
                },
            }
        ],
    }  # fmt: skip
    latency_file(run).write_text(json.dumps(measured))
    page = render(plan, run.parent)
    assert rows_of(page, "demo-line")[1][-1] == "4.6"
    assert "1280×720 frames, 2 threads, a processor; other processes kept 0.2 cores busy meanwhile" in " ".join(
        page.split()
    )
    (run / "model.pt").touch()
    assert rows_of(render(plan, run.parent), "demo-line")[1][-1] == "–"
    latency_file(run).write_text('{"backends": []}')
    assert rows_of(render(plan, run.parent), "demo-line")[1][-1] == "–", "of an edge-bench of another version"


def test_what_is_trained_is_left_alone_and_what_was_interrupted_goes_on(
    plan: Plan, data: Path, trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Sequence[str]] = []
    said: list[str] = []

    def succeed(module: str, arguments: Sequence[str]) -> int:
        called.append(arguments)
        return 0

    monkeypatch.setattr(trainings, "_run", succeed)
    plan = plan.only(["autoencoder-gelu"])
    runs, folders = trained(plan, tmp_path / "runs"), {"magnetic-tile": data}
    assert train_all(plan.trainings(), folders, runs, said.append) == []
    assert called == []
    assert said == [f"{n} of 2: autoencoder-gelu-seed{n - 1}: finished before" for n in (1, 2)]

    record = runs / "autoencoder-gelu-seed1" / "run.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    assert train_all(plan.trainings(), folders, runs, said.append) == []
    ((*arguments, last),) = called
    assert last == "--resume"
    assert arguments[:3] == ["autoencoder-gelu", "--data", str(data)]

    before = record.read_bytes()
    changed = plan.model_copy(update={"set": ("train.epochs=3", "train.batch=4")})
    failed = train_all(changed.trainings(), folders, runs, said.append)
    assert len(failed) == 2
    assert said[-1].endswith("trained with other settings: train.epochs is 1, the plan says 3; left as it is")
    assert len(called) == 1
    assert record.read_bytes() == before


def test_it_trains_goes_on_after_a_failure_and_says_so_at_the_end(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = 'options = ["--no-such-option"]\n[[entry]]\nrecipe = "demo-line"\nname = "broken"\ndata = "demo-line"\n'
    small = '[[entry]]\nrecipe = "autoencoder-gelu"\nset = ["train.epochs=1", "train.batch=4"]\n'
    (tmp_path / "plan.toml").write_text(PHOTOGRAPHS + broken + small)
    data = make_data(train=(8, 8), val=(4, 4), test=(4, 4))
    places = {"plan": tmp_path / "plan.toml", "data": data, "demo-data": data, "runs": tmp_path / "runs"}
    options = [f"--{name}={place}" for name, place in places.items()] + [f"--page={tmp_path / 'page.md'}"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["results", *options])
    with pytest.raises(SystemExit) as left:
        run_app(app)
    said = capfd.readouterr().err
    assert left.value.code == 1, said
    assert "1 of 2: broken-demo-line-seed0: failed with exit code 2" in said
    assert "2 of 2: autoencoder-gelu-seed0: training" in said
    assert said.splitlines()[-1] == "1 not as planned: broken-demo-line-seed0 (exit code 2)"
    assert read_record(tmp_path / "runs" / "autoencoder-gelu-seed0").finished
    page = (tmp_path / "page.md").read_text()
    assert len(rows_of(page, "autoencoder-gelu")) == 4
    assert "- `broken-demo-line` (seed 0): **not trained**" in page
    assert (tmp_path / "page.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "the magnetic-tile photographs are not at nowhere: EDGE_DATA or --data names"),
        (["--only", "padimm"], "no entry 'padimm' in the plan; there are "),
        (["--plan", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["results", *arguments])
    with pytest.raises(SystemExit) as left:
        run_app(app)
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ('[[entry]]\nrecipe = "padim"\nepochs = 3\n', "unknown key 'entry.0.epochs'; entry.0 has recipe"),
        ('[[entry]]\nrecipe = "padim"\ndata = "cats"\n', "padim wants data 'cats'; there is magnetic-tile, demo-line"),
        ('[[entry]]\nrecipe = "padim"\n' * 2, "two entries are called padim: give one of them a name"),
        ("entry =", "is not TOML"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(plan: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(PHOTOGRAPHS + plan)
    with pytest.raises(PlanError, match=re.escape(message)):
        read_plan(tmp_path / "plan.toml")
