"""Cameras of the system's driver: names, settings, and age of frames: an old frame is never returned as new.

The camera is a fake of cv2.VideoCapture; all other code is that of the product.
"""

import os
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.fake_video_capture import MS, Clock, FakeVideoCapture

from edge.errors import SourceError
from edge.sources import CameraSettings, Capture, SourceRequest, open_source
from edge.sources import camera as camera_source
from edge.sources.camera import CameraSource
from edge.sources.freshness import Freshness
from edge.verdict import Reason


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Simulated time."""
    clock = Clock()
    monkeypatch.setattr(FakeVideoCapture, "clock", clock)
    monkeypatch.setattr(camera_source, "time", clock)
    return clock


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Path:
    """A folder that replaces /dev: a camera at video2 with a metadata node and links by its id and its socket, one at
    video5 with a link by its socket, and one at video10 with a second node and no link.
    """
    folder, drivers = tmp_path / "dev", tmp_path / "sys"
    links = {
        "by-id/usb-Acme_Eye_42-video-index0": "video2",
        "by-id/usb-Acme_Eye_42-video-index1": "video3",
        "by-path/pci-1-video-index0": "video2",
        "by-path/pci-1-video-index1": "video3",
        "by-path/pci-2-video-index0": "video5",
    }
    for number in (2, 3, 5, 10, 11):
        (folder / f"video{number}").parent.mkdir(exist_ok=True)
        (folder / f"video{number}").touch()
    for name, node in links.items():
        (folder / "v4l" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "v4l" / name).symlink_to(folder / node)
    for node, index in (("video10", 0), ("video11", 1)):
        (drivers / node).mkdir(parents=True)
        (drivers / node / "index").write_text(f"{index}\n")
        (drivers / node / "name").write_text("Acme Ear\n")
    monkeypatch.setattr(camera_source, "DEVICES", folder)
    monkeypatch.setattr(camera_source, "DRIVER_NAMES", drivers)
    monkeypatch.setattr(cv2, "VideoCapture", FakeVideoCapture)
    return folder


def opened(name: str = "camera0", **options: object) -> tuple[CameraSource, FakeVideoCapture]:
    source = open_source(SourceRequest(name, **options))  # type: ignore[arg-type]
    assert isinstance(source, CameraSource)
    fake = source._camera
    assert isinstance(fake, FakeVideoCapture)
    return source, fake


def exposure(capture: Capture) -> int:
    """Number of the exposure that a frame shows."""
    assert capture.frame is not None
    return round(int(capture.frame[0, 0, 0]) * 219 / 255)  # of YUYV


def refusal(name: str = "camera0", **options: object) -> str:
    with pytest.raises(SourceError) as refused:
        open_source(SourceRequest(name, **options))  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---- names


@pytest.mark.parametrize(
    ("name", "node", "lasting"),
    [
        ("camera0", "video2", "v4l/by-id/usb-Acme_Eye_42-video-index0"),
        ("camera1", "video5", "v4l/by-path/pci-2-video-index0"),
        ("camera2", "video10", None),
    ],
)
def test_a_number_counts_the_cameras_that_give_pictures_and_says_which_it_means(
    devices: Path, name: str, node: str, lasting: str | None
) -> None:
    source, fake = opened(name)
    assert fake.device == str(devices / node)
    assert fake.api == cv2.CAP_V4L2
    said = f"{devices / lasting} ({devices / node})" if lasting else str(devices / node)
    assert source.remarks == (f"{name}: is {said}",)
    assert source.lasting_name == str(devices / (lasting or node))


def test_when_the_first_camera_is_gone_its_lasting_name_does_not_mean_the_second(devices: Path) -> None:
    first = opened("camera0")[0].lasting_name
    for gone in ("video2", "video3"):
        (devices / gone).unlink()
    assert opened("camera0")[1].device == str(devices / "video5"), "a number counts what is there"
    with pytest.raises(SourceError, match=f"no camera {first}: it does not exist; here are: "):
        camera_source._device(first)


def test_cameras_are_listed_once_by_their_lasting_names_with_their_numbers(devices: Path) -> None:
    assert camera_source.available() == [
        (f"{devices}/v4l/by-id/usb-Acme_Eye_42-video-index0", f"camera0, without a name at {devices}/video2"),
        (f"{devices}/v4l/by-path/pci-2-video-index0", f"camera1, without a name at {devices}/video5"),
        (f"{devices}/video10", f"camera2, Acme Ear at {devices}/video10"),
    ]


def test_what_a_camera_lacks_is_said_with_the_remedy(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert camera_source.missing(False) == "no camera is connected"
    assert camera_source.missing(True) is None
    monkeypatch.setattr(camera_source, "_may_open", lambda device: device.node.name != "video5")
    assert camera_source.missing(True) == f"no permission to open {devices}/video5; add this user to the group video"


def test_a_missing_camera_is_named_with_what_is_there(devices: Path) -> None:
    said = refusal("camera7")
    assert said.startswith("no camera camera7: there are 3 cameras, counted from camera0; here are: ")
    assert "usb-Acme_Eye_42-video-index0" in said


@pytest.mark.skipif(os.path.exists("/dev/video0"), reason="a camera is connected")
@pytest.mark.parametrize("name", ["camera0", "/dev/video0", "/dev/v4l/by-id/usb-Nothing-video-index0"])
def test_a_camera_on_a_machine_without_one_is_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert refusal(name).startswith(f"no camera {name}: ")
    assert refusal(name).endswith("connect one, or try --source demo")
    assert capfd.readouterr() == ("", "")


# ---- settings


def test_format_size_and_rate_are_asked_for_in_that_order_and_nothing_is_remarked_where_they_are_taken(
    devices: Path,
) -> None:
    camera = CameraSettings(pixel_format="MJPG")
    source, fake = opened("camera2", size=(720, 1280), rate=30.0, camera=camera)
    assert list(fake.asked.items()) == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FPS, 30.0),
        (cv2.CAP_PROP_BUFFERSIZE, 2),
        (cv2.CAP_PROP_CONVERT_RGB, 0),
    ]
    assert source.remarks[1:] == ()
    assert (source.shape, source.length, source.live, source.free_running) == ((720, 1280), None, True, True)
    source.close()
    source.close()
    assert fake.released > 0


def test_what_the_driver_takes_instead_is_remarked_in_a_line_each(devices: Path) -> None:
    source, _ = opened(size=(1080, 1920), rate=60.0, camera=CameraSettings(pixel_format="H264"))
    assert source.remarks[1:] == (
        "camera0: pixel_format H264 was asked for, the camera took YUYV",
        "camera0: size 1920x1080 was asked for, the camera took 1280x720",
        "camera0: rate 60 was asked for, the camera took 30",
    )
    assert source.shape == (720, 1280)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"exposure_us": 100.0}, "exposure_us is a setting of GenICam cameras; this one takes pixel_format"),
        ({"trigger": "software"}, "trigger is a setting of GenICam cameras"),
        ({"pixel_format": "Mono8"}, "pixel_format 'Mono8': give its four characters, as MJPG or YUYV"),
    ],
)
def test_a_setting_that_it_cannot_have_is_refused(devices: Path, settings: dict[str, object], complaint: str) -> None:
    assert complaint in refusal(camera=CameraSettings(**settings))  # type: ignore[arg-type]


# ---- age of frames


def test_a_reader_that_keeps_up_gets_every_exposure(devices: Path, clock: Clock) -> None:
    source, _ = opened(limit=20)
    captures = []
    for capture in source.captures():
        captures.append(capture)
        clock.pass_ms(20)
    assert [capture.index for capture in captures] == [exposure(capture) for capture in captures] == list(range(20))


@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("buffers", [1, 2, 4, 10])
@pytest.mark.parametrize("pause_ms", [40.0, 70.0, 200.0, 3000.0])
def test_a_reader_that_falls_behind_gets_frames_no_older_than_an_exposure_and_the_others_are_counted(
    devices: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, stamps: bool, buffers: int, pause_ms: float
) -> None:
    monkeypatch.setattr(FakeVideoCapture, "stamps", stamps)
    source, fake = opened()
    fake._buffers = buffers  # as with a driver that ignores the requested number
    captures = source.captures()
    taken = []
    for _ in range(12):
        capture = next(captures)
        taken.append(capture)
        exposed_ns = fake._held[1] if fake._held else 0
        assert clock.now_ns - exposed_ns <= (fake.period_ms + fake.way_ms) * MS, "what the driver knows, not we"
        assert capture.captured_ns is not None
        assert stamps == (capture.captured_ns == exposed_ns)
        clock.pass_ms(pause_ms)
    grabbed = fake.frames - fake.left
    assert taken[-1].index == grabbed - 1, "each frame that was grabbed is given out, or a gap of the index"
    assert grabbed > len(taken)


@pytest.mark.parametrize("pause_ms", [40.0, 200.0])
def test_who_wants_every_frame_gets_those_that_waited_with_their_age(
    devices: Path, clock: Clock, pause_ms: float
) -> None:
    source, fake = opened(every=True)
    assert cv2.CAP_PROP_BUFFERSIZE not in fake.asked
    captures = []
    for capture in islice(source.captures(), 6):
        captures.append(capture)
        clock.pass_ms(pause_ms)
    assert [capture.index for capture in captures] == list(range(6))
    assert [exposure(c) for c in captures[:5]] == list(range(5)), "as many as the driver has buffers"
    stamps = [capture.captured_ns for capture in captures]
    assert stamps == sorted(stamps, key=lambda stamp: stamp or 0)


def test_passing_over_ends_with_a_camera_faster_than_its_reader(devices: Path, clock: Clock) -> None:
    source, fake = opened()
    fake.period_ms, fake._rate, fake.stamps = 0.01, 100_000.0, False
    captures = source.captures()
    indices = [next(captures).index for _ in range(3)]
    assert max(b - a for a, b in pairwise(indices)) <= camera_source.DEEPEST_QUEUE + 1


def test_a_grab_during_which_this_process_was_not_scheduled_does_not_make_an_old_frame_new() -> None:
    freshness, period = Freshness(100.0), 10 * MS
    assert freshness.is_newest(0, -8 * MS, 1 * MS), "the first was waited for: the way takes 1 ms"
    assert freshness.is_newest(period, 3 * MS, 11 * MS)
    assert not freshness.is_newest(2 * period, 90 * MS, 98 * MS), "the grab took 8 ms, the frame waited for 77"
    assert not freshness.is_newest(3 * period, 98 * MS, 98 * MS)
    assert freshness.is_newest(10 * period, 98 * MS, 101 * MS)


def test_an_exposure_that_grows_longer_is_followed() -> None:
    freshness = Freshness(100.0)
    assert freshness.is_newest(0, -8 * MS, 1 * MS)
    later = [freshness.is_newest(n * 50 * MS, (n * 50 - 10) * MS, (n * 50 + 40) * MS) for n in range(1, 5)]
    assert later == [False, True, True, True], "frames that were waited for are new, though 40 ms pass from their stamp"


def test_a_frame_without_a_stamp_that_was_there_before_it_was_asked_for_is_as_old_as_it_may_be(
    devices: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeVideoCapture, "stamps", False)
    source, fake = opened(every=True)
    for capture in islice(source.captures(), 20):
        assert capture.captured_ns is not None
        assert fake._held is not None
        assert capture.captured_ns <= fake._held[1] + fake.way_ms * MS
        clock.pass_ms(100)


@pytest.mark.parametrize("waited_ms", [0, 70, 2_000])
def test_a_frame_that_waited_in_the_drivers_queue_is_as_old_as_the_driver_says(
    devices: Path, clock: Clock, waited_ms: int
) -> None:
    captures = opened(every=True)[0].captures()
    next(captures)
    clock.pass_ms(33 + waited_ms)
    [capture] = islice(captures, 1)
    assert capture.captured_ns is not None
    assert clock.now_ns - capture.captured_ns == (waited_ms + 5 if waited_ms else 5) * MS


@pytest.mark.parametrize("stamp_ms", [0.0, -1.0, 1.7e12], ids=["none", "error", "the wall clock's"])
def test_a_stamp_that_is_not_of_the_monotonic_clock_is_not_believed(
    devices: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, stamp_ms: float
) -> None:
    source, fake = opened(limit=1)
    real = fake.get
    monkeypatch.setattr(fake, "get", lambda key: stamp_ms if key == cv2.CAP_PROP_POS_MSEC else real(key))
    [capture] = source.captures()
    assert capture.captured_ns == clock.now_ns


def test_a_camera_goes_on_where_it_stopped_and_keeps_its_limit(devices: Path) -> None:
    assert [capture.index for capture in opened(start=5, limit=8)[0].captures()] == [5, 6, 7]


def test_a_camera_that_stops_is_an_error_and_not_the_end(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeVideoCapture, "frames", 3)
    captures = opened()[0].captures()
    assert len([next(captures) for _ in range(3)]) == 3
    with pytest.raises(SourceError, match="camera0 delivers no frames"):
        next(captures)


def test_a_frame_that_the_driver_does_not_give_is_a_fault(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeVideoCapture, "gives", False)
    [capture] = opened(limit=1)[0].captures()
    assert capture.frame is None
    assert capture.fault is not None
    assert capture.fault.reason is Reason.CORRUPT


# ---- bytes from the driver


def without_200_bytes(jpeg: bytes) -> bytes:
    return jpeg[: len(jpeg) // 2] + jpeg[len(jpeg) // 2 + 200 :]


DAMAGE = {
    "bytes missing": without_200_bytes,
    "cut short": lambda jpeg: jpeg[: len(jpeg) // 3],
    "cut short, and the end of an older one behind it": lambda jpeg: jpeg[: len(jpeg) // 3] + jpeg[-len(jpeg) // 2 :],
    "cut short, and zeros behind it": lambda jpeg: jpeg[: len(jpeg) // 3] + bytes(len(jpeg) // 2),
    "whole, and an older one behind it": lambda jpeg: jpeg + jpeg[-len(jpeg) // 2 :],
    "empty": lambda jpeg: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_jpeg_of_a_camera_is_a_fault_and_the_next_one_is_not(
    devices: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    source, fake = opened(limit=2, every=True, camera=CameraSettings(pixel_format="MJPG"))
    monkeypatch.setattr(fake, "damage", DAMAGE[damage], raising=False)
    captures = source.captures()
    damaged = next(captures)
    assert damaged.frame is None
    assert damaged.fault is not None
    assert damaged.fault.reason is Reason.CORRUPT
    monkeypatch.setattr(fake, "damage", None, raising=False)
    whole = next(captures)
    assert whole.frame is not None
    assert whole.fault is None


@pytest.mark.parametrize("pixel_format", ["YUYV", "GREY", "NV12", "Y16 ", "MJPG"])
def test_raw_frames_are_converted_and_a_short_buffer_is_a_fault(
    devices: Path, monkeypatch: pytest.MonkeyPatch, pixel_format: str
) -> None:
    source, fake = opened(limit=4, every=True, camera=CameraSettings(pixel_format=pixel_format), bits=12)
    if pixel_format == "Y16 ":  # one sample near the top of 12 bits; otherwise fewer bits are detected
        monkeypatch.setattr(fake, "damage", lambda raw: raw[:-2] + (4000).to_bytes(2, "little"), raising=False)
    captures = source.captures()
    next(captures)
    whole = next(captures)
    assert whole.frame is not None
    assert (whole.frame.shape, whole.frame.dtype) == ((480, 640, 3), "uint8")
    assert np.abs(whole.frame[0, 0].astype(int) - 1).max() <= 1, "the second exposure"
    source.room = np.zeros((480, 640, 3), np.uint8)
    roomy = next(captures)
    assert roomy.frame is not None
    assert roomy.frame.ctypes.data == source.room.ctypes.data
    monkeypatch.setattr(fake, "damage", lambda raw: raw[:-1000], raising=False)
    short = next(captures)
    assert (short.frame, short.fault and short.fault.reason) == (None, Reason.CORRUPT)


def test_sixteen_bits_of_which_nobody_says_how_many_count_are_no_frame(devices: Path) -> None:
    [capture] = opened(limit=1, camera=CameraSettings(pixel_format="Y16 "))[0].captures()
    assert capture.frame is None
    assert "bits" in str(capture.fault)


def test_a_camera_whose_jpegs_come_decoded_already_is_refused(devices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeVideoCapture, "hands_out_raw", False)
    assert "set another pixel_format, as YUYV" in refusal(camera=CameraSettings(pixel_format="MJPG"))
    [capture] = opened(limit=1)[0].captures()
    assert capture.frame is not None, "YUYV is what it is"
