"""Frame checks: a picture that is not a fresh, intact picture of the line fails, with the reason."""

import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo.line import DemoLine
from edge.errors import ConfigError
from edge.pictures import blank
from edge.pictures.blank import sample
from edge.sources import Capture
from edge.station.capture import frame_checks
from edge.station.capture.envelope import Envelope
from edge.station.capture.frame_checks import FrameChecks
from edge.verdict import UNKNOWN_REASONS, Fault

Picture = npt.NDArray[np.uint8]

STALE_MS = 1000.0


def live(frame: Picture, age_ms: float = 0.0, counter: int | None = None) -> Capture:
    """A live frame that was exposed `age_ms` ago."""
    return Capture(0, "frame", frame, time.monotonic_ns() - int(age_ms * 1e6), counter=counter)


def noise(seed: int, low: int = 60, high: int = 200, shape: tuple[int, int] = (120, 160)) -> Picture:
    return np.random.default_rng(seed).integers(low, high, (*shape, 3), np.uint8)


def kind(fault: Fault | None) -> str | None:
    """The reason of a fault, which is a reason of `unknown`."""
    assert fault is None or fault.reason in UNKNOWN_REASONS
    return None if fault is None else str(fault.reason)


def test_fresh_pictures_of_the_line_are_not_doubted() -> None:
    line, asked = DemoLine(size=(180, 320)), FrameChecks(STALE_MS)
    assert [asked.check(live(line.render(index).frame)) for index in range(30)] == [None] * 30


def test_the_same_pixels_for_longer_than_a_moment_are_frozen_and_one_new_pixel_row_thaws_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, now = FrameChecks(STALE_MS), time.monotonic_ns()
    moment = [now]
    monkeypatch.setattr(frame_checks.time, "monotonic_ns", lambda: moment[0])
    said = []
    for _ in range(12):
        said.append(kind(asked.check(live(noise(1)))))
        moment[0] += 100_000_000
    assert said == [None] * 8 + ["frozen"] * 4
    assert asked.check(live(noise(2))) is None


def test_a_slow_camera_that_repeats_one_picture_once_is_not_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, moment = FrameChecks(STALE_MS), [time.monotonic_ns()]
    monkeypatch.setattr(frame_checks.time, "monotonic_ns", lambda: moment[0])
    assert asked.check(live(noise(1))) is None
    moment[0] += 5_000_000_000
    assert asked.check(live(noise(1))) is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.zeros((120, 160, 3), np.uint8), "black"),
        (noise(0, 0, blank.BLACK), "black"),
        (np.full((120, 160, 3), 255, np.uint8), "saturated"),
        (noise(0, 251, 255), "saturated"),
        (np.full((120, 160, 3), 128, np.uint8), "sharpness"),
        (np.full((120, 160, 3), (200, 0, 90), np.uint8), "sharpness"),
        (noise(0, 0, 40), None),
        (noise(0, 127, 130), None),
    ],
)
def test_black_saturated_and_flat_frames_are_doubted_and_dark_ones_are_not(frame: Picture, reason: str | None) -> None:
    assert kind(FrameChecks(STALE_MS).check(live(frame))) == reason


def test_a_frame_that_is_old_when_it_comes_is_stale() -> None:
    asked = FrameChecks(stale_ms=200)
    assert asked.check(live(noise(1), age_ms=100)) is None
    assert kind(asked.check(live(noise(2), age_ms=300))) == "stale"


@pytest.mark.parametrize(("counters", "reasons"), [
    ([1, 2, 5, 6], [None] * 4), ([1, 2, 2, 3], [None, None, "repeated", None]), ([7, 3, 4], [None, "repeated", None]),
])  # fmt: skip
def test_a_counter_that_stands_or_goes_back_is_repeated_and_one_that_jumps_is_not(
    counters: list[int], reasons: list[str | None]
) -> None:
    asked = FrameChecks(STALE_MS)
    said = [kind(asked.check(live(noise(seed), counter=counter))) for seed, counter in enumerate(counters)]
    assert said == reasons


def test_outside_of_the_envelope_of_commissioning_a_frame_is_doubted() -> None:
    line = DemoLine(size=(180, 320))
    asked = FrameChecks(STALE_MS, Envelope.learn([sample(line.render(index).frame) for index in range(50)]))
    frame = line.render(60).frame
    blurred = np.repeat(np.repeat(frame[::8, ::8], 8, axis=0), 8, axis=1)[:180, :320]
    assert asked.check(live(frame)) is None
    assert kind(asked.check(live(np.minimum(frame.astype(np.int16) * 2, 245).astype(np.uint8)))) == "brightness"
    assert kind(asked.check(live(blurred))) == "sharpness"


@given(st.lists(st.tuples(st.floats(0, 255), st.floats(0, 255)), min_size=1, max_size=20))
def test_what_the_envelope_was_learned_from_is_inside(values: list[tuple[float, float]]) -> None:
    seen = [blank.Sampled(brightness, sharpness, 255, 0.0, 50.0) for brightness, sharpness in values]
    envelope = Envelope.learn(seen)
    for one in seen:
        assert envelope.brightness[0] <= one.brightness <= envelope.brightness[1]
        assert envelope.sharpness[0] <= one.sharpness <= envelope.sharpness[1]


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"frames": 1, "brightness": [1, 2], "sharpness": [1]}'])
def test_a_file_that_is_no_envelope_is_one_line_with_the_remedy(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "line1.envelope.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"line1\.envelope\.json: .*--commission"):
        Envelope.read(path)


@pytest.mark.parametrize("shape", [(16, 16), (17, 4000), (1, 1), (2160, 3840)])
def test_frames_of_any_size_can_be_looked_at(shape: tuple[int, int]) -> None:
    assert 60 <= sample(noise(0, shape=shape)).brightness < 200


@pytest.mark.parametrize("height", [16, 48, 63, 64, 480])
def test_a_line_whose_frames_come_in_one_place_is_not_frozen(height: int) -> None:
    """A slot that is free again is used for the next frame."""
    slot, dice = np.empty((height, 64, 3), np.uint8), np.random.default_rng(height)
    checks = FrameChecks(stale_ms=1e9)
    for number in range(8):
        slot[:] = dice.integers(0, 256, slot.shape, np.uint8)
        checks._same_since_ns -= 10**9
        assert checks.check(Capture(number, f"{number}", slot, captured_ns=time.monotonic_ns())) is None
