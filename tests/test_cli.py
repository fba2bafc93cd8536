"""What a person gets wrong is one line that names it, and exit code 2."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from running import DEMO_BUNDLE, command, free_endpoint
from test_verdict import verdict

from edge.channel.subscriber import Received
from edge.cli.listen import _line

COMMANDS = ["run", "listen", "bench", "verify", "demo", "keys"]
HEAVY = {"numpy", "cv2", "openvino", "onnxruntime", "torch", "zmq", "pydantic_core", "cryptography"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=60)


def refused(*arguments: object) -> str:
    """The one line that edge-run says when it refuses these arguments."""
    done = run(*command("run", "--bind", free_endpoint(), *arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no source given"),
        (["--source", "camera7"], "camera7"),
        (["--source", "/dev/video77"], "/dev/video77"),
        (["--source", "demo", "--bind", "tcp://0.0.0.0:5570"], "can be reached from the network"),
    ],
)
def test_what_a_person_gets_wrong_is_named_in_one_line(arguments: list[str], says: str) -> None:
    """A wrong value of each key and each option: tests/test_source_errors.py."""
    assert says in refused(*arguments)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in refused("--source", tmp_path)


def test_a_text_file_called_mp4_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "line.mp4").write_text("text")
    assert "line.mp4: no video" in refused("--source", tmp_path / "line.mp4")


@pytest.mark.parametrize("name", ["model.onnx", "openvino/model.bin", "golden.npz", "manifest.json"])
def test_a_changed_bundle_does_not_run(tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "copy.edge"))
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    assert name in refused("--source", "demo", "--bundle", bundle)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    code = (
        f"import sys; sys.argv = ['edge-{name}', '--help']\n"
        f"import atexit; atexit.register(lambda: print('LOADED', *sys.modules))\n"
        f"from edge.cli.{name} import main; main()"
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0
    loaded = set(done.stdout.splitlines()[-1].split()) & HEAVY
    assert not loaded - {"pydantic_core"}, loaded


def test_the_supervisor_loads_neither_pixels_nor_runtimes() -> None:
    code = "import sys, edge.station.cell; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code).stdout.split())
    assert not loaded & {"numpy", "cv2", "openvino", "onnxruntime", "torch", "edge.station.inference.locating"}


def test_a_listener_alone_says_so() -> None:
    done = run(*command("listen", "--connect", free_endpoint(), "--wait-s", "0.3"))
    assert done.returncode == 2
    assert "nothing heard from 'line1'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_listener_and_a_line_count_alike() -> None:
    endpoint = free_endpoint()
    listener = subprocess.Popen(
        command("listen", "--connect", endpoint, "--once", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    done = run(*command("run", "--source", "demo", "--size", "320x180", "--limit", 20, "--bind", endpoint, "--json",
                        "--wait-subscribers", 1, "--budget-ms", 20_000))  # fmt: skip
    out, _ = listener.communicate(timeout=30)
    verdicts = [json.loads(line) for line in out.splitlines()]
    result = json.loads(done.stdout)
    assert done.returncode == listener.returncode == 0
    assert [v["seq"] for v in verdicts] == list(range(1, 21))
    for outcome in ("good", "reject", "unknown"):
        assert result[outcome] == sum(v["verdict"] == outcome for v in verdicts)
    assert {"accepted", "p50_ms", "p99_ms"} <= result.keys()


def test_a_listener_shows_the_first_defect_of_a_reject() -> None:
    defect = {"box": {"x": 10, "y": 20, "width": 30, "height": 40}, "area": 900, "peak": 0.9}
    ends = {1: "a.jpg  30×40 at (10, 20)", 0: "a.jpg"}
    for count, end in ends.items():
        reject = verdict(verdict="reject", reason="defect", score=0.75, defects=[defect] * count)
        line = _line(Received(reject, 0, 0))
        assert line is not None
        assert line[-1] == end


def test_sources_are_listed_with_the_names_that_open_them() -> None:
    done = run(*command("run", "--list-sources", "--json"))
    assert "demo" in [row["source"] for row in json.loads(done.stdout)]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-", "2>/dev/full"])
def test_a_line_runs_without_standard_files(closed: str) -> None:
    options = "--source demo --size 320x180 --limit 5 --no-records"
    line = f"{sys.executable} -m edge.cli.run {options} --bind {free_endpoint()} {closed}"
    assert run("bash", "-c", line).returncode == 0


def test_a_result_that_cannot_be_written_is_one_line() -> None:
    options = "--source demo --size 320x180 --limit 5 --no-records --json"
    done = run("bash", "-c", f"{sys.executable} -m edge.cli.run {options} --bind {free_endpoint()} >/dev/full")
    assert done.returncode == 2
    assert "error: standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--station", ".."), "station name '..'"), (("--require", "a b"), "controller name 'a b'"),
        (("--bind", "tcp://127.0.0.1:65535"), "has no port 1 after it for control; give --control"),
        (("--bind", "tcp://127.0.0.1:7100", "--control", "tcp://127.0.0.1:7100"), "each need their own"),
        (("--no-records", "--records", "x"), "--no-records keeps nothing"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_together_is_refused(options: tuple[str, ...], said: str) -> None:
    assert said in refused("--source", "demo", *options)
