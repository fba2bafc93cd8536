"""The age of a frame compared with the clock in its picture: the age by its stamp, and the age in a verdict."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import picture_clock

from edge.demo import clock
from edge.errors import SourceError
from edge.sources import Capture, Source, SourceRequest, open_source
from edge.verdict import Timing, Verdict


def frame(height: int = 48, width: int = 640) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 200, (height, width, 3), np.uint8)


@contextmanager
def opened(name: str, **options: object) -> Iterator[Source]:
    source = open_source(SourceRequest(name, **options))  # type: ignore[arg-type]
    try:
        yield source
    finally:
        source.close()


def stamp_us(capture: Capture) -> int:
    """A capture's stamp on the drawn clock."""
    assert capture.captured_ns is not None
    return capture.captured_ns // 1000 % clock.MODULUS


def us_since(earlier: int, later: int) -> int:
    """Microseconds between two times of the drawn clock, which wraps around."""
    return (later - earlier + clock.MODULUS // 2) % clock.MODULUS - clock.MODULUS // 2


# ---- the clock


@given(st.integers(0, clock.MODULUS - 1))
def test_what_was_drawn_is_read(number: int) -> None:
    picture = frame()
    clock.draw(picture, number)
    assert clock.read(picture) == number


def test_it_is_the_clock_that_the_rtsp_server_draws() -> None:
    planes = picture_clock.drawn(bytes(640 * 360 * 3 // 2), 640)
    luma = np.frombuffer(planes, np.uint8)[: 640 * 360].reshape(360, 640)
    grey = np.dstack([luma] * 3)
    assert clock.read(grey) == picture_clock.shown_ms(grey)


def test_a_picture_without_a_clock_or_with_a_broken_one_is_no_time() -> None:
    broken = frame()
    clock.draw(broken, 12345)
    broken[: clock.HEIGHT, : clock.BLOCK] = 128
    assert [clock.read(picture) for picture in (frame(), broken, frame(16, 16))] == [None] * 3


def test_a_frame_too_small_for_a_clock_is_one_line() -> None:
    with pytest.raises(SourceError, match="clock: a frame of 320x240 has no room for it; give 512x32 or more"):
        open_source(SourceRequest("clock", size=(240, 320)))


# ---- stamps of sources and the clock in the picture


def test_a_rendered_picture_is_stamped_no_later_than_it_was_made() -> None:
    with opened("clock", size=(360, 640), rate=100, limit=30) as source:
        captures = [capture for capture in source.captures() if capture is not None]
    shown = [clock.read(capture.frame) for capture in captures]
    assert len(set(shown)) == 30
    for capture, number in zip(captures, shown, strict=True):
        assert us_since(stamp_us(capture), number) >= 0, "it would claim to be younger than it is"


def test_a_rendered_picture_is_made_when_it_is_let_go_not_when_it_was_rendered() -> None:
    with opened("clock", size=(360, 640), rate=2, limit=3) as source:
        for capture in source.captures():
            age_us = us_since(clock.read(capture.frame), clock.now_us())
            assert 0 <= age_us < 400_000, "half a second of waiting is in no picture's age"


def test_pictures_keep_the_clock_that_was_drawn_into_them() -> None:
    with opened("clock", size=(360, 640), rate=1000, limit=40) as source:
        shown = [clock.read(capture.frame) for capture in list(source.captures())]
    assert all(us_since(a, b) > 0 for a, b in pairwise(shown))


# ---- ages in verdicts


@pytest.mark.parametrize("unit_us", [1, 1000])
def test_ages_are_told_across_the_end_of_a_round_of_the_clock(unit_us: int) -> None:
    pytest.importorskip("onnx", reason="the bundle needs the package onnx (extra export)")
    from benchmarks.glass.bundle import SHOWN_MODULUS
    from benchmarks.glass.line import sample

    unit_ns = 1000 * unit_us
    drawn, captured, at = SHOWN_MODULUS - 2, SHOWN_MODULUS + 3, SHOWN_MODULUS + 8
    timing = Timing(captured=captured * unit_ns, published=at * unit_ns)
    one = sample(Verdict.model_construct(score=float(drawn), age_ms=1.0, timing=timing), at * unit_ns, unit_us)
    assert (one.glass_ms, one.stamp_ms) == pytest.approx((10 * unit_us / 1000, 5 * unit_us / 1000))


def test_a_verdict_says_what_its_picture_showed_and_is_no_younger_than_it_claims(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the bundle needs the package onnx (extra export)")
    from benchmarks.glass.bundle import clock_bundle
    from benchmarks.glass.line import watch

    ticks: list[None] = []
    options = ["--source=clock", "--size=640x360", "--rate=50/s"]
    seen = watch(clock_bundle(tmp_path / "clock.edge"), options, 1, 20, lambda: ticks.append(None))
    assert (len(seen.samples), len(ticks), seen.unread) == (20, 20, 0)
    for one in seen.samples:
        assert one.glass_ms < 10_000, "a clock misread is off by whole rounds"
        assert one.stamp_ms <= 0.001
        assert one.glass_ms >= one.said_ms + one.stamp_ms - 0.002, "it cannot be here before it was published"


def test_a_picture_without_a_clock_is_counted_and_is_in_no_figure(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="the bundle needs the package onnx (extra export)")
    from benchmarks.glass.bundle import clock_bundle
    from benchmarks.glass.line import watch
    from edge.errors import EdgeError

    with pytest.raises(EdgeError, match="the station read 0 of 5 clocks"):
        watch(clock_bundle(tmp_path / "clock.edge"), ["--source=replay", "--size=640x360", "--limit=30"], 1, 5, print)
