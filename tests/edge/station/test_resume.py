"""A camera that was lost and has returned: the line is held until the camera has given good frames in a row."""

from collections.abc import Iterator
from typing import Literal

import pytest
from support.line import station_config

from edge.presence import Belt, Remembered
from edge.station.capture.process import FIRST_FRAME_MS, LIVE_SILENCE_MS, POISON_DEATHS, CaptureProcess
from edge.station.process.messages import Captured, Opened, Watched


class FakeChild:
    """Replaces the capture process: its messages are those that the test adds."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.sent: list[object] = []

    def receive(self) -> object | None:
        return self.said.pop(0) if self.said else None

    def send(self, message: object) -> None:
        self.sent.append(message)

    def kill(self) -> None:
        """It is dead."""

    def stop(self, patience_s: float) -> None:
        """It is dead."""


class Camera:
    """A capture child with a device or a stored source."""

    def __init__(self, intake: CaptureProcess, live: bool = True, device: bool = True) -> None:
        self.intake, self.child, self.index = intake, FakeChild(), 0
        intake.child = self.child  # type: ignore[assignment]
        self.opened = Opened("test", (16, 16), None, live, live, False, "latest", device)

    def comes(self) -> None:
        self.child.said.append(self.opened)
        assert list(self.intake.receive()) == []

    def goes(self) -> None:
        self.intake.give_up("it is gone")

    def gives(self, *faults: str | None) -> list[bool]:
        """Give a frame for each of these faults, None for a good one. Returns for each whether it was passed on."""
        came = []
        for fault in faults:
            self.child.said.append(Captured(None, self.index, "", 16, 16, None, 0, fault, None, 0))
            self.index += 1
            came.append(len(list(self.intake.receive())) == 1)
        return came


@pytest.fixture
def intake() -> Iterator[CaptureProcess]:
    intake = CaptureProcess(station_config("camera0", resume_frames=3))
    yield intake
    intake.close(0)


def test_the_first_opening_asks_for_nothing(intake: CaptureProcess) -> None:
    camera = Camera(intake)
    camera.comes()
    assert not intake.is_resuming
    assert camera.gives("black: dark", None) == [True, True]


def test_a_camera_that_is_back_gives_three_good_frames_in_a_row_for_nobody(intake: CaptureProcess) -> None:
    camera = Camera(intake)
    camera.comes()
    camera.gives(None)
    camera.goes()
    camera.comes()
    assert intake.is_resuming
    assert intake.cause == "it is back and has yet to give 3 good frames in a row"
    assert camera.gives(None, None, "frozen: the same pixels", None, None) == [False] * 5
    assert intake.is_resuming, "a frame that is doubted counts as none, and those before it neither"
    assert camera.gives(None, None) == [False, True]
    assert (intake.is_resuming, intake.cause, intake.dropped) == (False, None, 6)


def test_a_camera_that_is_lost_again_begins_again(intake: CaptureProcess) -> None:
    camera = Camera(intake)
    camera.comes()
    for _ in range(2):
        camera.goes()
        assert not intake.is_resuming, "it is gone, that is the cause"
        camera.comes()
        assert camera.gives(None, None) == [False, False]
    assert intake.is_resuming


@pytest.mark.parametrize(("live", "device"), [(False, False), (True, False)], ids=["stored", "paced"])
def test_what_is_stored_owes_no_good_frames(intake: CaptureProcess, live: bool, device: bool) -> None:
    camera = Camera(intake, live, device)
    camera.comes()
    camera.goes()
    camera.comes()
    assert not intake.is_resuming


def test_nothing_is_asked_for_if_a_person_says_so() -> None:
    intake = CaptureProcess(station_config("camera0", resume_frames=0))
    camera = Camera(intake)
    camera.comes()
    camera.goes()
    camera.comes()
    assert camera.gives(None) == [True]
    intake.close(0)


def test_a_camera_watched_for_parts_is_known_to_give_frames_before_a_part_comes() -> None:
    intake = CaptureProcess(station_config("camera0", trigger="presence"))
    camera = Camera(intake)
    for _ in range(3):
        camera.comes()
        assert intake._patience_ms >= FIRST_FRAME_MS
        camera.child.said.append(Watched((), Remembered(0, None, 0.0, None, Belt()), 0))
        assert list(intake.receive()) == []
        assert intake._patience_ms == LIVE_SILENCE_MS, "from now on a silence is a camera that hangs"
        camera.goes()
    camera.comes()
    assert intake._patience_ms == 2 * FIRST_FRAME_MS, "it was lost once since it last gave a frame, not four times"
    intake.close(0)


@pytest.mark.parametrize(("trigger", "parts"), [("free", 1), ("presence", 0)])
def test_a_stored_frame_on_which_the_capture_process_dies_is_given_up_and_is_no_part_where_parts_are_found(
    trigger: Literal["free", "presence"], parts: int
) -> None:
    intake = CaptureProcess(station_config("line.mp4", trigger=trigger))
    camera, made = Camera(intake, live=False, device=False), 0
    intake._has_begun = True
    for _ in range(2 * POISON_DEATHS):
        camera.comes()
        made += len(list(intake._lose("the capture process died")))
    assert (made, intake._next_index) == (2 * parts, 2)
    assert intake.dropped == (0 if parts else 2)
    intake.close(0)
