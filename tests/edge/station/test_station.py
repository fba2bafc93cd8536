"""A running line in its own processes: the messages that a subscriber receives."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import DEMO_BUNDLE, Line, command, free_endpoint, running_line

from edge.bundle import MANIFEST, MANIFEST_HASH, MapThreshold, load_bundle, seal
from edge.channel.subscriber import Subscriber
from edge.demo.line import DemoLine
from edge.errors import SourceError
from edge.station.process.ring import Ring
from edge.verdict import Outcome, Reason, State, StateChange, Verdict


def assert_balanced(line: Line, accepted: int | None = None) -> None:
    """Check that each accepted part has one verdict, without a gap, by the counts of the subscriber and the station."""
    assert [v.seq for v in line.verdicts] == list(range(1, len(line.verdicts) + 1))
    result = json.loads(line.stdout.splitlines()[-1])
    assert result["accepted"] == len(line.verdicts) == result["good"] + result["reject"] + result["unknown"]
    assert result["in_flight"] == 0
    if accepted is not None:
        assert result["accepted"] == accepted


def shared_memory_of(*pids: int) -> set[str]:
    """Names of the shared memory that these processes have mapped, in /dev/shm or without a file."""
    maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
    return set(re.findall(r"(?:/dev/shm/|/memfd:)(\S+)", maps))


def test_a_finite_line_ends_by_itself_with_one_verdict_for_each_part() -> None:
    with running_line("--source", "demo", "--limit", 40, "--size", "640x360") as line:
        assert line.to_the_end() == 0
    assert_balanced(line, 40)
    assert all(v.simulated and v.truth for v in line.verdicts)
    assert len({v.part for v in line.verdicts}) == 40
    assert {v.verdict for v in line.verdicts} == {Outcome.GOOD, Outcome.REJECT}


def put(frame: np.ndarray, path: Path) -> None:
    """Put a picture into a folder like a program that renames the complete file into place."""
    new = path.with_name(f".{path.name}")
    new.write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    new.rename(path)


def test_a_picture_that_there_is_no_memory_for_is_unknown_and_the_station_goes_on(tmp_path: Path) -> None:
    small, large = (np.tile(np.uint8([80, 100]), (height, width // 2)) for height, width in ((180, 320), (2000, 3000)))
    put(small, tmp_path / "1.png")
    with running_line("--source", tmp_path, "--watch", "--limit", 4) as line:
        line.until(1)
        resource.prlimit(line.process.pid, resource.RLIMIT_FSIZE, (2**20, 2**20))  # limits the station's shared memory
        for name, frame in (("2.png", large), ("3.png", small), ("4.png", large)):
            put(frame, tmp_path / name)
            line.until(1)
        assert line.to_the_end() == 0
    assert_balanced(line, 4)
    assert [v.part for v in line.verdicts] == ["1.png", "2.png", "3.png", "4.png"]
    assert [v.reason for v in line.verdicts][1::2] == [Reason.OVERLOAD] * 2
    assert all(v.verdict is not Outcome.UNKNOWN for v in line.verdicts[::2])
    assert "no memory for a frame of 17 MiB (File too large)" in str(line.verdicts[1].detail)
    assert json.loads(line.stdout)["restarts"] == 0


def test_frames_that_no_memory_is_there_for_at_the_start_are_refused_in_one_line() -> None:
    run = command("run", "--source", "demo", "--no-records", "--bind", free_endpoint())
    ended = subprocess.run(["prlimit", "--fsize=1048576", *run], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "no memory for a frame of 3 MiB" in ended.stderr


def test_memory_that_other_processes_need_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  16000 kB\nMemAvailable:    1000 kB\n")
    monkeypatch.setattr("edge.machine.MEMORY", tmp_path / "meminfo")
    ring = Ring(2, 1000 * 1024)
    name = ring.name(0)
    with pytest.raises(SourceError, match="too little is free"):
        ring.enlarge(0, 1000 * 1024 + 1)
    assert (ring.name(0), ring.capacity(0)) == (name, 1000 * 1024), "it is as it was"
    ring.close()


def test_memory_beyond_the_limit_of_a_container_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in listed if line.startswith("0::")), None)
    if own is None:
        pytest.skip("this system has no control groups of version 2")
    group = tmp_path / own.strip("/")
    group.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("edge.machine.CONTAINER", tmp_path)
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.max").write_text("max\n")
    Ring(1, 2_000_000).close()
    (group / "memory.max").write_text("2000000\n")
    with pytest.raises(SourceError, match="too little is free"):
        Ring(1, 2_000_000)


def telling(folder: Path, map_threshold: float | None) -> Path:
    """A copy of the demonstration bundle with this map threshold."""
    copy = Path(shutil.copytree(DEMO_BUNDLE, folder / "telling.edge"))
    manifest = load_bundle(copy).manifest
    for name in (MANIFEST, MANIFEST_HASH):
        (copy / name).unlink()
    chosen = None
    if map_threshold is not None:
        chosen = MapThreshold(value=map_threshold, strategy="given", artifact="openvino", data="none", dice=None)
    seal(copy, manifest.model_copy(update={"map_threshold": chosen}))
    return copy


def test_a_reject_says_where_its_defects_are_and_a_good_part_says_nothing(tmp_path: Path) -> None:
    with running_line("--source", "demo", "--limit", 20, bundle=telling(tmp_path, 0.5)) as line:
        assert line.to_the_end() == 0
    assert_balanced(line, 20)
    rejects = [v for v in line.verdicts if v.verdict is Outcome.REJECT]
    assert rejects
    assert all(v.defects is None for v in line.verdicts if v.verdict is not Outcome.REJECT)
    demo = DemoLine(0, (720, 1280))
    for verdict in rejects:
        assert verdict.defects
        truth = demo.mask(verdict.seq - 1)
        assert any(truth[d.box.y :, d.box.x :][: d.box.height, : d.box.width].any() for d in verdict.defects)


def test_a_bundle_that_cannot_tell_where_says_so(tmp_path: Path) -> None:
    with running_line("--source", "demo", "--limit", 10, bundle=telling(tmp_path, None)) as line:
        assert line.to_the_end() == 0
    assert_balanced(line, 10)
    assert all(v.defects is None for v in line.verdicts)


def test_moments_of_a_part_are_in_order_and_its_age_is_theirs() -> None:
    with running_line("--source", "demo", "--limit", 5, "--size", "320x180", "--rate", "20/s") as line:
        line.to_the_end()
    for verdict in line.verdicts:
        t = verdict.timing
        assert t.in_ring is not None
        assert t.inference_start is not None
        assert t.inference_end is not None
        assert t.captured <= t.in_ring <= t.inference_start <= t.inference_end <= t.published
        assert verdict.age_ms == pytest.approx((t.published - t.captured) / 1e6)


def test_heartbeats_carry_the_ledger_and_the_lease() -> None:
    with running_line("--source", "demo", "--limit", 30, "--size", "320x180", "--rate", "20/s") as line:
        line.to_the_end()
    assert isinstance(line.received[-1].message, StateChange), "the last word of an epoch"
    beats = line.heartbeats
    assert len(beats) > 5
    assert beats[-1].state is State.STOPPED
    assert not beats[-1].ready
    assert any(b.ready and b.valid_ms == 300 for b in beats)
    assert beats[-1].ledger.accepted == beats[-1].last_seq == 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_line_in_order(number: signal.Signals) -> None:
    with running_line("--source", "demo", "--size", "640x360") as line:
        line.until(10)
        children = [line.child("edge-capture"), line.child("edge-inference")]
        line.process.send_signal(number)
        assert line.to_the_end() == 0
    assert_balanced(line)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_starting_ends_the_line_too(number: signal.Signals) -> None:
    with running_line("--source", "demo") as line:
        line.until_state(State.PREOPERATIONAL)
        line.process.send_signal(number)
        assert line.to_the_end() == 0


@pytest.mark.parametrize("at_once", [False, True], ids=["the station", "its whole process group"])
def test_children_and_memory_go_when_the_station_is_killed(at_once: bool) -> None:
    with running_line("--source", "demo", "--size", "320x180") as line:
        line.until(5)
        memory = shared_memory_of(line.child("edge-capture"), line.child("edge-inference"))
        children = Path(f"/proc/{line.process.pid}/task/{line.process.pid}/children").read_text().split()
        if at_once:
            os.killpg(line.process.pid, signal.SIGKILL)
        else:
            line.process.kill()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert memory, "both children have the frames in shared memory"
    assert not memory & set(os.listdir("/dev/shm")), "nothing is left behind"


def test_pictures_of_any_size_pass_and_a_file_that_is_none_is_unknown(tmp_path: Path) -> None:
    for i, (height, width) in enumerate([(40, 50), (900, 1400), (16, 16), (15, 400)]):
        picture = cv2.resize(cv2.imread(str(sample(tmp_path))), (width, height))
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    (tmp_path / "1a.jpg").write_text("this is no picture")
    (tmp_path / "mask").mkdir()
    shutil.copy(tmp_path / "0.png", tmp_path / "mask" / "0.png")
    with running_line("--source", tmp_path) as line:
        assert line.to_the_end() == 1, "two files could not be judged"
    assert_balanced(line, 5)
    assert [v.part for v in line.verdicts] == ["0.png", "1.png", "1a.jpg", "2.png", "3.png"]
    unknown = {v.part: v.reason for v in line.verdicts if v.verdict is Outcome.UNKNOWN}
    assert unknown == {"1a.jpg": Reason.CORRUPT, "3.png": Reason.CORRUPT}, (
        "no picture, and one too narrow to show a part"
    )


def sample(folder: Path) -> Path:
    from edge.demo.line import DemoLine

    path = folder.parent / "sample.png"
    cv2.imwrite(str(path), DemoLine(size=(360, 640)).render(0).frame)
    return path


WAITING = {
    "a stored source": 'source = "demo"\nsize = "320x180"\nlimit = 20\n',
    "a paced line": 'source = "demo"\nsize = "320x180"\nlimit = 20\nrate = "50/s"\n',
    "a moving belt": 'source = "belt"\nsize = "320x180"\nlimit = 60\nrate = "60/s"\n'
    'trigger = "presence"\nbelt = { speed = 3 }\n',
}


@pytest.mark.parametrize("text", WAITING.values(), ids=WAITING.keys())
def test_a_source_that_can_wait_begins_when_the_subscribers_are_there_and_loses_nothing(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "station.toml"
    file.write_text(text)
    with running_line("--config", file, "--wait-subscribers", 2) as line:
        line.until_state(State.READY)
        waited = len(line.heartbeats) + 15  # longer than the source lasts
        for message in line._receive():
            assert not isinstance(message, Verdict)
            if len(line.heartbeats) >= waited:
                break
        assert line.heartbeats[-1].cause == "waiting for 2 subscribers"
        assert line.heartbeats[-1].ledger.accepted == 0
        second = Subscriber(line.endpoint, "line1")
        assert line.to_the_end() == 0
        second.close()
    assert_balanced(line)
    assert len(line.verdicts) == 20 or "belt" in text
    assert line.verdicts
    assert json.loads(line.stdout)["dropped"] == 0


def test_a_free_running_source_under_the_latest_policy_counts_what_it_passes_over() -> None:
    options = ("--policy", "latest", "--rate", "1000/s", "--limit", 400, "--threads", 1)
    with running_line("--source", "replay", *options) as line:
        assert line.to_the_end() == 0
    assert_balanced(line)
    result = json.loads(line.stdout)
    assert result["dropped"] > 0
    assert result["accepted"] + result["dropped"] == 400


def test_more_parts_than_the_model_can_judge_are_unknown_and_never_lost() -> None:
    options = ("--rate", "2000/s", "--limit", 500, "--threads", 1, "--budget-ms", 20)
    with running_line("--source", "replay", *options) as line:
        assert line.to_the_end() == 0
    assert_balanced(line, 500)
    assert {v.reason for v in line.verdicts if v.verdict is Outcome.UNKNOWN} <= {
        Reason.OVERLOAD,
        Reason.LATE,
        Reason.STALE,
    }
    assert json.loads(line.stdout)["unknown"] > 0
    assert all(v.age_ms <= 20 for v in line.verdicts if v.verdict is not Outcome.UNKNOWN)


def test_a_video_gives_the_verdicts_of_its_frames(tmp_path: Path) -> None:
    from edge.demo.line import DemoLine

    line_ = DemoLine(size=(360, 640))
    video = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (640, 360))
    for i in range(12):
        video.write(line_.render(i).frame)
    video.release()
    with running_line("--source", tmp_path / "line.avi") as line:
        assert line.to_the_end() == 0
    assert_balanced(line, 12)
