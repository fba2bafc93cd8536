"""The contest of the benchmarks at small size: real processes, real stations, and contestants that fail to run."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from support.line import DEMO_BUNDLE, ROOT

from benchmarks import peers
from benchmarks.benchmark_app import instructions
from benchmarks.comparison import CannotRunError, Contestant, in_turns, set_up, stock
from benchmarks.contestants import Setup
from benchmarks.host import opencv_letterbox, pil_letterbox
from benchmarks.network import write_network
from edge.backends import load_from
from edge.bundle import load_bundle
from train.letterbox import placed, shrunk

SHAPE = (360, 640)


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return set_up(load_bundle(DEMO_BUNDLE), SHAPE, 1, tmp_path_factory.mktemp("contest"))


def run(name: str, *options: object) -> dict:
    """The result of a benchmark's trial run."""
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--threads=1", *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(Path(options[1]).read_text())


@pytest.mark.parametrize("name", ["demo", "magnetic-tile"])
def test_the_network_alone_scores_a_letterboxed_picture_as_the_whole_graph_does(name: str, tmp_path: Path) -> None:
    import onnxruntime as ort

    bundle = load_bundle(ROOT / "models" / f"{name}.edge")
    contract, frame = bundle.manifest.letterbox, stock(SHAPE, 3)[2]
    write_network(bundle, SHAPE, tmp_path / "network.onnx")
    session = ort.InferenceSession(str(tmp_path / "network.onnx"), providers=["CPUExecutionProvider"])
    assert [(value.name, value.shape) for value in session.get_inputs()] == [("image", [1, 3, 320, 320])]
    image, _ = placed(shrunk(frame, contract), contract)
    score = float(session.run(["score"], {"image": image.numpy()[None]})[0][0])
    assert score == pytest.approx(load_from(bundle, "onnxruntime", 1, SHAPE).infer(frame).score, abs=1e-4)


@pytest.mark.parametrize("letterbox", [opencv_letterbox, pil_letterbox])
def test_the_letterbox_on_the_host_gives_the_picture_that_the_network_was_trained_on(letterbox: object) -> None:
    contract, frame = load_bundle(DEMO_BUNDLE).manifest.letterbox, stock(SHAPE, 1)[0]
    image, _ = placed(shrunk(frame, contract), contract)
    found = letterbox(SHAPE, contract.side, contract.mean, contract.std, contract.fill)(frame)[0]
    grey_levels = 255 * np.array(contract.std).reshape(3, 1, 1) * (found - image.numpy())
    assert np.abs(grey_levels).mean() < 1


def test_contestants_run_in_turns_and_tell_what_they_computed(setup: Setup) -> None:
    order: list[str] = []
    with (
        Contestant(replace(setup, name="ours")) as ours,
        Contestant(replace(setup, name="onnxruntime_host")) as theirs,
    ):
        turns = {"ours": ours, "theirs": theirs}
        found = in_turns(turns, 2, {"ours": 12, "theirs": 3}, order.append)
    assert order == ["ours", "theirs", "ours", "theirs"]
    assert [[len(one) for one in rounds] for rounds in found.values()] == [[12, 12], [3, 3]]
    assert (len(ours.scores), len(theirs.scores)) == (16, 6), "each frame once"
    assert ours.scores[:6] == pytest.approx(theirs.scores, abs=0.05)


def test_a_contestant_that_stands_still_does_not_outlive_a_contest_that_is_killed(setup: Setup) -> None:
    contest = (
        "import sys, time\nfrom pathlib import Path\nfrom benchmarks.comparison import Contestant\n"
        "from benchmarks.contestants import Setup\n"
        f"with Contestant(Setup(**{asdict(replace(setup, name='memory'))!r})) as one:\n"
        "    one(3)\n    print(one._process.pid, flush=True)\n    time.sleep(60)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", contest], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert killed.stdout is not None
    pid = int(killed.stdout.readline())
    killed.kill()
    killed.communicate()
    until = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_contestant_that_does_not_load_says_why(setup: Setup) -> None:
    with (
        pytest.raises(CannotRunError, match=r"ModuleNotFoundError: No module named '\w+'"),
        Contestant(replace(setup, name="peers.tract")),
    ):
        pass


class Dying(Contestant):
    def __call__(self, frames: int) -> list[float]:
        with self._log.open("ab") as log:
            log.write(b"MemoryError: not enough\n")
        self._process.kill()
        return super().__call__(frames)


def test_a_peer_that_dies_in_its_turn_is_said_to_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"tract": Dying, "tvm": Contestant}
    real = peers._contestant

    def contestant(name: str, setup: Setup, folder: Path) -> Contestant:
        return kinds[name](replace(setup, name="memory")) if name in kinds else real(name, setup, folder)

    monkeypatch.setattr(peers, "_contestant", contestant)
    monkeypatch.setattr(peers, "ROUNDS", 2)
    monkeypatch.setattr(peers, "ROUND_S", 0.01)
    found = peers.measure(DEMO_BUNDLE, SHAPE, 1, list(kinds), tmp_path)
    assert [one["name"] for one in found["rows"]] == [*peers.BESIDE, "tvm"]
    assert all(one["count"] >= 6 for one in found["rows"]), "two rounds of three frames at least"
    assert [(one["name"], one["reason"]) for one in found["refused"]] == [("tract", "died: MemoryError: not enough")]
    assert "died: MemoryError: not enough" in peers.section(found)


def test_what_people_write_against_a_whole_station(tmp_path: Path) -> None:
    found = run("handwritten", "--out", tmp_path / "written.json", "--size", "640x360")
    assert [one["name"] for one in found["rows"]] == ["torch_densenet", "onnxruntime_host"]
    assert found["ours"]["count"] == 20
    assert found["rows"][0]["times"] > 1, "DenseNet-121 in PyTorch takes longer than the whole way of a small network"


def test_a_station_against_benchmark_app_on_its_own_graph(tmp_path: Path) -> None:
    (row,) = run("benchmark_app", "--out", tmp_path / "floor.json")["rows"]
    assert row["station_to_app"] == pytest.approx(row["station_frames_per_s"] / row["app_frames_per_s"])
    assert row["station_to_alike"] == pytest.approx(row["station_frames_per_s"] / row["alike_frames_per_s"])
    assert row["instructions"] == instructions(load_bundle(DEMO_BUNDLE), 1), "what the station chooses for itself"
    assert row["memory"]["p50_ms"] < row["bare"]["p50_ms"], "a copy of the frame is the floor"


def test_each_of_many_subscribers_gets_every_verdict() -> None:
    from benchmarks.scaling import _crowd

    found = _crowd(load_bundle(DEMO_BUNDLE), 5, 1, quick=True)
    assert (found["subscribers"], found["lost"], len(found["received"])) == (5, 0, 5 * 12)
    assert min(found["received"]) > 0


def test_a_large_frame_shows_smaller_ones_side_by_side_and_differs_from_the_next() -> None:
    first, second = stock((2000, 1600), 2)
    assert first.shape == (2000, 1600, 3)
    assert (first[720:1440, :1280] == first[:720, :1280]).all()
    assert (first != second).any()
