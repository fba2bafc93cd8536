"""How parts stand in their photographs: alike, anywhere, or unknown."""

import cv2
import numpy as np
import pytest

from autotrain.alignment import Alignment, alignment
from edge.frame import Frame

SIDE = 200


def part(degrees: float = 0.0, shift: tuple[int, int] = (0, 0), seed: int = 0) -> Frame:
    """A photograph of a plate with holes, which no rotation maps onto itself; noise and light differ by photograph."""
    frame = np.full((SIDE, SIDE, 3), 60, np.uint8)
    cv2.rectangle(frame, (60, 70), (150, 130), (170, 170, 170), -1)
    cv2.circle(frame, (80, 90), 9, (30, 30, 30), -1)
    cv2.circle(frame, (130, 112), 12, (30, 30, 30), -1)
    cv2.rectangle(frame, (100, 70), (112, 84), (90, 90, 90), -1)
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, 1)
    matrix[:, 2] += shift
    turned = cv2.warpAffine(frame, matrix, (SIDE, SIDE), borderValue=(60, 60, 60))
    rng = np.random.default_rng(seed)
    noisy = turned * rng.uniform(0.8, 1.2) + rng.normal(0, 3, turned.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)


def test_parts_in_a_fixture_stand_alike() -> None:
    found = alignment([part(seed=seed) for seed in range(12)])
    assert found.is_known
    assert not found.is_loose
    assert str(found) == "parts stand at the same place and angle"


def test_parts_at_any_angle_are_found_with_the_remedy() -> None:
    rng = np.random.default_rng(0)
    found = alignment([part(rng.uniform(0, 360), seed=seed) for seed in range(12)])
    assert found.is_loose
    assert 30 < found.degrees < 150
    assert "patchcore" in str(found)


def test_parts_at_different_places_are_found() -> None:
    rng = np.random.default_rng(0)
    shifts = [(int(x), int(y)) for x, y in rng.integers(-25, 26, (12, 2))]
    found = alignment([part(shift=shift, seed=seed) for seed, shift in enumerate(shifts)])
    assert found.is_loose
    assert found.degrees == 0
    assert found.shift > 0.03


def test_of_a_texture_nothing_is_said() -> None:
    rng = np.random.default_rng(0)
    found = alignment([rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(12)])
    assert not found.is_known
    assert not found.is_loose


@pytest.mark.parametrize("frames", [[], [part()], [np.zeros((50, 80, 3), np.uint8)] * 3])
def test_of_too_little_nothing_is_said(frames: list[Frame]) -> None:
    assert alignment(frames) == Alignment(0.0, 0.0, 0.0, 0.0)
