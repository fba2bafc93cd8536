"""A camera that exposes each product as it needs it: no frame of another exposure is judged."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.fake_genicam import ADDRESS, fake_camera, is_possible, no_other_cameras
from support.line import DEMO_BUNDLE, Line, refused, running_line, station_config

from edge.bundle import load_bundle, seal
from edge.channel.control_messages import ProductSelected, SelectProduct, Trigger
from edge.sources import ExposureSettings
from edge.station.acceptance import Acceptance
from edge.station.capture.envelope import Envelope
from edge.station.capture.exposure_timeline import ExposureTimeline
from edge.station.capture.process import CaptureProcess
from edge.station.parts import Part
from edge.station.process.messages import Adjust, Adjusted, Captured, Opened
from edge.station.process.usage import family, name_of
from edge.verdict import Reason, State

CAMERA = ("--source", f"genicam:{ADDRESS}", "--camera", "region=0,0,320x180", "--budget-ms", 5_000)
SHORT, LONG = ExposureSettings(5_000), ExposureSettings(40_000)
TOLD, FREE = ("--trigger", "external", "--camera", "trigger=software"), ("--rate", "20/s")
needs_aravis = pytest.mark.skipif(not is_possible(), reason="Aravis is not installed: apt install libaravis-0.8-0")


@pytest.fixture
def camera() -> Iterator[None]:
    with no_other_cameras(), fake_camera():
        yield


@pytest.fixture
def products(tmp_path: Path) -> tuple[str, ...]:
    """Two products. The camera's ramp is the brighter the longer it exposes, and the envelopes exclude each other."""
    other = tmp_path / "other.edge"
    shutil.copytree(DEMO_BUNDLE, other)
    seal(other, load_bundle(DEMO_BUNDLE).manifest.model_copy(update={"name": "other"}))
    Envelope(frames=10, brightness=(20, 115), sharpness=(0, 255)).write(tmp_path / "dark.json")
    Envelope(frames=10, brightness=(120, 250), sharpness=(0, 255)).write(tmp_path / "bright.json")
    return (
        *("--products", f"dark={DEMO_BUNDLE},exposure_us=5000,envelope={tmp_path}/dark.json"),
        *("--products", f"bright={other},exposure_us=40000,envelope={tmp_path}/bright.json"),
    )


def is_judged(line: Line, product: str) -> bool:
    return any(one.product == product and one.score is not None for one in line.verdicts[-3:])


def check(line: Line) -> None:
    """Every part was judged with the exposure of its product, or was unknown because that had not come yet."""
    unknown = [one for one in line.verdicts if one.score is None and one.reason is not Reason.CAMERA]
    assert {one.reason for one in unknown} <= {Reason.PRODUCT}, [one for one in unknown if one.reason]
    assert {one.detail for one in unknown} <= {
        f"the camera did not expose for product {name} yet" for name in ("dark", "bright")
    }


@needs_aravis
@pytest.mark.usefixtures("camera")
@pytest.mark.parametrize("how", [TOLD, FREE], ids=["software trigger", "free-running"])
def test_after_a_changeover_no_frame_of_the_former_exposure_is_judged(
    how: tuple[str, ...], products: tuple[str, ...]
) -> None:
    with running_line(*CAMERA, *how, *products) as line, line.asking() as ask:
        line.until_state(State.READY if how is TOLD else State.EXECUTING)

        def one_more() -> None:
            if how is TOLD:
                ask(Trigger(part=f"part {len(line.verdicts)}"))
            line.until(len(line.verdicts) + 1)

        for turn in range(9):
            wanted = ("dark", "bright")[turn % 2]
            if turn:
                assert isinstance(ask(SelectProduct(product=wanted, by="Ana")), ProductSelected)
            if turn == 6:
                capture = next(pid for pid in family(line.process.pid) if name_of(pid) == "edge-capture")
                os.kill(capture, signal.SIGKILL)
            for _ in range(400):
                one_more()
                if is_judged(line, wanted):
                    break
            assert is_judged(line, wanted), line.verdicts[-1]
        line.process.terminate()
        assert line.to_the_end() == 0, line.stderr
    check(line)


@needs_aravis
@pytest.mark.usefixtures("camera")
def test_a_camera_that_refuses_the_exposure_of_a_product_is_not_opened(products: tuple[str, ...]) -> None:
    given = (*products[2:], "--products", f"blinding={DEMO_BUNDLE},exposure_us=1e12")
    line = refused(*CAMERA, *FREE, *given)
    assert "exposure_us 1e+12: this camera takes" in line


@pytest.mark.parametrize(
    ("source", "second", "message"),
    [
        ("demo", ",exposure_us=5", "products: exposure_us can be set of genicam cameras only, not of this source"),
        ("genicam:1", "", "product second has no exposure_us, which another product has: give it there, or camera."),
        ("genicam:1", ",gain_db=1", "product first has no gain_db, which another product has"),
        ("genicam:1", ",exposure_us=0", "must be more than 0"),
    ],
)
def test_exposures_that_a_line_cannot_have_are_refused(source: str, second: str, message: str) -> None:
    first = f"first={DEMO_BUNDLE},exposure_us=5"
    line = refused("--source", source, "--products", first, "--products", f"second={DEMO_BUNDLE}{second}")
    assert message in line


class ScriptedChild:
    """Replaces the capture process: its messages are those that the test adds."""

    def __init__(self, *said: object) -> None:
        self.said, self.sent = [*said], list[object]()

    def receive(self) -> object | None:
        return self.said.pop(0) if self.said else None

    def send(self, message: object) -> None:
        self.sent.append(message)

    def kill(self) -> None: ...

    def stop(self, patience_s: float) -> None: ...


OPENED = Opened("genicam:1", (180, 320), None, True, True, False, "every", device=True, rate=20.0)


@pytest.fixture
def intake() -> Iterator[CaptureProcess]:
    listed = [f"{name}={DEMO_BUNDLE},exposure_us={us}" for name, us in (("short", 5_000), ("long", 40_000))]
    made = CaptureProcess(station_config("genicam:1", products=listed))
    object.__setattr__(made._config, "rate", 20.0)
    made.child = ScriptedChild()  # type: ignore[assignment]
    made.select_exposure(SHORT)
    made._arguments()
    yield made
    made.close(0)


def says(intake: CaptureProcess, *messages: object) -> None:
    intake.child.said += messages  # type: ignore[attr-defined]
    assert list(intake.receive()) == []


def part_of(intake: CaptureProcess, product: str, captured_ns: int) -> Part:
    """The part made of a frame that arrived at `captured_ns`, of this product."""
    letterbox = SimpleNamespace(refusal=lambda height, width: None)
    inspection: Any = SimpleNamespace(bundle=SimpleNamespace(manifest=SimpleNamespace(letterbox=letterbox)))
    part = Part(1, "A1", captured_ns, captured_ns + 50, inspection=inspection, product=product)
    others: Any = SimpleNamespace(
        current=SimpleNamespace(scoring=None), are_loaded=True, begin=lambda *a: part, parts=(), subscribers=lambda: 1
    )
    acceptance = Acceptance(intake._config, intake, others, others, None, others)
    acceptance.pending.append(Captured(0, 0, "A1", 180, 320, captured_ns, captured_ns, None, None, 0))
    acceptance.accept(lambda: [], None)
    return part


def test_a_frame_that_may_have_been_exposed_for_another_product_makes_its_part_unknown(intake: CaptureProcess) -> None:
    says(intake, OPENED)
    long_ago = time.monotonic_ns()
    assert part_of(intake, "short", long_ago).finding is None
    intake.select_exposure(LONG)
    assert intake.child.sent[-1] == Adjust(LONG, 1)  # type: ignore[attr-defined]
    now = time.monotonic_ns()
    assert part_of(intake, "short", long_ago).finding is None, "it was exposed before the changeover"
    for product, captured_ns in (("long", now), ("short", now), ("long", long_ago)):
        finding = part_of(intake, product, captured_ns).finding
        assert finding is not None
        assert (finding.reason, finding.detail) == (
            Reason.PRODUCT, f"the camera did not expose for product {product} yet"
        )  # fmt: skip
    says(intake, Adjusted(LONG, 1, now))
    settled = now + 2 * 50_000_000  # two frames at 20 frames a second, which is longer than two exposures
    known = {at: part_of(intake, "long", at).finding is None for at in (now, settled - 1, settled, settled + 10**9)}
    assert known == {now: False, settled - 1: False, settled: True, settled + 10**9: True}
    assert part_of(intake, "short", settled).finding is not None


def test_a_camera_that_opened_for_the_former_product_is_set_for_the_current_one(intake: CaptureProcess) -> None:
    intake.select_exposure(LONG)  # while the child opens the camera for the other
    assert intake.child.sent == []  # type: ignore[attr-defined]
    says(intake, OPENED)
    assert Adjust(LONG, 1) in intake.child.sent  # type: ignore[attr-defined]
    assert intake.exposure_at(time.monotonic_ns()) is None


def test_an_answer_to_an_earlier_changeover_settles_nothing(intake: CaptureProcess) -> None:
    says(intake, OPENED)
    for exposure in (LONG, SHORT, LONG):
        intake.select_exposure(exposure)
    now = time.monotonic_ns()
    says(intake, Adjusted(LONG, 1, now), Adjusted(SHORT, 2, now))
    assert intake.exposure_at(now + 10**9) is None
    says(intake, Adjusted(LONG, 3, now))
    assert intake.exposure_at(now + 10**9) == LONG


def test_the_longest_exposure_of_the_line_is_waited_for_also_when_it_gets_shorter(intake: CaptureProcess) -> None:
    object.__setattr__(intake._config, "rate", None)
    intake.select_exposure(LONG)
    intake._arguments()
    says(intake, OPENED)
    intake.select_exposure(SHORT)
    now = time.monotonic_ns()
    says(intake, Adjusted(SHORT, 1, now))
    assert intake.exposure_at(now + 79_000_000) is None
    assert intake.exposure_at(now + 80_000_000) == SHORT


def test_a_frame_that_waits_while_the_camera_is_opened_again_keeps_its_exposure(intake: CaptureProcess) -> None:
    says(intake, OPENED)
    before = time.monotonic_ns()
    intake.select_exposure(LONG)
    intake.give_up("it is gone")
    intake._arguments()
    says(intake, OPENED)
    assert intake.exposure_at(before) == SHORT
    assert intake.exposure_at(time.monotonic_ns()) == LONG


def test_a_refusal_is_an_alarm_and_no_part_is_judged(intake: CaptureProcess) -> None:
    says(intake, OPENED)
    intake.select_exposure(LONG)
    now = time.monotonic_ns()
    says(intake, Adjusted(LONG, 1, now, "genicam:1: exposure_us 40000: the camera refuses it"))
    assert intake.alarms == (
        "genicam:1: exposure_us 40000: the camera refuses it: no part of this product can be judged",
    )
    assert part_of(intake, "long", now + 10**10).finding is not None
    intake.select_exposure(SHORT)
    assert intake.alarms == ()


def test_a_frame_of_a_moment_of_change_belongs_to_neither_exposure() -> None:
    timeline = ExposureTimeline()
    assert timeline.at(5) is None
    timeline.begin(SHORT, 0)
    timeline.leave(100)
    timeline.settle(LONG, 140)
    expected = {99: SHORT, 100: None, 139: None, 140: LONG, 10**9: LONG}
    assert {at: timeline.at(at) for at in expected} == expected
