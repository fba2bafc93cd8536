"""Photographs of small parts with defects of two kinds that a person tells apart at a glance: spots and lines."""

from pathlib import Path

import cv2
import numpy as np

from edge.frame import Frame
from train.fit import fit
from train.recipe import load_recipe
from train.run import Run

SIZE = (72, 96)
KINDS = ("line", "spot")


def part(rng: np.random.Generator, kind: str | None) -> tuple[Frame, Frame]:
    """A part with a defect of a kind, or without one, and the mask of the defect."""
    height, width = SIZE
    picture = np.full((height, width), 150.0) + 6 * rng.standard_normal((height, width))
    mask = np.zeros((height, width), np.uint8)
    row, column = int(rng.integers(18, height - 18)), int(rng.integers(24, width - 24))
    if kind == "spot":
        cv2.circle(mask, (column, row), int(rng.integers(6, 10)), 255, -1)
    if kind == "line":
        angle = rng.uniform(0, np.pi)
        along = np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(24, 34)
        ends = [tuple(map(int, (column, row) + sign * along)) for sign in (-1, 1)]
        cv2.line(mask, ends[0], ends[1], 255, 2)
    picture[mask > 0] = 60
    grey = cv2.GaussianBlur(picture, (3, 3), 0).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2), mask


def two_kinds(folder: Path, good: int = 24, of_kind: int = 12, **more: int) -> Path:
    """Photographs for a training: train/, val/ and test/ with good/, bad/KIND/ and mask/KIND/. `more` are further kinds
    of defects, spots in all but name, with so many photographs in train/bad/.
    """
    rng = np.random.default_rng(5)
    for split, share in (("train", 1.0), ("val", 0.5), ("test", 0.5)):
        counts = {None: int(good * share), **dict.fromkeys(KINDS, int(of_kind * share))}
        counts |= more if split == "train" else {}
        for kind, count in counts.items():
            for number in range(count):
                picture, mask = part(rng, "spot" if kind in more else kind)
                where = folder / split / ("good" if kind is None else f"bad/{kind}")
                where.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(where / f"{kind}_{number}.png"), picture)
                if kind is not None:
                    marked = folder / split / "mask" / kind
                    marked.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(str(marked / f"{kind}_{number}.png"), mask)
    return folder


def trained_on_two_kinds(data: Path, out: Path, *overrides: str) -> Run:
    """A small inspector, trained on such photographs in a few seconds."""
    quick = ["letterbox.side=64", "train.crop=64", "train.epochs=2", "train.batch=8", "model.familiar=10"]
    run = fit("inspector", load_recipe("inspector", [*quick, *overrides]), data, out)
    assert run is not None
    return run
