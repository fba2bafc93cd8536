"""Parts that pass a free-running camera: each found once, on its best frame, whatever the belt, the light or the camera
do; and one that cannot be looked at is said to be so.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge.demo.moving import MovingBelt
from edge.presence import Presence
from edge.presence.finder import MOST_BLIND, NEVER_WHOLE, TOUCHING, UNWATCHED, Finder, Passed, Remembered
from edge.sources import Capture, Shown, SourceRequest, open_source
from edge.verdict import Fault, Reason

SIZE = (90, 160)
"""A cell is a pixel along the belt."""

RATE = 30.0


@lru_cache(maxsize=16)
def belt(parts: int = 5, speed: float = 1.5, pitch: float = 0.65, seed: int = 0) -> MovingBelt:
    return MovingBelt(seed, SIZE, RATE, speed, pitch, parts=parts)


def captures(line: MovingBelt, numbers: Iterable[int] | None = None) -> Iterator[Capture]:
    """Frames of the belt from a camera that keeps its rate."""
    for number in range(line.frames() or 0) if numbers is None else numbers:
        view = line.view(number)
        shown = tuple(Shown(part.code, part.truth, part.x, part.y) for part in view.parts)
        yield Capture(number, f"frame {number}", view.frame, round(number * 1e9 / line.rate), shown=shown)


def watched(frames: Iterable[Capture], finder: Finder | None = None) -> list[Passed]:
    finder = finder or Finder(Presence())
    return [passed for capture in frames for passed in finder.see(capture)] + finder.finish()


def codes(passed: Iterable[Passed]) -> list[str | None]:
    return [one.shown.name if one.shown else None for one in passed]


def all_codes(line: MovingBelt) -> list[str]:
    return [line.part(index).code for index in range(line.parts or 0)]


def without_parts(line: MovingBelt, count: int) -> Iterator[Capture]:
    """Frames of the running belt without parts, while the light drifts."""
    empty = MovingBelt(line.seed, line.size, line.rate, line.speed, line.pitch, parts=0)
    return captures(empty, range(count))


FEW = settings(
    max_examples=10,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


@FEW
@given(
    speed=st.floats(0.3, 4.5),
    pitch=st.floats(0.62, 1.6),
    seed=st.integers(0, 50),
)
def test_every_part_is_passed_on_once_and_in_order_at_any_speed_and_density(
    speed: float, pitch: float, seed: int
) -> None:
    line = MovingBelt(seed, SIZE, RATE, speed, pitch, parts=4)
    passed = watched(captures(line))
    assert codes(passed) == all_codes(line)
    assert [one.fault for one in passed] == [None] * 4
    assert [one.number for one in passed] == [1, 2, 3, 4]


@pytest.mark.parametrize("speed", [0.4, 1.5, 4.0])
def test_the_frame_chosen_is_the_best_centred_one_and_no_border_cuts_the_part(speed: float) -> None:
    line = belt(speed=speed)
    for index, one in enumerate(watched(captures(line))):
        offs = [abs(line.place(index) + line.travelled(n) - SIZE[1] / 2) for n in range(line.frames() or 0)]
        off = offs[one.captures[0].index]
        assert off <= min(offs) + 2.5  # the finder detects the outline of a part together with its shadow
        assert one.captures[0].captured_ns == round(one.captures[0].index * 1e9 / RATE)


def mirrored(capture: Capture) -> Capture:
    assert capture.frame is not None
    shown = tuple(replace(one, x=SIZE[1] - 1 - one.x) for one in capture.shown)
    return replace(capture, frame=np.ascontiguousarray(capture.frame[:, ::-1]), shown=shown)


def downwards(capture: Capture) -> Capture:
    assert capture.frame is not None
    shown = tuple(replace(one, x=one.y, y=one.x) for one in capture.shown)
    return replace(capture, frame=np.ascontiguousarray(capture.frame.transpose(1, 0, 2)), shown=shown)


@pytest.mark.parametrize(("turned", "axis"), [(mirrored, "x"), (downwards, "y")])
def test_the_belt_may_run_the_other_way_or_down_the_frame(turned: Callable[[Capture], Capture], axis: str) -> None:
    finder = Finder(Presence.model_validate({"axis": axis}))
    passed = watched(map(turned, captures(belt())), finder)
    assert codes(passed) == all_codes(belt())
    assert not any(one.fault for one in passed)


def test_the_model_sees_the_part_in_the_middle_and_none_of_its_neighbours() -> None:
    line = belt(speed=4.0)
    empty = next(without_parts(line, 1)).frame
    assert empty is not None
    for index, one in enumerate(watched(captures(line))):
        frame, alone = one.captures[0].frame, line.alone(index, one.captures[0].index)
        assert frame is not None
        assert frame.shape == (*SIZE, 3)
        for columns in (slice(0, 30), slice(SIZE[1] - 30, None)):
            assert abs(frame[:, columns].astype(int).mean() - empty[:, columns].mean()) < 6
        assert abs(frame.astype(int) - alone).mean() < 10
    as_it_is = watched(captures(line), Finder(Presence(alone=False)))
    assert all((one.captures[0].frame == line.view(one.captures[0].index).frame).all() for one in as_it_is)


def test_of_several_frames_the_best_centred_are_kept_the_best_one_first() -> None:
    line = belt(speed=1.0)
    for index, one in enumerate(watched(captures(line), Finder(Presence(frames=3)))):
        offs = {n: abs(line.place(index) + line.travelled(n) - SIZE[1] / 2) for n in range(line.frames() or 0)}
        mine = [offs[capture.index] for capture in one.captures]
        assert len(mine) == 3
        assert mine[0] <= min(mine) + 2.5
        assert max(mine) <= sorted(offs.values())[2] + 2.5


def test_an_empty_belt_with_dirt_in_drifting_light_shows_no_part() -> None:
    assert watched(without_parts(belt(speed=2.0), 250)) == []


def test_a_stain_is_no_part_and_hides_none() -> None:
    line = belt()

    def stained(capture: Capture) -> Capture:
        assert capture.frame is not None
        frame, at = capture.frame, line.travelled(capture.index) % 260 - 30
        low, high = max(0, at), min(SIZE[1], at + 14)
        frame[30:36, low:high] = np.minimum(frame[30:36, low:high], 25)
        return capture

    assert watched(map(stained, without_parts(line, 200))) == []
    assert codes(watched(map(stained, captures(line)))) == all_codes(line)


@pytest.mark.parametrize("gain", [0.7, 1.3])
def test_a_lamp_that_becomes_brighter_or_darker_makes_and_loses_no_part(gain: float) -> None:
    def lit(capture: Capture) -> Capture:
        assert capture.frame is not None
        now = gain if capture.index % 60 >= 30 else 1.0  # steps, and in the midst of parts
        return replace(capture, frame=np.clip(capture.frame * now, 0, 255).astype(np.uint8))

    assert codes(watched(map(lit, captures(belt())))) == all_codes(belt())
    assert watched(map(lit, without_parts(belt(), 120))) == []


@FEW
@given(lost=st.sets(st.integers(0, 100), max_size=70))
def test_however_frames_are_lost_no_part_is_passed_on_twice_and_one_that_was_seen_is_never_missing(
    lost: set[int],
) -> None:
    line = belt(parts=4, speed=1.5, pitch=0.8)
    kept = [number for number in range(line.frames() or 0) if number not in lost]
    found = Counter(codes(watched(captures(line, kept))))
    assert max(found.values(), default=0) <= 1
    for index in range(4):
        ends = [line.place(index) + line.travelled(number) for number in kept]
        if any(50 < x < SIZE[1] - 50 for x in ends):
            assert found[line.part(index).code] == 1


def test_a_part_of_which_no_frame_shows_the_whole_is_unknown_and_says_why() -> None:
    line = belt(parts=3, pitch=1.2)
    inside = {
        n for n in range(line.frames() or 0) if 30 < line.place(1) + line.travelled(n) < SIZE[1] - 30
    }  # a plate is 83 pixels long
    passed = watched(captures(line, (n for n in range(line.frames() or 0) if n not in inside)))
    assert codes(passed) == all_codes(line)
    assert [one.fault for one in passed] == [None, NEVER_WHOLE, None]
    assert passed[1].captures[0].frame is None


def test_a_dark_moment_costs_no_part_and_a_long_one_is_said_of_every_part_in_view() -> None:
    line = belt(parts=4, speed=0.5)
    middle = next(n for n in range(1000) if line.place(1) + line.travelled(n) >= SIZE[1] / 2)
    for length, faults in ((3, 0), (MOST_BLIND + 5, 1)):
        finder, passed = Finder(Presence()), []
        for capture in captures(line):
            is_dark = 0 <= capture.index - middle + length - 1 < length
            passed += finder.see(capture, Fault(Reason.BLACK, "nothing") if is_dark else None)
            if is_dark and capture.index == middle:
                assert finder.blind == (Fault(Reason.BLACK, "nothing") if faults else None)
        assert finder.blind is None
        assert codes(passed) == all_codes(line)
        assert [one.fault for one in passed if one.fault] == [Fault(Reason.BLACK, "nothing")] * faults


def test_a_part_that_leaves_while_the_camera_shows_nothing_is_not_silently_missing() -> None:
    line = belt(parts=1, speed=4.0)
    finder, passed = Finder(Presence()), []
    for capture in captures(line):
        x = line.place(0) + line.travelled(capture.index)
        passed += finder.see(capture if x < 20 else replace(capture, frame=None, fault=Fault(Reason.CORRUPT, "torn")))
    assert [one.fault for one in passed + finder.finish()] == [Fault(Reason.CORRUPT, "torn")]


def handed_over(frames: list[Capture], moments: range) -> Iterator[tuple[int, list[Passed], Remembered]]:
    """Each moment, what a finder has passed on before that frame, and what it gives to the one that takes over."""
    finder, passed = Finder(Presence()), list[Passed]()
    for number, capture in enumerate(frames):
        if number in moments:
            yield number, list(passed), finder.remember()
        passed += finder.see(capture)


@pytest.mark.parametrize("speed", [0.5, 1.5, 4.0])
def test_a_finder_that_takes_over_at_any_moment_loses_no_part_and_repeats_none(speed: float) -> None:
    line = belt(parts=4, speed=speed)
    frames = list(captures(line))
    first = range(len(frames))
    for moment, passed, remembered in handed_over(frames, first[:: max(1, len(first) // 25)]):
        passed += watched(frames[moment:], Finder(Presence(), remembered))
        assert codes(passed) == all_codes(line), moment
        assert [one.number for one in passed] == [1, 2, 3, 4]


@pytest.mark.parametrize("speed", [0.5, 1.5, 4.0])
@pytest.mark.parametrize("away", [6, 15, 40])
def test_parts_that_pass_the_middle_while_no_finder_is_there_are_unknown_once_and_none_of_them_good(
    speed: float, away: int
) -> None:
    """For any time at which the camera is lost, and any duration. Parts that passed unseen cannot be known."""
    line = belt(parts=5, speed=speed)
    frames, middle, step = list(captures(line)), SIZE[1] / 2, speed * SIZE[1] / RATE
    begun = next(n for n in range(1000) if line.place(0) + line.travelled(n) > 0)  # no movement is visible before
    first = range(begun, len(frames) - away)
    for moment, passed, remembered in handed_over(frames, first[:: max(1, len(first) // 10)]):
        passed += watched(frames[moment + away :], Finder(Presence(), remembered))
        found, faults = Counter(codes(passed)), {one.shown.name: one.fault for one in passed if one.shown is not None}
        assert max(found.values()) == 1, moment
        for index, code in enumerate(all_codes(line)):
            went, came = (line.place(index) + line.travelled(n) for n in (moment - 1, moment + away))
            was_seen, is_seen = moment and went > 0, came < SIZE[1]
            if (went > middle + step) or came < middle - step:
                assert faults[code] is None, (moment, code)
            elif went < middle - step and came > middle + 2 * step and (was_seen or is_seen):
                assert faults[code].reason is Reason.CAMERA, (moment, code)
                assert moment < begun + 3 or faults[code] == UNWATCHED, (moment, code)


def test_a_camera_that_comes_back_dark_and_is_lost_again_keeps_what_was_known() -> None:
    line = belt(parts=3, speed=1.0, pitch=1.2)
    frames = list(captures(line))
    moment = next(n for n in range(1000) if line.place(0) + line.travelled(n) > SIZE[1] / 4)
    before = Finder(Presence())
    passed = [one for capture in frames[:moment] for one in before.see(capture)]
    dark = Finder(Presence(), before.remember())
    assert dark.remember() == before.remember()
    passed += [
        one for capture in frames[moment + 5 : moment + 10] for one in dark.see(capture, Fault(Reason.BLACK, "nothing"))
    ]
    passed += watched(frames[moment + 30 :], Finder(Presence(), dark.remember()))
    assert [(code, one.fault) for code, one in zip(codes(passed), passed, strict=True)] == [
        (line.part(0).code, UNWATCHED),
        *((line.part(index).code, None) for index in (1, 2)),
    ]


def test_a_belt_that_stops_and_runs_again_shows_each_part_once_and_freshly() -> None:
    line = belt(parts=3, speed=1.0)
    numbers = [n for number in range(line.frames() or 0) for n in [number] * (40 if number % 25 == 0 else 1)]
    finder = Finder(Presence())
    passed = []
    for tick, number in enumerate(numbers):
        capture = next(captures(line, [number]))
        for one in finder.see(replace(capture, index=tick, captured_ns=round(tick * 1e9 / RATE))):
            passed.append(one)
            assert tick - one.captures[0].index <= 2
    assert codes(passed) == all_codes(line)


def test_the_parts_in_view_when_the_source_ends_are_answered() -> None:
    line = belt(parts=5, speed=1.5)
    passed = watched(captures(line, range(30)))
    seen = [part.code for part in line.view(29).parts if part.x > -10]
    assert seen
    assert set(seen) <= set(codes(passed))
    assert max(Counter(codes(passed)).values()) == 1


def test_parts_that_touch_are_not_judged_as_one_however_many_do() -> None:
    """Small bright parts drawn on a grey belt: three single parts, then ten pairs that touch at their ends."""
    ends = [(0, 30), (80, 110), (160, 190), *((first, first + 60) for first in range(240, 1340, 110))]

    def frame(number: int) -> Capture:
        picture = np.full((60, 160, 3), 60, np.uint8)
        picture += np.random.default_rng(number).integers(0, 4, picture.shape, np.uint8)
        for first, last in ends:
            left, right = number * 5 - last, number * 5 - first
            picture[15:45, max(0, left) : max(0, right)] = 180
        return Capture(number, f"frame {number}", picture, round(number * 1e9 / RATE))

    passed = watched(map(frame, range(310)))
    assert [one.fault for one in passed] == [None] * 3 + [TOUCHING] * 10


def test_dirt_that_joins_two_parts_makes_none_of_them_unknown_and_keeps_them_in_order() -> None:
    """On this dense belt dirt fills the gap between parts 49 and 50."""
    line = MovingBelt(0, (180, 320), 60.0, 3.0, 0.65, parts=52)
    passed = watched(captures(line))
    assert codes(passed) == all_codes(line)
    assert not any(one.fault for one in passed)


@pytest.mark.parametrize("shank", [0.35, 0.7])
def test_a_waist_makes_no_two_parts_of_one(shank: float) -> None:
    """Drawn parts with a broad head and a thin shank."""

    def frame(number: int) -> Capture:
        picture = np.full((60, 160, 3), 60, np.uint8)
        picture += np.random.default_rng(number).integers(0, 4, picture.shape, np.uint8)
        for first in range(0, 500, 100):
            for begin, end, breadth in ((0, 25, 1.0), (25, 70, shank), (70, 80, 1.0)):
                left, right, half = number * 5 - first - end, number * 5 - first - begin, round(15 * breadth)
                picture[30 - half : 30 + half, max(0, left) : max(0, right)] = 180
        return Capture(number, f"frame {number}", picture, round(number * 1e9 / RATE))

    assert [one.fault for one in watched(map(frame, range(150)))] == [None] * 5


def test_the_source_shows_what_it_says_it_shows() -> None:
    source = open_source(SourceRequest("belt", size=SIZE, rate=1000.0, limit=40, seed=3))
    assert (source.live, source.free_running, source.simulated, source.length) == (True, True, True, 40)
    seen = [capture for capture in source.captures() if capture is not None]
    assert [capture.index for capture in seen] == [*range(seen[0].index, 40)]
    stamps = [capture.captured_ns for capture in seen]
    assert stamps == sorted(stamps)  # type: ignore[type-var]
    for capture in seen:
        for part in capture.shown:
            if 45 < part.x < SIZE[1] - 45:
                assert capture.frame is not None
                left = capture.frame[45, round(part.x) - 36].astype(int)
                assert left.mean() > 90, "a plate is brighter than the belt"


def test_the_belt_stands_until_it_is_watched_and_has_run_on_when_it_is_opened_again() -> None:
    request = SourceRequest("belt", size=SIZE, rate=50.0, seed=3)
    first = open_source(request)
    time.sleep(0.2)
    before = next(capture for capture in first.captures() if capture is not None)
    assert before.index == 0
    time.sleep(0.2)
    again = open_source(replace(request, start=before.index + 1, began_ns=first.began_ns))  # type: ignore[attr-defined]
    after = next(capture for capture in again.captures() if capture is not None)
    assert before.captured_ns is not None
    assert after.captured_ns is not None
    assert after.index - before.index >= 9
    assert after.index - before.index == round((after.captured_ns - before.captured_ns) * 50 / 1e9)
