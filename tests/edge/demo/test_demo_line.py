"""The demo line: reproducible, with correct truths of its parts, and difficult without tricks."""

import doctest
import hashlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.demo.line
from edge.demo.belt import lay_belt
from edge.demo.design import draw_design, plate_width
from edge.demo.line import DemoLine
from edge.demo.truth import KINDS, STRENGTHS, Defect, DemoPart

SMALL = (72, 128)
HD = (720, 1280)
NETWORK = (320, 180)
"""Size of a 1280×720 frame in a letterbox of side 320, (width, height)."""

PLAINNESS_AT_320 = {"faint": 12, "medium": 25, "strong": 40}
"""Grey levels by which a defect changes its plainest pixel at the network's size; noise and brushing have about 3."""


def fingerprint(line: DemoLine, indices: list[int]) -> str:
    digest = hashlib.sha256()
    for index in indices:
        photograph = line.render(index)
        digest.update(photograph.frame.tobytes() + line.mask(index).tobytes() + repr(photograph.part).encode())
    return digest.hexdigest()


def with_defect(index: int, *defects: Defect) -> DemoPart:
    return DemoPart(index, "A000001", "bad" if defects else "good", defects)


@given(seed=st.integers(0, 2**40), indices=st.lists(st.integers(0, 10**9), min_size=2, max_size=4, unique=True))
@settings(max_examples=15, deadline=None)
def test_a_part_is_the_same_in_every_order_of_asking(seed: int, indices: list[int]) -> None:
    one, other = DemoLine(seed, SMALL), DemoLine(seed, SMALL)
    there = {index: one.render(index) for index in indices}
    back = {index: other.render(index) for index in reversed(indices)}
    for index in indices:
        assert there[index].part == back[index].part == one.part(index)
        assert np.array_equal(there[index].frame, back[index].frame)


def test_a_part_is_the_same_in_another_process() -> None:
    program = (
        "from test_demo_line import DemoLine, fingerprint; "
        "DemoLine(3, (48, 64)).render(5); "  # another size before, and the parts in another order
        "line = DemoLine(7, (200, 300), 0.6); line.render(11); print(fingerprint(line, [0, 3, 1, 12345]))"
    )
    command = [sys.executable, "-c", program]
    elsewhere = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == fingerprint(DemoLine(7, (200, 300), 0.6), [0, 3, 1, 12345])


@given(height=st.integers(16, 400), width=st.integers(16, 400), index=st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_any_size_is_rendered_whole_and_its_mask_tells_the_truth(height: int, width: int, index: int) -> None:
    line = DemoLine(1, (height, width), 0.5)
    photograph, mask = line.render(index), line.mask(index)
    assert photograph.frame.shape == (height, width, 3)
    assert photograph.frame.dtype == np.uint8
    assert photograph.frame.flags.c_contiguous
    assert mask.shape == (height, width)
    assert set(np.unique(mask)) <= {0, 255}
    assert mask.any() == (photograph.part.truth == "bad") == bool(photograph.part.defects)


@pytest.mark.parametrize("size", [(16, 16), (16, 4096), (4096, 16), (1999, 1501)])
def test_extreme_sizes_are_rendered(size: tuple[int, int]) -> None:
    line = DemoLine(0, size, 1.0)
    assert line.render(0).frame.shape == (*size, 3)
    assert line.mask(0).any()


def test_seed_and_index_choose_the_part() -> None:
    frames = [DemoLine(seed, SMALL).render(index).frame for seed in (0, 1) for index in (0, 1, 2)]
    assert len({frame.tobytes() for frame in frames}) == 6


def test_the_defect_rate_is_kept_and_every_defect_occurs() -> None:
    line = DemoLine(5, SMALL, 0.2)
    parts = [line.part(index) for index in range(4000)]
    bad = [part for part in parts if part.truth == "bad"]
    assert 700 < len(bad) < 900  # binomial(4000, 0.2) is outside this range for one seed in 10,000
    occurred = Counter(defect for part in bad for defect in part.defects)
    assert set(occurred) == {Defect(kind, strength) for kind in KINDS for strength in STRENGTHS}
    assert min(occurred.values()) > 50
    assert len({part.code for part in parts}) == len(parts)


@pytest.mark.parametrize(("rate", "truth"), [(0.0, {"good"}), (1.0, {"bad"})])
def test_a_line_can_make_only_good_or_only_bad_parts(rate: float, truth: set[str]) -> None:
    line = DemoLine(0, SMALL, rate)
    assert {line.part(index).truth for index in range(50)} == truth


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_can_be_seen_at_the_size_a_network_sees(kind: str, strength: str) -> None:
    line, plainness = DemoLine(2, HD), PLAINNESS_AT_320[strength]
    for index in range(5):
        good = line.photograph(with_defect(index)).frame
        bad = line.photograph(with_defect(index, Defect(kind, strength))).frame  # type: ignore[arg-type]
        small = [cv2.resize(frame, NETWORK, interpolation=cv2.INTER_AREA).mean(axis=2) for frame in (good, bad)]
        assert np.abs(small[1] - small[0]).max() > plainness, index


@pytest.mark.parametrize("kind", KINDS)
def test_a_defect_changes_what_its_mask_covers_and_nothing_else(kind: str) -> None:
    line = DemoLine(4, HD)
    for index in range(4):
        part = with_defect(index, Defect(kind, "strong"))  # type: ignore[arg-type]
        good, bad = line.photograph(with_defect(index)).frame, line.photograph(part).frame
        mask = line.mask_of(part)
        changed = (good != bad).any(axis=2)
        nearby = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
        assert not (changed & ~nearby).any(), "a good part could be told from a bad one away from the defect"
        assert changed[mask > 0].mean() > 0.8


def test_a_stronger_defect_is_larger() -> None:
    line = DemoLine(6, HD)
    for kind in KINDS:
        areas = [
            np.mean([np.count_nonzero(line.mask_of(with_defect(i, Defect(kind, strength)))) for i in range(6)])
            for strength in STRENGTHS
        ]
        assert areas == sorted(areas)
        assert areas[2] > 2 * areas[0]


@pytest.mark.parametrize("size", [HD, (1280, 720), (64, 64), (40, 300), (300, 40)])
def test_the_whole_part_is_in_the_frame(size: tuple[int, int]) -> None:
    line, design = DemoLine(9, size), draw_design(plate_width(size))
    left, top = design.margin - 0.5, design.margin - 0.5
    right, bottom = left + design.width, top + design.height
    plate = np.array([[x, y, 1.0] for x in (left, right) for y in (top, bottom)])
    corners = np.array([plate @ line.pose(index).T for index in range(500)])
    assert corners.min() > 0
    assert (corners.max(axis=(0, 1)) < (size[1] - 1, size[0] - 1)).all()
    assert np.ptp(corners, axis=0).min() > 0.02 * min(size), "parts do not all lie the same"


def test_the_code_is_printed_on_the_part() -> None:
    line = DemoLine(0, HD)
    one = line.photograph(DemoPart(3, "A000003", "good")).frame.astype(int)
    other = line.photograph(DemoPart(3, "A000008", "good")).frame.astype(int)
    rows, columns = np.nonzero(np.abs(one - other).max(axis=2) > 20)
    assert len(rows) > 100
    assert np.ptp(rows) < 70, "one character of the code and nothing else differs"
    assert np.ptp(columns) < 70


def test_the_light_drifts_slowly() -> None:
    line = DemoLine(0, SMALL, 0.0)
    brightness = np.array([line.render(index).frame.mean() for index in range(0, 800, 4)])
    smooth = np.convolve(brightness, np.ones(8) / 8, "valid")
    assert np.ptp(smooth) > 12
    assert np.abs(np.diff(smooth)).max() < 3


def test_the_belt_moves_under_the_parts_and_comes_round() -> None:
    line = DemoLine(0, HD, 0.0)
    corners = [cv2.blur(line.render(index).frame[60:110, :280, 1], (3, 3)).ravel() for index in range(4)]
    likeness = np.corrcoef(corners)[np.triu_indices(4, k=1)]
    assert likeness.max() < 0.8  # the light alone makes 0.36 to 0.65; on a belt that stands still it is 0.88 to 0.97
    views = np.empty((3, *SMALL, 3), np.uint8)
    for view, offset in zip(views, (0.0, 0.25, 1.0), strict=True):
        lay_belt(SMALL).view(offset, view)
    half = SMALL[1] // 2
    assert np.array_equal(views[0][:, half:], views[1][:, :half]), "a quarter of two frames further"
    assert np.array_equal(views[0], views[2])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"size": (15, 64)}, "64x15"),
        ({"size": (64, 9000)}, "9000x64"),
        ({"defect_rate": 1.5}, "defect rate 1.5"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_an_impossible_line_is_refused(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        DemoLine(**arguments)  # type: ignore[arg-type]


def test_the_example_in_the_documentation_is_true() -> None:
    assert doctest.testmod(edge.demo.line).failed == 0


def test_a_part_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="part -1"):
        DemoLine(0, SMALL).part(-1)
