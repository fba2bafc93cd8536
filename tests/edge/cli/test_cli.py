"""A user's mistake gives one line that names it, and exit code 2."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from support.line import DEMO_BUNDLE, command, free_endpoint, ran, refused, run
from support.records import until
from support.verdicts import verdict

from edge.channel.subscriber import Received, Subscriber
from edge.cli.listen import _line, _Lines, _sequence
from edge.sources.registry import KINDS
from edge.station.part_counts import Books
from edge.verdict import StateChange

COMMANDS = ["run", "listen", "bench", "verify", "demo", "keys"]
HEAVY = {"numpy", "cv2", "openvino", "onnxruntime", "torch", "zmq", "pydantic_core", "cryptography"}


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
    """Wrong values of every key and option are tested in tests/edge/sources/test_source_errors.py."""
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
    done = ran("listen", "--connect", free_endpoint(), "--wait-s", "0.3")
    assert done.returncode == 2
    assert "nothing heard from 'line1'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_listener_that_is_ended_by_a_signal_prints_its_summary(number: signal.Signals) -> None:
    endpoint = free_endpoint()
    heard = subprocess.Popen(
        command("listen", "--connect", endpoint), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ran("run", "--source", "demo", "--size", "320x180", "--limit", 3, "--bind", endpoint, "--wait-subscribers", 1,
        "--budget-ms", 20_000)  # fmt: skip
    assert heard.stdout is not None
    while "stopped" not in heard.stdout.readline():
        assert heard.poll() is None
    heard.send_signal(number)
    out, said = heard.communicate(timeout=60)
    assert heard.returncode == ("SILENT" in said)
    assert "received: the sequence has no gap over 3 verdicts\n" in out


def test_a_listener_that_a_signal_ends_before_it_heard_anything_says_so() -> None:
    listener = subprocess.Popen(
        command("listen", "--connect", free_endpoint()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: _handles(listener.pid, signal.SIGTERM))
    listener.terminate()
    out, said = listener.communicate(timeout=60)
    assert listener.returncode == 2
    assert "nothing heard from 'line1'" in said.splitlines()[-1]
    assert "no gap" not in out


def _handles(pid: int, number: int) -> bool:
    """Whether the process has a handler of its own for the signal."""
    (caught,) = re.findall(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) & 1 << (number - 1))


def test_a_line_without_parts_has_no_sequence() -> None:
    subscriber = SimpleNamespace(missed=0, repeated=1, malformed=2, first_seq=1)
    assert _sequence(cast(Subscriber, subscriber), Books()) == [
        "no verdict came", "1 repeated verdict ignored", "2 malformed messages",
    ]  # fmt: skip


def test_a_listener_and_a_line_count_alike() -> None:
    endpoint = free_endpoint()
    listener = subprocess.Popen(
        command("listen", "--connect", endpoint, "--once", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    done = ran("run", "--source", "demo", "--size", "320x180", "--limit", 20, "--bind", endpoint, "--json",
               "--wait-subscribers", 1, "--budget-ms", 20_000)  # fmt: skip
    out, said = listener.communicate(timeout=30)
    verdicts = [json.loads(line) for line in out.splitlines()]
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert listener.returncode == (b"SILENT" in said)  # heartbeats of a busy machine may come a second late
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


def test_a_listener_names_the_kind_of_a_reject_before_its_place() -> None:
    defect = {"box": {"x": 10, "y": 20, "width": 30, "height": 40}, "area": 900, "peak": 0.9}
    kind = {"kind": "oil stain", "kind_number": 2, "kind_probability": 0.75}
    for defects, end in (([defect], "a.jpg  oil stain  30×40 at (10, 20)"), (None, "a.jpg  oil stain")):
        line = _line(Received(verdict(verdict="reject", reason="defect", score=0.75, defects=defects, **kind), 0, 0))
        assert line is not None
        assert line[-1] == end


def test_plain_lines_begin_with_the_names_of_the_columns_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _Lines()
    lines.show(Received(StateChange.model_construct(state="held", cause="no camera"), 0, 0), Books())
    lines.show(Received(verdict(part="a.jpg"), 2, 0), Books())
    lines.show(Received(verdict(verdict="unknown", reason="black", detail="dark", score=None), 0, 0), Books())
    assert capsys.readouterr().out.splitlines() == [
        "   seq  verdict     score         age  part  box, or reason of an unknown",
        "        held     no camera",
        "GAP: 2 verdicts missed",
        "     1  good       0.2500    10.00 ms  a.jpg",
        "     1  unknown              10.00 ms  a.jpg  black: dark",
    ]


def test_every_kind_of_source_is_listed_with_how_it_is_written_and_what_is_missing() -> None:
    rows = json.loads(ran("run", "--list-sources", "--json").stdout)
    lines = ran("run", "--list-sources").stdout.splitlines()
    assert [row["kind"] for row in rows] == list(KINDS)
    for row in rows:
        at = lines.index(", ".join(row["written"]))
        told = [row["about"], *(f"here: {one['source']}  {one['description']}" for one in row["here"])]
        told += [f"missing: {row['missing']}"] if row["missing"] else []
        assert [line.strip() for line in lines[at + 1 : at + 1 + len(told)]] == told


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
