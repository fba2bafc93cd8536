"""Industrial cameras: a fake camera with the real GigE Vision protocol is opened, configured, killed and restarted."""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice, pairwise
from multiprocessing import Pipe

import numpy as np
import pytest
from support.fake_genicam import ADDRESS, SERIAL, fake_camera, is_possible, no_other_cameras
from support.line import ROOT, running_line, station_config

from edge.demo import clock
from edge.errors import SourceError
from edge.sources import CameraSettings, Capture, SourceRequest, open_source
from edge.sources.genicam import CAUSES, FrameCounter, GenicamSource, WallClock, available, claims
from edge.sources.pixel_formats import READABLE, to_bgr
from edge.station.capture.child import run_capture
from edge.station.capture.process import CaptureProcess
from edge.station.process.messages import GiveSlot, Opened, Stop, Waiting
from edge.verdict import Outcome, Reason, State


@pytest.fixture(autouse=True)
def _no_other_cameras() -> Iterator[None]:
    with no_other_cameras():
        yield


needs_aravis = pytest.mark.skipif(not is_possible(), reason="Aravis is not installed: apt install libaravis-0.8-0")
NAME = f"genicam:{ADDRESS}"
SMALL = (0, 0, 64, 48)


def opened(name: str = NAME, limit: int | None = None, rate: float | None = None, **settings: object) -> GenicamSource:
    request = SourceRequest(name, limit=limit, rate=rate, camera=CameraSettings(**settings))  # type: ignore[arg-type]
    source = open_source(request)
    assert isinstance(source, GenicamSource)
    return source


def taken(source: GenicamSource) -> list[Capture]:
    captures = [capture for capture in source.captures() if capture is not None]
    source.close()
    source.close()
    return captures


def pictures_of(captures: list[Capture]) -> list[Capture]:
    """The captures with a frame; on a busy machine packets are lost."""
    pictures = [capture for capture in captures if capture.frame is not None]
    assert pictures
    return pictures


def refusal(name: str = NAME, **settings: object) -> str:
    with pytest.raises(SourceError) as refused:
        opened(name, **settings)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---- with a camera


@needs_aravis
@pytest.mark.parametrize("name", ["genicam:", f"genicam:{SERIAL}", NAME])
def test_a_camera_is_opened_by_serial_by_address_or_as_the_only_one(name: str) -> None:
    with fake_camera():
        captures = taken(opened(name, limit=10, rate=100))
    assert [capture.index for capture in captures] == list(range(10))
    pictures = pictures_of(captures)
    frames = [picture.frame for picture in pictures if picture.frame is not None]
    assert {(f.shape, f.dtype.name, f.flags.c_contiguous) for f in frames} == {((512, 512, 3), "uint8", True)}
    assert len({int(p.counter or 0) - p.index for p in pictures}) == 1, "the camera counts as the source does"
    assert all(picture.details["device_ns"] for picture in pictures)


@needs_aravis
def test_a_fake_camera_says_that_it_is_one() -> None:
    with fake_camera():
        source = opened()
        assert (source.simulated, source.live, source.device, source.free_running) == (True, True, True, True)
        source.close()
        assert (f"genicam:{SERIAL}", f"Aravis Fake at {ADDRESS} (GigEVision)") in available()


@needs_aravis
def test_a_frame_is_stamped_after_it_was_asked_for_and_before_it_is_there() -> None:
    with fake_camera():
        source = opened(trigger="software", region=SMALL)
        captures = source.captures()
        assert next(captures) is None
        for _ in range(5):
            asked_ns = time.monotonic_ns()
            source.trigger()
            capture = next(capture for capture in captures if capture is not None)
            assert capture.captured_ns is not None
            assert asked_ns < capture.captured_ns < time.monotonic_ns()
        source.close()


@contextmanager
def clock_camera() -> Iterator[None]:
    """A fake camera whose pictures show their time of exposure."""
    camera = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.glass.gige", ADDRESS, SERIAL], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert camera.stdout is not None
        assert camera.stdout.readline()
        yield
    finally:
        camera.kill()
        camera.communicate()


@needs_aravis
def test_frames_that_waited_are_stamped_when_they_were_made_not_when_they_are_taken() -> None:
    with clock_camera():
        source = opened(rate=10, pixel_format="Mono8", region=(0, 0, 512, 64))
        captures = source.captures()
        next(captures)
        time.sleep(1)
        waited = pictures_of([capture for capture in islice(captures, 8) if capture is not None])
        source.close()
    late_us = []
    for capture in waited:
        shown_us, stamp_us = clock.read(capture.frame), (capture.captured_ns or 0) // 1000 % clock.MODULUS
        late_us.append(stamp_us - shown_us)
    assert min(late_us) > -1000, "none is older than it shows"
    assert statistics.median(late_us) < 250_000, "stamped when taken, they would be half a second late"


@needs_aravis
def test_region_exposure_gain_and_the_rest_are_read_back() -> None:
    asked = {"exposure_us": 5000.0, "gain_db": 3.0, "pixel_format": "BayerRG8", "region": (16, 32, 640, 480)}
    with fake_camera():
        source = opened(**asked, packet_size=1200, limit=4, rate=50)
        assert source.settings == CameraSettings(**asked, packet_size=1200, trigger="off")  # type: ignore[arg-type]
        assert source.remarks == ()
        assert source.shape == (480, 640)
        assert {picture.frame.shape for picture in pictures_of(taken(source))} == {(480, 640, 3)}  # type: ignore[union-attr]
        kept = opened()
        assert kept.settings == source.settings, "what is not asked for stays as it is"
        kept.close()


@needs_aravis
def test_a_rate_does_not_switch_the_trigger_off() -> None:
    with fake_camera():
        source = opened(trigger="software", rate=100)
        assert (source.settings.trigger, source.free_running, source.exposes_when_told) == ("Software", False, True)
        source.close()


@needs_aravis
def test_a_setting_that_the_camera_changes_is_remarked() -> None:
    with fake_camera():
        source = opened(exposure_us=10.6)
        source.close()
    assert source.remarks == (f"{NAME}: exposure_us 10.6 was asked for, the camera took 10.0",)


@needs_aravis
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"exposure_us": 1.0}, r"exposure_us 1: this camera takes 10 to 1e\+07"),
        ({"gain_db": 99.0}, "gain_db 99: this camera takes 0 to 10"),
        ({"region": (2000, 0, 100, 100)}, "region 2000,0,100,100: the sensor has 2048×2048 pixels"),
        ({"region": (0, 0, 0, 100)}, "region 0,0,0,100: the sensor has"),
        (
            {"pixel_format": "Mono16"},
            "pixel format Mono16 is not .* BayerBG8, BayerGB8, BayerGR8, BayerRG8, Mono8, RGB8",
        ),
        ({"trigger": "line7"}, "trigger line7: this camera has Line0, Software, or off"),
        ({"rate": 1e6}, "rate 1e\\+06: this camera takes"),
    ],
)
def test_a_setting_that_the_camera_refuses_is_one_line(settings: dict[str, object], complaint: str) -> None:
    import re

    with fake_camera():
        assert re.search(f"^{NAME}: .*{complaint}", refusal(**settings))


@needs_aravis
def test_every_pixel_format_that_is_read_comes_through() -> None:
    with fake_camera():
        for pixel_format in ("Mono8", "BayerRG8", "BayerGB8", "BayerGR8", "BayerBG8", "RGB8"):
            source = opened(pixel_format=pixel_format, region=SMALL, limit=4, rate=100)
            assert source.settings.pixel_format == pixel_format
            frame = pictures_of(taken(source))[0].frame
            assert frame is not None
            assert frame.shape == (48, 64, 3)
            assert (frame[..., 0] == frame[..., 2]).all() == (pixel_format == "Mono8")


@needs_aravis
def test_with_five_percent_of_packets_lost_no_incomplete_frame_is_a_picture_and_each_is_accounted_for() -> None:
    with fake_camera(loss=0.05):
        source = opened(limit=400, rate=200, region=(0, 0, 128, 96), pixel_format="Mono8")
        captures = taken(source)
    pictures = [capture for capture in captures if capture.frame is not None]
    faults = [capture.fault for capture in captures if capture.fault is not None]
    assert len(captures) == len(pictures) + len(faults) == 400
    assert [capture.index for capture in captures] == list(range(400))
    assert all(fault.reason is Reason.CAMERA for fault in faults)
    told_together = sum(int(f.detail.split()[0]) - 1 for f in faults if f.detail.endswith("frames never came"))
    assert len(faults) + told_together == source.incomplete + source.lost
    assert 100 < len(faults) < 300, "of 12 packets a frame, each lost with 5 %"
    first, last = pictures[0].counter, pictures[-1].counter
    assert first is not None
    assert last is not None
    counted = pictures[-1].index - pictures[0].index + told_together
    assert last - first == counted, "as many captures as the camera counted exposures, unless many were lost in a row"
    for picture in pictures:
        assert picture.frame is not None
        steps = np.diff(picture.frame[:, :, 0].astype(int), axis=1) % 255
        assert set(np.unique(steps)) == {1}, "the test pattern is whole"


@needs_aravis
def test_a_trigger_that_never_comes_is_waited_for_and_the_source_says_so() -> None:
    with fake_camera():
        source = opened(trigger="line0")
        assert not source.free_running
        captures = source.captures()
        began = time.monotonic()
        assert [next(captures) for _ in range(12)] == [None] * 12
        assert time.monotonic() - began > 1, "it sleeps meanwhile"
        source.close()


@needs_aravis
def test_a_camera_that_is_lost_while_it_waits_for_a_trigger_is_an_error() -> None:
    with fake_camera() as camera:
        captures = opened(trigger="line0").captures()
        next(captures)
        camera.off()
        with pytest.raises(SourceError, match=f"{NAME} does not answer any more"):
            list(captures)


@needs_aravis
def test_a_camera_that_another_program_controls_is_not_opened() -> None:
    with fake_camera():
        source = opened()
        for name in (NAME, f"genicam:{SERIAL}", "genicam:"):
            assert refusal(name).startswith(f"{name} does not open: another program controls it; end that program")
        source.close()
        opened().close()


@needs_aravis
def test_a_closed_camera_gives_no_more_frames() -> None:
    with fake_camera():
        source = opened()
        captures = source.captures()
        next(captures)
        source.close()
        with pytest.raises(SourceError, match="it is closed"):
            list(captures)


@needs_aravis
def test_a_wrong_serial_is_named_with_what_is_there() -> None:
    with fake_camera():
        there = f"cameras that answer: genicam:{SERIAL} ({ADDRESS}); check its power and cable"
        assert refusal("genicam:4711").startswith(f"genicam:4711 does not answer; {there}")
        absent = "genicam:127.0.0.77 does not open: Can't connect to device at address '127.0.0.77'"
        assert refusal("genicam:127.0.0.77").startswith(f"{absent}; {there}")


@needs_aravis
def test_a_lost_camera_that_does_not_open_costs_no_search_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.sources.genicam.discover", lambda: pytest.fail("it searches"))
    with pytest.raises(SourceError, match=r"does not open: Can't connect to device at address '127\.0\.0\.77'$"):
        open_source(SourceRequest("genicam:127.0.0.77", is_lost=True))


@needs_aravis
@pytest.mark.skipif(os.geteuid() != 0, reason="a second camera needs a second address: root only")
def test_of_several_cameras_none_is_guessed() -> None:
    second = "127.0.0.2"
    if subprocess.run(["ip", "address", "add", f"{second}/8", "dev", "lo"], capture_output=True).returncode:
        pytest.skip("no second address can be given to the loopback interface")
    try:
        with fake_camera(), fake_camera(address=second, serial="Second"):
            said = refusal("genicam:")
            opened("genicam:Second").close()
    finally:
        subprocess.run(["ip", "address", "delete", f"{second}/8", "dev", "lo"], check=True)
    assert "may be one of several cameras; name one: " in said
    assert f"genicam:{SERIAL} ({ADDRESS})" in said
    assert f"genicam:Second ({second})" in said


# ---- in a station


@needs_aravis
def test_in_a_station_no_exposure_is_skipped_and_a_power_failure_holds_the_line_until_the_camera_is_back() -> None:
    with fake_camera(loss=0.002) as camera, running_line("--source", NAME, "--policy", "every") as line:
        line.until(40)
        camera.off()
        line.until_state(State.HELD)
        held = len(line.verdicts)
        camera.on()
        line.until_state(State.EXECUTING)
        line.until(held + 5)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert any(beat.state is State.HELD and beat.cause.startswith("camera") for beat in line.heartbeats if beat.cause)
    result = json.loads(line.stdout)
    assert [v.seq for v in line.verdicts] == list(range(1, result["accepted"] + 1))
    shown = [int(v.part.removeprefix("frame ")) for v in line.verdicts]
    gaps = [(a, b) for a, b in pairwise(shown) if b != a + 1]
    assert [a for a, _ in gaps] == [shown[held - 1]], "only what came before the camera had shown that it is well"
    assert gaps[0][1] - gaps[0][0] > 3, "three good frames"
    assert len(shown) + result["dropped"] == shown[-1] + 1, "each exposure has its verdict or is counted as dropped"
    incomplete = [v for v in line.verdicts if v.detail and "incomplete" in v.detail]
    assert incomplete, "of 190 packets a frame two in a thousand are lost"
    assert {(v.verdict, v.reason, v.score) for v in incomplete} == {(Outcome.UNKNOWN, Reason.CAMERA, None)}
    assert any(v.verdict is not Outcome.UNKNOWN for v in line.verdicts)


@needs_aravis
def test_in_a_station_that_loses_packets_no_incomplete_frame_is_scored_and_each_is_accounted_for() -> None:
    benchmark = [sys.executable, "-m", "benchmarks.cameras", "--only", "loss", "--frames", "100", "--json"]
    done = subprocess.run(benchmark, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["trials"]["loss"]
    assert found["verdicts"] >= 100
    assert found["incomplete"] > 20, "of nine packets a frame, each lost with 5 %"
    assert found["scored"] > 20
    assert found["incomplete_and_scored"] == found["unexplained"] == found["misnamed"] == 0


@needs_aravis
def test_while_no_trigger_comes_the_capture_child_says_that_it_lives_and_it_leaves_when_told() -> None:
    ours, theirs = Pipe()
    request = SourceRequest(NAME, camera=CameraSettings(trigger="line0"))
    child = threading.Thread(target=run_capture, args=(theirs, request, None, None, 1000.0), daemon=True)
    with fake_camera():
        child.start()
        hello = ours.recv()
        assert isinstance(hello, Opened)
        assert (hello.policy, hello.device, hello.free_running) == ("every", True, False)
        ours.send(GiveSlot(0, "none", 1))
        for _ in range(10):
            assert ours.poll(5)
            assert ours.recv() == Waiting()
        ours.send(Stop())
        child.join(10)
        assert not child.is_alive()
        opened().close()


@pytest.mark.parametrize("is_device", [True, False])
def test_a_device_is_opened_for_ever_and_what_is_stored_three_times(is_device: bool) -> None:
    intake = CaptureProcess(station_config(NAME))
    intake.opened = Opened("test", None, None, True, False, False, "every", is_device)
    with nullcontext() if is_device else pytest.raises(SourceError, match="cannot be opened"):
        for _ in range(10):
            list(intake._lose("it does not answer"))


# ---- without a camera


@needs_aravis
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("genicam:", "genicam: no camera answers here; check its power and cable"),
        ("genicam:4711", "genicam:4711 does not answer; no other camera answers; "),
        ("genicam:127.0.0.77", "genicam:127.0.0.77 does not open: Can't connect"),
    ],
)
def test_a_camera_that_is_absent_is_one_line_with_the_usual_causes(
    name: str, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    said = refusal(name)
    assert said.startswith(complaint)
    assert said.endswith(CAUSES)
    assert capfd.readouterr() == ("", "")


def test_without_aravis_the_refusal_says_what_to_install() -> None:
    code = (
        "import edge.sources.aravis as aravis\naravis.LIBRARIES = ('libnothing.so',)\n"
        "from edge.sources import SourceRequest, list_sources, open_source\n"
        "(listed,) = [one for one in list_sources() if one.kind == 'genicam']\n"
        "print(listed.missing)\n"
        "try: open_source(SourceRequest('genicam:'))\nexcept Exception as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = "needs Aravis 0.8, which is not installed here; on Debian and Ubuntu: apt install libaravis-0.8-0"
    assert (said.stdout.splitlines(), said.stderr) == ([expected, f"genicam: {expected}"], "")


def test_names_of_other_sources_are_not_claimed_and_load_no_library() -> None:
    code = (
        "from edge.sources import open_source, SourceRequest\nopen_source(SourceRequest('demo')).close()\n"
        "import edge.sources.aravis as a, edge.sources.genicam as g\nassert not g.claims('camera0')\n"
        "assert a.library.cache_info().currsize == 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert claims("genicam:")
    assert not claims("genicam")


# ---- numbers, clocks, pixels


def test_a_counter_that_begins_again_goes_on_and_misses_nothing() -> None:
    counter = FrameCounter()
    taken = [counter.take(number) for number in (65533, 65534, 65535, 1, 2, 5)]
    assert taken == [(65533, 0), (65534, 0), (65535, 0), (65536, 0), (65537, 0), (65540, 2)]


def test_a_frame_whose_number_is_unknown_is_not_missing() -> None:
    counter = FrameCounter()
    counter.take(10)
    counter.pass_over()
    assert counter.take(13) == (13, 1)
    assert counter.take(14) == (14, 0)


@pytest.mark.parametrize(("first", "second"), [(10, 10), (10, 4), (70_000, 1)])
def test_a_counter_that_stands_still_or_goes_back_shows(first: int, second: int) -> None:
    counter = FrameCounter()
    counter.take(first)
    number, lost = counter.take(second)
    assert number <= first
    assert lost == 0


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_never_makes_a_frame_younger(step_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    clock = WallClock()
    stamped_wall, stamped = real(), time.monotonic_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real() + step_s * 10**9)
    assert clock.monotonic(stamped_wall) < stamped + 10**6
    later_wall, later = time.time_ns(), time.monotonic_ns()
    assert abs(clock.monotonic(later_wall) - later) < 10**8, "after that the new clock is known"


def mosaic(name: str, blue: int, green: int, red: int) -> np.ndarray:
    """The raw picture of a plain colour with this Bayer pattern, named after the first two pixels of the first row."""
    value = {"R": red, "G": green, "B": blue}
    first, second = name[5], name[6]
    other = "B" if "R" in (first, second) else "R"
    rows = [(first, second), (other, "G") if first == "G" else ("G", other)]
    return np.tile(np.array([[value[c] for c in row] for row in rows], np.uint8), (8, 8))


@pytest.mark.parametrize("name", ["BayerRG8", "BayerGB8", "BayerGR8", "BayerBG8"])
def test_a_colour_comes_through_each_bayer_pattern(name: str) -> None:
    frame = to_bgr(memoryview(mosaic(name, 30, 90, 200).tobytes()), READABLE[name], 16, 16)
    assert frame[8, 8].tolist() == [30, 90, 200]


def test_rgb_and_bgr_come_through_as_bgr() -> None:
    colour = memoryview(bytes([1, 2, 3] * 4))
    assert to_bgr(colour, READABLE["RGB8"], 2, 2)[0, 0].tolist() == [3, 2, 1]
    assert to_bgr(colour, READABLE["BGR8"], 2, 2)[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("name", sorted(READABLE))
def test_each_format_is_put_where_there_is_room_for_it(name: str) -> None:
    raw, room = memoryview(np.random.default_rng(0).bytes(16 * 16 * 3)), np.zeros((16, 16, 3), np.uint8)
    own, lent = (to_bgr(raw, READABLE[name], 16, 16, place) for place in (None, room))
    assert lent.ctypes.data == room.ctypes.data
    assert np.array_equal(own, room)


@pytest.mark.parametrize(("name", "most"), [("Mono10", 1023), ("Mono12", 4095)])
def test_ten_and_twelve_bits_become_eight(name: str, most: int) -> None:
    raw = np.array([[0, most // 2, most]], "<u2")
    assert to_bgr(memoryview(raw.tobytes()), READABLE[name], 1, 3)[0, :, 0].tolist() == [0, 127, 255]


def test_a_short_buffer_or_another_format_is_no_picture() -> None:
    with pytest.raises(ValueError, match="buffer"):
        to_bgr(memoryview(bytes(10)), READABLE["Mono8"], 4, 4)
    with pytest.raises(ValueError, match="0x01080099 is not read"):
        to_bgr(memoryview(bytes(16)), 0x01080099, 4, 4)
