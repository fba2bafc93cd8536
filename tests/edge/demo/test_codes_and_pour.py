"""The lines codes and pour: reproducible, with correct truths, and similar to the lines that they imitate."""

import doctest
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.demo.codes
import edge.demo.pour
from edge.demo.bold_letters import CHARACTERS, STEM, fill, letter_outlines, letter_width, text_width
from edge.demo.codes import CodesLine
from edge.demo.line_names import LINE_NAMES, LineName
from edge.demo.lines import PLANS, SPLITS, open_line, split_lines
from edge.demo.pour import DEVIATION_BGR, MEAN_BGR, PourLine
from edge.demo.rendered_line import DemoFrame, RenderedLine
from edge.demo.truth import Defect, DemoPart, Strength
from edge.errors import DataError

NEW: tuple[LineName, ...] = ("codes", "pour")
KIND = {"codes": "scratch", "pour": "spill"}

PINNED = {"codes": "54d43c91f864eb05", "pour": "de5d680f08e3e777"}
"""Beginning of the SHA-256 of the first masks of seed 5, in which all parts are bad."""

BRIGHTNESS = {"codes": (154.928, 162.932, 197.742, 152.961), "pour": (127.823, 133.868, 127.02, 118.977)}
"""Mean grey levels of the line's first photographs."""


def fingerprint(line: RenderedLine, indices: list[int]) -> str:
    digest = hashlib.sha256()
    for index in indices:
        photograph = line.render(index)
        digest.update(photograph.frame.tobytes() + line.mask(index).tobytes() + repr(photograph.part).encode())
    return digest.hexdigest()


def within(photograph: DemoFrame) -> float:
    """Standard deviation within one photograph, averaged over its channels, for values from 0 to 1."""
    return float((photograph.frame / 255).std(axis=(0, 1)).mean())


def with_strength(line: RenderedLine, name: str, strength: Strength | None, index: int) -> DemoPart:
    defects = () if strength is None else (Defect(KIND[name], strength),)  # type: ignore[arg-type]
    return DemoPart(index, line.part(index).code, "bad" if defects else "good", defects)


@pytest.mark.parametrize("name", NEW)
@given(seed=st.integers(0, 2**40), indices=st.lists(st.integers(0, 10**9), min_size=2, max_size=3, unique=True))
@settings(max_examples=8, deadline=None)
def test_a_part_is_the_same_in_every_order_of_asking(name: LineName, seed: int, indices: list[int]) -> None:
    one, other = open_line(name, seed), open_line(name, seed)
    there = {index: one.render(index) for index in indices}
    back = {index: other.render(index) for index in reversed(indices)}
    for index in indices:
        assert there[index].part == back[index].part == one.part(index)
        assert np.array_equal(there[index].frame, back[index].frame)


@pytest.mark.parametrize("name", NEW)
def test_a_part_is_the_same_in_another_process(name: LineName) -> None:
    program = (
        f"from test_codes_and_pour import fingerprint, open_line; line = open_line({name!r}, 7, 0.6); line.render(11); "
        "print(fingerprint(line, [0, 3, 1, 12345]))"
    )
    command = [sys.executable, "-c", program]
    elsewhere = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == fingerprint(open_line(name, 7, 0.6), [0, 3, 1, 12345])


@pytest.mark.parametrize("name", NEW)
def test_what_is_drawn_does_not_change(name: LineName) -> None:
    line, digest = open_line(name, 5, 1.0), hashlib.sha256()
    for index in range(6):
        digest.update(line.mask(index).tobytes())
    assert digest.hexdigest()[:16] == PINNED[name]
    brightness = [float(line.render(index).frame.mean()) for index in range(4)]
    assert brightness == pytest.approx(BRIGHTNESS[name], abs=0.005)


@pytest.mark.parametrize("name", NEW)
def test_a_mask_tells_the_truth(name: LineName) -> None:
    line = open_line(name, 1, 0.5)
    truths = Counter(line.part(index).truth for index in range(30))
    assert min(truths.values()) > 5
    for index in range(30):
        photograph, mask = line.render(index), line.mask(index)
        assert photograph.frame.dtype == np.uint8
        assert photograph.frame.flags.c_contiguous
        assert photograph.frame.shape == (*mask.shape, 3)
        assert set(np.unique(mask)) <= {0, 255}
        assert mask.any() == (photograph.part.truth == "bad") == bool(photograph.part.defects)
        assert (mask > 0).mean() < 0.6


def test_a_scratch_changes_what_its_mask_covers_and_nothing_else() -> None:
    line = CodesLine(4)
    for index in range(8):
        parts = [with_strength(line, "codes", strength, index) for strength in (None, "strong")]  # type: ignore[arg-type]
        good, bad = (line.photograph(part).frame.astype(int) for part in parts)
        mask = line.mask_of(parts[1])
        nearby = cv2.dilate(mask, np.ones((19, 19), np.uint8)) > 0
        assert not ((good != bad).any(axis=2) & ~nearby).any(), "a good part could be told away from the defect"
        assert (bad - good)[mask > 0].mean() > 8, "a scratch is bright"


def test_a_splash_is_brighter_than_what_it_covers() -> None:
    line = PourLine(4)
    for index in range(8):
        parts = [with_strength(line, "pour", strength, index) for strength in (None, "strong")]  # type: ignore[arg-type]
        good, bad = (line.photograph(part).frame.astype(int) for part in parts)
        assert (bad - good)[line.mask_of(parts[1]) > 0].mean() > 25


def test_a_scratch_shows_on_ink_and_hardly_on_the_ground() -> None:
    line, on_ink, on_ground = CodesLine(8), [], []
    for index in range(12):
        parts = [with_strength(line, "codes", strength, index) for strength in (None, "strong")]  # type: ignore[arg-type]
        good, bad = (line.photograph(part).frame[..., 0].astype(int) for part in parts)
        inside = cv2.erode(line.mask_of(parts[1]), np.ones((3, 3), np.uint8)) > 0
        dark = good < 0.5 * np.percentile(good, 90)
        light = cv2.erode((good > 0.85 * np.percentile(good, 90)).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        on_ink += list((bad - good)[inside & dark])
        on_ground += list((bad - good)[inside & light])
    assert np.median(on_ink) > 50
    assert abs(np.mean(on_ground)) < 8


@pytest.mark.parametrize("name", NEW)
def test_more_of_the_defect_shows_when_it_is_stronger(name: LineName) -> None:
    line = open_line(name, 6)

    def change(strength: Strength) -> float:
        total = 0.0
        for index in range(12):
            good, bad = (
                line.photograph(with_strength(line, name, one, index)).frame.astype(int) for one in (None, strength)
            )
            total += float(np.abs(bad - good).sum())
        return total

    faint, medium, strong = change("faint"), change("medium"), change("strong")
    assert 0 < 4 * faint < medium < strong


@pytest.mark.parametrize("name", NEW)
def test_one_bad_part_in_fifty_and_more_is_faint(name: LineName) -> None:
    line = open_line(name, 3, 0.3)
    bad = [part for part in map(line.part, range(6000)) if part.truth == "bad"]
    assert 1650 < len(bad) < 1950  # binomial(6000, 0.3) is outside this range for one seed in 30,000
    strengths = Counter(part.defects[0].strength for part in bad)
    assert 0.02 < strengths["faint"] / len(bad) < 0.12
    assert min(strengths["medium"], strengths["strong"]) > 0.35 * len(bad)
    assert all(part.defects[0].kind == KIND[name] for part in bad)
    assert len({part.code for part in map(line.part, range(6000))}) == 6000


def test_codes_are_as_large_as_those_that_they_imitate() -> None:
    line = CodesLine(2)
    sizes = np.array([line.mask(index).shape for index in range(300)])
    upright = sizes[(sizes[:, 1] > 2 * sizes[:, 0])]
    askew = sizes[(sizes.max(axis=1) < 1.3 * sizes.min(axis=1))]
    assert len(upright) > 50
    assert len(askew) > 50
    assert np.abs(np.median(upright, axis=0) - (110, 285)).max() < 20
    assert np.abs(np.median(askew) - 258) < 25
    assert (sizes[:, 0] > 2 * sizes[:, 1]).any(), "some stand on their side"


def test_codes_are_dark_on_a_bright_ground_and_grey() -> None:
    for photograph in map(CodesLine(9, 0.0).render, range(25)):
        frame = photograph.frame
        assert (frame[..., 0] == frame[..., 1]).all()
        assert (frame[..., 0] == frame[..., 2]).all()
        assert np.percentile(frame, 90) > np.percentile(frame, 10) + 40


def test_strokes_are_about_a_tenth_of_an_upright_crop() -> None:
    shares = [STEM / (text_width(text) + 0.25) for text in ("K7B", "4ZHT", "MCS", "R2D2")]
    assert 0.06 < min(shares) < max(shares) < 0.12


@pytest.mark.parametrize("character", CHARACTERS)
def test_a_letter_is_solid_and_fills_its_cell(character: str) -> None:
    plane = np.zeros((100, 110), np.uint8)
    fill(plane, tuple(points * 80 + 8 for points in letter_outlines(character)))
    x, y, width, height = cv2.boundingRect((plane > 127).astype(np.uint8))
    assert (x, y) == (pytest.approx(8, abs=3), pytest.approx(8, abs=2))
    assert width == pytest.approx(80 * letter_width(character), abs=4)
    assert height == pytest.approx(80, abs=3)
    assert 0.3 < (plane > 127).mean() * plane.size / (width * height) < 0.85
    assert cv2.connectedComponents((plane > 127).astype(np.uint8))[0] == 2, "one piece"


def test_letters_differ() -> None:
    drawn = set()
    for character in CHARACTERS:
        plane = np.zeros((100, 110), np.uint8)
        fill(plane, tuple(points * 80 + 8 for points in letter_outlines(character)))
        drawn.add(plane.tobytes())
    assert len(drawn) == len(CHARACTERS)


def test_pours_have_the_colours_of_those_that_they_imitate() -> None:
    line = split_lines("pour")["train"]
    pixels = np.concatenate([line.render(index).frame.reshape(-1, 3) for index in range(500)]) / 255
    assert pixels.mean(axis=0) == pytest.approx(MEAN_BGR, abs=0.002)
    assert pixels.std(axis=0) == pytest.approx(DEVIATION_BGR, abs=0.0015)
    assert MEAN_BGR[::-1] == pytest.approx((0.4234, 0.5342, 0.4621))
    assert DEVIATION_BGR[::-1] == pytest.approx((0.0452, 0.0505, 0.0466))


def test_good_pours_vary_less_within_than_spills() -> None:
    line = PourLine(21, 0.5)
    good, bad = [], []
    for photograph in map(line.render, range(500)):
        defects = photograph.part.defects
        if not defects:
            good.append(within(photograph))
        elif defects[0].strength != "faint":
            bad.append(within(photograph))
    assert np.percentile(good, [5, 95]) == pytest.approx((0.034, 0.056), abs=0.003)
    assert 0.066 < np.median(bad) < 0.097
    assert np.percentile(bad, [15, 90]) == pytest.approx((0.062, 0.096), abs=0.006)


def test_pours_differ_in_size() -> None:
    sizes = np.array([PourLine(3).mask(index).shape for index in range(200)])
    assert np.abs(sizes.mean(axis=0) - (25.5, 49)).max() < 0.6
    assert (sizes.min(axis=0) == (23, 45)).all()
    assert (sizes.max(axis=0) == (28, 53)).all()


def test_the_shift_changes_the_light_and_not_the_parts() -> None:
    lines = [PourLine(3, 0.3, shift) for shift in (0.0, 0.5, 1.0, 2.0)]
    means = [np.mean([line.render(index).frame.mean(axis=(0, 1)) for index in range(40)], axis=0) for line in lines]
    away = [float(np.abs(mean - means[0]).max()) for mean in means]
    assert away[0] == 0
    assert 1 < away[1] < away[2] < away[3]
    assert away[2] == pytest.approx(2 * away[1], rel=0.2)
    assert [lines[0].part(index) for index in range(40)] == [lines[3].part(index) for index in range(40)]
    assert all(np.array_equal(lines[0].mask(index), lines[3].mask(index)) for index in range(40))


def test_only_the_test_part_of_the_pours_is_lit_otherwise() -> None:
    shifts = {split: line.shift for split, line in split_lines("pour").items()}  # type: ignore[attr-defined]
    assert shifts == {"train": 0.0, "val": 0.0, "test": 1.0}
    assert split_lines("pour", shift=0.25)["test"].shift == 0.25  # type: ignore[attr-defined]


def test_the_pours_to_learn_from_are_good_whatever_the_defect_rate() -> None:
    rates = {split: line.defect_rate for split, line in split_lines("pour", defect_rate=0.5).items()}
    assert rates == {"train": 0.0, "val": 0.5, "test": 0.5}
    assert {line.defect_rate for line in split_lines("codes", defect_rate=0.5).values()} == {0.5}


@pytest.mark.parametrize("name", LINE_NAMES)
def test_each_line_has_a_plan_of_its_own_and_seeds_that_no_run_has(name: LineName) -> None:
    lines = split_lines(name, 2)
    assert [lines[split].seed for split in SPLITS] == [3001, 3002, 3003]
    assert all(plan.count > 0 for plan in PLANS[name].values())
    assert PLANS[name]["val"].defect_rate > 0


@pytest.mark.parametrize(
    ("opened", "complaint"),
    [
        (lambda: CodesLine(-1), "seed -1"),
        (lambda: CodesLine(0, 1.5), "defect rate 1.5"),
        (lambda: PourLine(0, 0.1, -0.1), "shift -0.1: must be 0 to 3"),
        (lambda: PourLine(0, 0.1, 3.5), "shift 3.5: must be 0 to 3"),
        (lambda: open_line("codes", size=(100, 100)), "line codes: its photographs have sizes of their own"),
        (lambda: PourLine().part(-1), "part -1"),
    ],
)
def test_an_impossible_line_is_refused(opened: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        opened()


def test_a_shift_of_a_line_without_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"line codes: .* leave out --shift, which pour has"):
        split_lines("codes", shift=0.0)


def test_the_examples_in_the_documentation_are_true() -> None:
    for module in (edge.demo.codes, edge.demo.pour):
        assert doctest.testmod(module) == doctest.TestResults(failed=0, attempted=4)
