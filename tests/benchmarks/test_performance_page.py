"""The page of the benchmarks: its content for a fixed result, and for a result with missing parts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from benchmarks import benchmark_app, handwritten, peers, scaling
from benchmarks.comparison import figures, ratio
from benchmarks.markdown import machine_words
from benchmarks.performance import read, render, soak_table
from benchmarks.stations import WAYS, in_turns
from benchmarks.stations_page import section as of_stations

ROOT = Path(__file__).parents[2]
MACHINE = {"cpu": "A CPU", "cores": 2, "load_1_min": 0.1, "system": "Linux", "python": "3.11.7", "openvino": "2026.4"}
HEAD = {"machine": MACHINE, "threads": 2, "quick": False}
FRAME = {"bundle": "demo@1", "width": 1920, "height": 1080}


def latency(p50: float, p99: float) -> dict:
    return {"p50_ms": p50, "p99_ms": p99, "count": 100}


def examples() -> dict[str, dict]:
    """A result of each benchmark, as its script writes it."""
    row = {"station_to_app": 1.03, "station_to_alike": 0.91, "bare_to_alike": 1.01, "station_frames_per_s": 150.0}
    row |= {"app_frames_per_s": 145.0, "alike_frames_per_s": 165.0, "instructions": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
    row |= {
        "app_ms": 6.5,
        "alike_ms": 5.5,
        "station": latency(6, 9),
        "bare": latency(5.4, 6),
        "memory": latency(0.4, 0.5),
    }
    eager = {"name": "torch_densenet", "what": "PIL, DenseNet-121", "times": 17.2, **latency(104, 110)}
    peer = {"what": "A peer", "installed": [], "times": 0.8, "off": 0.4, **latency(4.3, 5)}
    ours = {"name": "ours", "what": "**edge-inspect, its graph**", "installed": [], "times": 1.0, "off": 0.002}
    size = {"height": 480, "width": 640, "frames_per_s": 170.0, "bare": latency(4, 5), "whole": latency(5, 6)}
    rate = {"rate_per_min": 600, "reached_per_min": 600.0, "whole": latency(6, 7)}
    crowd = {"subscribers": 100, "frames_per_s": 120.0, "lost": 0, "received": latency(2, 4)}
    return {
        "benchmark_app": HEAD | {"rows": [row | FRAME]},
        "handwritten": HEAD | FRAME | {"ours": latency(5.9, 9.5), "rows": [eager]},
        "peers": HEAD
        | FRAME
        | {"rows": [{"name": "peer", **peer}, ours | latency(5.4, 6)]}
        | {"refused": [{"name": "other", "what": "Another", "reason": "No GPU found"}]},
        "scaling": HEAD | FRAME | {"usual": [720, 1280], "sizes": [size], "rates": [rate], "subscribers": [crowd]},
    }


def test_the_page_says_of_each_goal_whether_it_is_reached() -> None:
    page = render(examples())
    where = "demo@1 at 1920×1080, ≥ 0.97"
    assert f"| frames/s of station / benchmark_app, {where} | 1.03 | yes |" in page
    assert f"| frames/s of station / benchmark_app with the station's instructions, {where} | 0.91 | **no** |" in page
    assert "`ONEDNN_MAX_CPU_ISA=AVX2`" in page
    assert "| PIL and DenseNet-121 in PyTorch / whole way, 1920×1080, ≥ 15 | 17.2 | yes |" in page
    assert "| whole way p50, 1920×1080, ≤ 6 ms | 5.90 ms | yes |" in page
    assert "| whole way p99, 1920×1080, ≤ 9 ms | 9.50 ms | **no** |" in page
    assert "| no runtime takes less time than ours | A peer: 0.80 | **no** |" in page


def test_a_peer_that_computes_something_else_or_does_not_run_is_said_to() -> None:
    page = peers.section(examples()["peers"])
    assert "| A peer | **0.80** | 4.30 | 5.00 | 0.4 | no: another letterbox |" in page
    assert "| Another | No GPU found |" in page


def test_the_machine_stands_beside_every_part_and_what_is_missing_is_said() -> None:
    found = examples()
    del found["scaling"]
    page = render(found)
    words = "Measured on A CPU, 2 cores, load 0.1 before, Linux, Python 3.11.7, openvino 2026.4; 2 threads."
    assert page.count(words) == len(found)
    assert "Not measured yet: scaling, stations." in page


def test_a_trial_run_is_marked_as_one() -> None:
    found = examples()
    assert "trial run" not in render(found)
    found["handwritten"]["quick"] = True
    assert "trial run" in render(found)


def test_a_machine_that_says_less_is_described_by_what_it_says() -> None:
    assert machine_words({"cpu": "A CPU", "versions": {"onnxruntime": "1.31"}}) == "A CPU, onnxruntime 1.31"


def test_the_memory_is_that_of_the_soak() -> None:
    table = soak_table(ROOT / "docs" / "reports" / "soak.md")
    assert table is not None
    assert "| station |" in table
    assert table in render(examples(), table)


def test_stations_of_one_number_and_way_are_one_row() -> None:
    run = {"way": "shared", "stations": 2, "frames_per_s": 100.0, "p50_ms": [8, 9], "p99_ms": [10, 12.0]}
    runs = [run | {"memory_mib": 300.0}, run | {"frames_per_s": 120.0, "memory_mib": 310.0}]
    page = of_stations({"settings": {"size": "1280x720"}, "runs": runs})
    assert "| 2 | one `edge-run`, one model | 110 | 8.50 | 12.00 | 305 |" in page


def test_stations_are_measured_in_rounds_every_second_one_the_other_way_round() -> None:
    order = in_turns(WAYS, [1, 2], 2)
    assert order[:4] == [("shared", 1), ("separate", 1), ("shared", 2), ("separate", 2)]
    assert order[4:] == order[3::-1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("--way", "both"), "way 'both'"), (("--json", "/nosuch/x.json"), "no such folder: /nosuch")],
)
def test_stations_refuse_in_one_line_what_they_cannot_do(arguments: tuple[str, ...], says: str) -> None:
    command = [sys.executable, "-m", "benchmarks.stations", "demo", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line


def test_the_ratio_is_of_each_round_so_that_a_slow_spell_of_the_machine_does_not_tell() -> None:
    ours, theirs = [[1.0, 1.0], [5.0, 5.0], [1.0, 1.0]], [[3.0, 3.0], [15.0, 15.0], [3.0, 3.0]]
    assert ratio(theirs, ours) == 3
    assert figures(ours) == {"p50_ms": 1.0, "p99_ms": 5.0, "count": 6}


def test_the_command_writes_the_page_of_what_is_there(tmp_path: Path) -> None:
    for name, result in examples().items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    assert list(read(tmp_path)) == ["benchmark_app", "handwritten", "peers", "scaling"]
    page = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.performance", "--page-only", "--results", tmp_path, "--page", page]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for module in (benchmark_app, handwritten, peers, scaling):
        assert module.section(examples()[module.__name__.partition(".")[2]]).splitlines()[0] in page.read_text()


def test_a_benchmark_that_does_not_exist_is_answered_in_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks.performance", "--only", "ceiling"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr.splitlines()[0][:33]) == (2, "error: no such benchmark: ceiling")
    assert len(done.stderr.splitlines()) == 1
