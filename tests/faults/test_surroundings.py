"""The environment of a running station changes or disappears: files, bundle, terminal, cache."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import cv2
import pytest
from support.line import DEMO_BUNDLE, command, free_endpoint, running_line

from edge.bundle import load_bundle, seal
from edge.channel.subscriber import Subscriber
from edge.demo.line import DemoLine
from edge.verdict import Heartbeat, Outcome, State, Verdict


def photographs(folder: Path, names: list[bytes]) -> Path:
    """Write pictures of the demo line with these names."""
    folder.mkdir()
    line = DemoLine(size=(180, 320))
    for index, name in enumerate(names):
        done, data = cv2.imencode(".png", line.render(index).frame)
        assert done
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data.tobytes())
    return folder


def test_a_bundle_put_in_place_of_the_running_one_is_never_run(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "part.edge"))
    manifest = load_bundle(bundle).manifest
    with running_line("--source", "demo", "--size", "320x180", bundle=bundle) as line:
        line.until(5)
        seal(bundle, manifest.model_copy(update={"description": "another one"}))
        os.kill(line.child("edge-inference"), signal.SIGKILL)
        for message in line._receive():
            if isinstance(message, Heartbeat) and message.cause and "another bundle lies there" in message.cause:
                assert message.state is State.HELD
                assert not message.ready
                break
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0
    assert json.loads(line.stdout)["in_flight"] == 0


def test_file_names_that_are_no_text_cost_no_verdict(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "pictures", [b"a.png", b"b\xff.png", b"c\x1b[2J\n.png", "ü €.png".encode()])
    with running_line("--source", folder) as line:
        assert line.to_the_end() == 0
    assert [v.part for v in line.verdicts] == ["a.png", "b\\xff.png", "c\\x1b[2J\\n.png", "ü €.png"]
    assert not any(v.verdict is Outcome.UNKNOWN for v in line.verdicts)


def test_a_folder_that_goes_away_ends_the_run_and_makes_no_parts_up(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "pictures", [f"{i:03}.png".encode() for i in range(60)])
    with running_line("--source", folder, "--rate", "20/s") as line:
        line.until(5)
        shutil.rmtree(folder)
        os.kill(line.child("edge-capture"), signal.SIGKILL)
        assert line.to_the_end() in (0, 2)
    assert {v.part for v in line.verdicts} <= {f"{i:03}.png" for i in range(60)}


def test_a_closed_standard_error_does_not_end_the_line() -> None:
    endpoint = free_endpoint()
    subscriber = Subscriber(endpoint, "line1")
    read, write = os.pipe()
    process = subprocess.Popen(
        command("run", "--bundle", DEMO_BUNDLE, "--bind", endpoint, "--source", "demo", "--size", "320x180",
                "--limit", 60, "--wait-subscribers", 1, "--budget-ms", 20_000, "--json"),
        stdout=subprocess.PIPE, stderr=write,
    )  # fmt: skip
    os.close(write)
    os.close(read)
    try:
        verdicts = [r.message for r in subscriber.messages(5) if isinstance(r.message, Verdict)]
        out, _ = process.communicate(timeout=20)
    finally:
        subscriber.close()
        process.kill()
    assert process.returncode == 0
    assert len(verdicts) == json.loads(out)["accepted"] == 60


@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_a_station_starts_without_a_cache(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CACHE", "/proc/nowhere")
    with running_line("--source", "demo", "--size", "320x180", "--limit", 3, "--backend", backend) as line:
        assert line.to_the_end() == 0
    assert len(line.verdicts) == 3


def test_a_listener_notices_that_a_station_fell_silent() -> None:
    endpoint = free_endpoint()
    listener = subprocess.Popen(
        command("listen", "--connect", endpoint, "--wait-s", 3),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    station = subprocess.Popen(
        command("run", "--bundle", DEMO_BUNDLE, "--bind", endpoint, "--source", "demo", "--size", "320x180"),
        stderr=subprocess.DEVNULL,
    )
    assert listener.stdout is not None
    for line in listener.stdout:
        if "good" in line:
            break
    station.kill()
    _, complaint = listener.communicate(timeout=30)
    station.wait()
    assert "SILENT" in complaint
    assert listener.returncode == 1


def test_a_pipe_among_the_pictures_is_unknown_and_stalls_nothing(tmp_path: Path) -> None:
    folder = photographs(tmp_path / "pictures", [b"a.png", b"c.png"])
    os.mkfifo(folder / "b.png")
    with running_line("--source", folder) as line:
        assert line.to_the_end() == 1, "a file could not be judged"
    assert [(v.part, v.verdict is Outcome.UNKNOWN) for v in line.verdicts] == [
        ("a.png", False), ("b.png", True), ("c.png", False),
    ]  # fmt: skip
    assert json.loads(line.stdout)["restarts"] == 0
