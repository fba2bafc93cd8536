"""Copies of a photograph are found however they lie and are lit; different parts are not, however alike they are."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest
from support.drawn_parts import part, seen_again

from edge.demo.line import DemoLine
from train.data.likeness import Limits, Thumbnail, near_duplicates, thumbnail
from train.data.likeness.agreement import agreement
from train.data.likeness.limits import (
    FALSE_PAIRS,
    LOWEST,
    LOWEST_BRIGHTNESS,
    LOWEST_CERTAIN,
    SURELY_SAME,
    UNKNOWN,
    limits_of,
)
from train.data.likeness.registration import Registration
from train.data.likeness.spectra import Candidate, candidates, spectra
from train.data.likeness.thumbnail import MEMORY, SIDE

Frame = np.ndarray
PARTS = [part(np.random.default_rng(seed)) for seed in range(40)]
ONE_SPLIT = np.zeros(1000, np.int64)
AS_IT_IS = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def details(agreements: np.ndarray) -> np.ndarray:
    """Agreements of pairs that differ in brightness."""
    return np.stack([agreements, np.zeros_like(agreements)], axis=1)


def found(
    learnt: Sequence[Frame], judged: Sequence[Frame], names: Sequence[str | None] | None = None
) -> tuple[set[tuple[int, int]], set[tuple[int, int]], Limits]:
    """The pairs of a photograph of train and one of test, by their index, the certain ones, and the limits."""
    splits = ["train"] * len(learnt) + ["test"] * len(judged)
    pairs, limits = near_duplicates([thumbnail(one) for one in [*learnt, *judged]], splits, names)
    across = [pair for pair in pairs if pair.first < len(learnt) <= pair.second]
    return (
        {(pair.first, pair.second - len(learnt)) for pair in across},
        {(pair.first, pair.second - len(learnt)) for pair in across if pair.is_certain},
        limits,
    )


def turned(frame: Frame, degrees: float) -> Frame:
    height, width = frame.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(frame, turn, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def moved(frame: Frame, x: float, y: float) -> Frame:
    height, width = frame.shape[:2]
    return cv2.warpAffine(
        frame, np.array([[1, 0, x], [0, 1, y]], np.float32), (width, height), borderMode=cv2.BORDER_REPLICATE
    )


def compressed(frame: Frame) -> Frame:
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)


def lit(frame: Frame, gain: float) -> Frame:
    return (frame * gain).clip(0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Frame], Frame]] = {
    "turned by 90°": lambda frame: np.rot90(frame).copy(),
    "turned by 180°": lambda frame: frame[::-1, ::-1].copy(),
    "turned by 37°": lambda frame: turned(frame, 37),
    "mirrored": lambda frame: frame[:, ::-1].copy(),
    "upside down": lambda frame: frame[::-1].copy(),
    "shifted": lambda frame: moved(frame, 9.3, -6.4),
    "compressed": compressed,
    "darker": lambda frame: lit(frame, 0.7),
    "brighter": lambda frame: lit(frame, 1.4),
    "cropped": lambda frame: frame[5:-8, 12:-4].copy(),
    "smaller": lambda frame: cv2.resize(frame, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
    "all at once": lambda frame: compressed(lit(turned(moved(frame[:, ::-1], 5, -4), 200), 0.8)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_certain_and_nothing_else_is_found(change: str) -> None:
    pairs, certain, _ = found(PARTS, [CHANGES[change](PARTS[index]) for index in (3, 11, 20)])
    assert pairs == certain == {(3, 0), (11, 1), (20, 2)}


def test_a_part_seen_again_in_other_light_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    pairs, certain, limits = found(PARTS, [seen_again(rng, frame) for frame in PARTS[:20]])
    assert pairs == certain == {(index, index) for index in range(20)}
    assert limits.expected is not None
    assert limits.expected < 0.1


def test_parts_with_a_print_in_common_are_not_taken_for_the_same_and_a_copy_is() -> None:
    rng = np.random.default_rng(1)
    print_on_all = part(rng)[..., 0].astype(np.float32)
    frames = [part(rng, print_on_all) for _ in range(60)]
    pictures = np.stack([thumbnail(frame).grey for frame in frames]).reshape(60, -1)
    assert np.corrcoef(pictures).min() > 0.9  # too similar to be distinguished by the correlation of pictures
    assert found(frames[:40], frames[40:])[0] == set()
    assert found(frames, [frames[7]])[:2] == ({(7, 0)}, {(7, 0)})


def test_rendered_parts_that_lie_alike_are_not_taken_for_the_same_and_copies_are() -> None:
    line = DemoLine(5, (180, 320), 0.3)
    frames = [line.render(index).frame for index in range(60)]
    assert found(frames[:40], frames[40:])[0] == set()
    pairs, certain, _ = found(frames, [(frame * 0.9 + 5).clip(0, 255).astype(np.uint8) for frame in frames[:5]])
    assert pairs == certain == {(index, index) for index in range(5)}


def test_equal_pictures_are_a_pair_even_if_plain_and_each_of_many_is_paired_once_with_a_split() -> None:
    plain = Thumbnail(np.full((64, 64), 90, np.uint8), 1.0)
    pairs, _ = near_duplicates([plain] * 50, ["train"] * 30 + ["test"] * 20)
    assert all(pair.is_certain and pair.correlation == 1 for pair in pairs)
    across = [pair[:2] for pair in pairs if pair.first < 30 <= pair.second]
    assert across == [(0, index) for index in range(30, 50)]
    assert near_duplicates([plain], ["train"])[0] == []
    assert near_duplicates([], [])[0] == []


def test_photographs_of_a_part_under_several_names_do_not_hide_each_other() -> None:
    rng = np.random.default_rng(2)
    everything = [seen_again(rng, frame) for frame in PARTS for _ in range(6)]
    where = rng.permutation(len(everything))
    learnt, judged = where[:150], where[150:]
    pairs, certain, limits = found([everything[index] for index in learnt], [everything[index] for index in judged])
    assert limits.expected is None
    assert {index for _, index in certain} == set(range(len(judged)))
    assert {learnt[first] // 6 == judged[second] // 6 for first, second in pairs} == {True}


def test_limits_follow_what_different_parts_have_in_common() -> None:
    rng = np.random.default_rng(0)
    parts = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1)
    near = [limits_of(parts, ONE_SPLIT, details(rng.exponential(scale, 1000) + 0.2), 1.5) for scale in (0.01, 0.1, 0.2)]
    assert near[0].alike == LOWEST
    assert near[0].certain == LOWEST_CERTAIN
    assert near[0].alike < near[1].alike < near[2].alike
    assert near[1].certain < near[2].certain
    assert near[2].expected == pytest.approx(FALSE_PAIRS)


def test_the_stated_number_of_false_pairs_is_met() -> None:
    rng = np.random.default_rng(1)
    parts = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1)
    false = []
    for _ in range(50):
        limits = limits_of(parts, ONE_SPLIT, details(rng.exponential(0.15, 1000) + 0.2), 1.0)
        false.append((rng.exponential(0.15, 1000) + 0.2 >= limits.alike).sum())
    assert 0.25 < np.mean(false) < 0.75


def test_a_heavy_tail_raises_the_limit() -> None:
    parts = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1)
    alike = np.random.default_rng(0).exponential(0.05, 1000)
    assert limits_of(parts, ONE_SPLIT, details(alike), 1.0).alike == LOWEST
    alike[:4] = 1.6, 1.5, 1.4, 1.3
    assert limits_of(parts, ONE_SPLIT, details(alike), 1.0).alike >= 1.3


def test_parts_under_two_names_do_not_raise_the_limit_unless_they_are_a_design() -> None:
    parts = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1)
    alike = np.random.default_rng(0).exponential(0.05, 1000)
    alike[:40] = 2.2
    assert limits_of(parts, ONE_SPLIT, details(alike), 1.0).alike == LOWEST
    chain = np.stack([np.arange(1000), np.arange(1, 1001)], axis=1)
    alike[:600] = 2.2
    assert limits_of(chain, ONE_SPLIT, details(alike), 1.0).alike >= 2.2


def test_too_few_photographs_and_names_that_do_not_tell_parts_have_fixed_limits() -> None:
    fixed = (UNKNOWN, SURELY_SAME, None)
    few = limits_of(np.array([[0, 1], [2, 3]]), ONE_SPLIT[:2], details(np.array([0.1, 0.2])), 1.0)
    copied = limits_of(np.arange(200).reshape(100, 2), ONE_SPLIT[:100], details(np.linspace(1, 2.5, 100)), 1.0)
    for limits in (few, copied):
        assert (limits.alike, limits.certain, limits.expected) == fixed
        assert "cannot be told" in limits.chance


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 30, 123, 270])
def test_a_photograph_is_laid_over_its_copy_to_a_tenth_of_a_pixel(degrees: int, is_mirrored: bool) -> None:
    copy = turned(moved(PARTS[0], 6, -3), degrees)
    copy = copy[:, ::-1].copy() if is_mirrored else copy
    pictures = [thumbnail(PARTS[0]), thumbnail(copy), *(thumbnail(frame) for frame in PARTS[1:])]
    advanced: list[None] = []
    individual = spectra([one.grey for one in pictures], lambda: advanced.append(None))
    chosen = next(candidates(individual, lambda rows: [(~np.eye(len(pictures), dtype=bool)[rows], 1)]))
    assert len(advanced) == len(pictures)
    assert chosen[:2] == (0, 1)
    register = Registration(pictures)
    warp = register.finished(chosen, register.refined(chosen, register.placed(chosen))[1])
    second = pictures[1].grey[:, ::-1].copy() if chosen.is_mirrored else pictures[1].grey
    height, width = PARTS[0].shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    there = turn @ (width / 2 + 6, height / 2 - 3, 1)
    if is_mirrored != chosen.is_mirrored:
        there[0] = width - 1 - there[0]
    assert warp @ (width / 2, height / 2, 1) == pytest.approx(there, abs=0.1)
    assert agreement(pictures[0].grey, second, warp).detail > 1.5


def test_agreement_is_that_of_the_places_that_agree_least() -> None:
    grey = thumbnail(PARTS[0]).grey
    noisy = np.random.default_rng(0).normal(0, 2, grey.shape) + grey
    noisy = noisy.clip(0, 255).astype(np.uint8)
    other = noisy.copy()
    other[40:110, 60:130] = thumbnail(PARTS[1]).grey[40:110, 60:130]
    assert agreement(noisy, noisy, AS_IT_IS).detail > 3.5
    assert agreement(noisy, other, AS_IT_IS).detail < 0.5
    assert agreement(noisy, thumbnail(PARTS[1]).grey, AS_IT_IS).detail < 0.5


def test_a_compressed_copy_has_lost_its_detail_and_not_its_brightness() -> None:
    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)), (0, 0), 30) * 3000

    def cell() -> np.ndarray:
        """Cells of one design, each a little brighter here and darker there, under its own noise."""
        own = cv2.GaussianBlur(rng.normal(0, 1, (256, 256)), (0, 0), 20) * 200
        return (120 + base + own + rng.normal(0, 3, base.shape)).clip(2, 250).round().astype(np.uint8)

    one, other = cell(), cell()
    copy = cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_GRAYSCALE)
    exact, compressed, different = (agreement(one, second, AS_IT_IS) for second in (one, copy, other))
    assert compressed.detail < exact.detail / 2
    assert compressed.brightness > different.brightness + 1
    limits = Limits(alike=1.3, certain=2, alike_brightness=different.brightness + 0.5, certain_brightness=9)
    assert limits.exceeded(compressed) == (compressed.brightness, False)
    assert limits.exceeded(different) is None
    assert limits.exceeded(exact) is not None
    earlier = limits.model_copy(update={"alike_brightness": None})
    assert earlier.exceeded(compressed) is None


def test_brightness_that_parts_have_in_common_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    parts = np.stack([np.arange(1000), np.arange(1000, 2000)], axis=1)
    detail = rng.exponential(0.05, 1000)
    apart, common = (
        limits_of(parts, ONE_SPLIT, np.stack([detail, rng.exponential(0.1, 1000) + level], axis=1), 1.0)
        for level in (1.0, 5.0)
    )
    assert apart.alike_brightness == LOWEST_BRIGHTNESS
    assert common.alike_brightness is not None
    assert common.alike_brightness > 5.4
    assert (apart.alike, apart.certain) == (common.alike, common.certain)


def test_what_over_exposure_has_taken_is_not_held_against_a_copy_but_little_is_told_by_the_rest() -> None:
    noise = np.random.default_rng(0).normal(0, 6, (256, 256))
    grey = (np.linspace(60, 240, 256)[None] + noise).round().astype(np.uint8)
    assert agreement(grey, lit(grey, 1.4), AS_IT_IS).detail > 1.5
    assert 0 < agreement(grey, lit(grey, 2.9), AS_IT_IS).detail < LOWEST_CERTAIN
    assert agreement(grey, np.full_like(grey, 255), AS_IT_IS).detail == 0


def test_thumbnails_of_many_photographs_take_no_more_than_the_memory_for_them() -> None:
    frame = np.zeros((600, 800, 3), np.uint8)
    assert thumbnail(frame).grey.size == pytest.approx(SIDE**2, rel=0.01)
    assert thumbnail(frame).scale == pytest.approx(SIDE / np.sqrt(600 * 800), rel=0.01)
    count = 50_000
    assert count * thumbnail(frame, count).grey.size <= 1.02 * MEMORY
    small = np.zeros((25, 49, 3), np.uint8)
    assert thumbnail(small).grey.shape == (25, 49)
    assert thumbnail(small).scale == 1


def test_candidates_name_the_photographs_of_the_likest_spectra() -> None:
    greys = [thumbnail(frame).grey for frame in [*PARTS[:6], PARTS[2][::-1]]]
    found_spectra = spectra(greys, lambda: None)
    others = list(candidates(found_spectra, lambda rows: [(~np.eye(7, dtype=bool)[rows], 2)]))
    assert len(others) == 14
    best = next(one for one in others if one.first == 6)
    assert isinstance(best, Candidate)
    assert (best.second, best.is_mirrored) == (2, True)
