"""The command `edge-train`: quick answers, one line for each error, only JSON on standard output."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import train.cli

MakeData = Callable[..., Path]
Answer = tuple[int | str, str, str]

TRAIN = [sys.executable, "-c", "import train.cli; train.cli.main()"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


def edge_train(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TRAIN, *map(str, arguments)], capture_output=True, text=True, env=ONE_THREAD, check=False)


@pytest.fixture
def edge_train_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """`edge-train` in this process: exit code, standard output and standard error."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["edge-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            train.cli.main()
        return (left.value.code or 0, *capfd.readouterr())

    return run


def test_list_names_every_recipe_without_waiting_for_torch() -> None:
    listed = edge_train("--list")
    assert listed.returncode == 0
    table = listed.stdout.partition("\n\n")[0].splitlines()
    names = [line.split()[0] for line in table[1:]]
    assert {"autoencoder-gelu", "demo-line"} <= set(names)
    assert [row["name"] for row in json.loads(edge_train("--list", "--json").stdout)] == names
    code = "import sys, train.cli; train.cli.list_recipes(as_json=False); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo-lin", "--data", ".", "--out", "run"], "error: no recipe 'demo-lin'; there are autoencoder-"),
        (["demo-line", "--data", "nowhere", "--out", "run"], "error: no such data folder: nowhere"),
        (
            ["demo-line", "--data", ".", "--out", "run", "--accelerator", "abacus"],
            "error: no accelerator 'abacus' on this machine; there are auto, ",
        ),
        (["demo-line", "--out", "run"], "error: give a recipe, --data and --out"),
        (["demo-line", "--data", ".", "--out", "run", "--set", "train.epoch=3"], "unknown key 'train.epoch'"),
    ],
)
def test_what_a_person_gets_wrong_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edge_train_here: Callable[..., Answer],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, said = edge_train_here(*arguments)
    assert code == 2
    assert out == ""
    assert message in said
    assert said.count("\n") == 1


def test_a_process_that_is_refused_ends_with_2_and_one_line(tmp_path: Path) -> None:
    answer = edge_train("demo-line", "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: no such data folder")
    assert answer.stderr.count("\n") == 1


def test_interrupted_from_the_keyboard_it_says_how_to_go_on_and_does(
    make_data: MakeData, tmp_path: Path, edge_train_here: Callable[..., Answer]
) -> None:
    out = tmp_path / "run"
    arguments = ["autoencoder-gelu", "--data", make_data(train=(8, 0), val=(4, 4), test=(4, 4)), "--out", out]
    arguments += ["--set", "train.epochs=15", "--set", "train.batch=4"]
    training = subprocess.Popen(
        [*TRAIN, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=ONE_THREAD,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores SIGINT
    )
    assert training.stderr is not None
    for line in training.stderr:
        if line.startswith("epoch 2/15"):
            break
    training.send_signal(signal.SIGINT)
    _, said = training.communicate(timeout=60)
    assert training.returncode == 2
    assert said.splitlines()[-1].startswith("error: interrupted in epoch ")
    assert said.splitlines()[-1].endswith("the same command with --resume goes on")

    code, printed, said = edge_train_here(*arguments, "--resume", "--json")
    assert code == 0
    assert "epoch 15/15" in said
    record = json.loads(printed)
    assert record["finished"]
    assert set(record["metrics"]) == {"val", "test"}
    assert len((out / "history.csv").read_text().splitlines()) == 16
