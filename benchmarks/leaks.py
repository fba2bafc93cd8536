"""`python -m benchmarks.leaks DATA …`: which near-duplicates are found, and which different parts are taken for one.

Of each folder of photographs: the pairs in different splits as the folder stands, and copies that are planted among the
photographs of val and test, on which nothing was tuned: turned, mirrored, shifted, compressed, lit otherwise. Writes
docs/reports/leaks.md.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer

from benchmarks.markdown import paragraph, table
from benchmarks.script import steps
from edge.cli import run_app
from edge.photographs.photograph import Photograph, read_photograph
from train.data.leaks import Leaks, find_leaks
from train.data.likeness import Limits, Thumbnail, thumbnail
from train.data.split import AS_FOLDERS, divide

Frame = npt.NDArray[np.uint8]
Change = Callable[[Frame, np.random.Generator], Frame]

ORIGINALS, EACH = 400, 20
"""Photographs among which copies are planted, and copies of each kind."""

MOST = 1200
"""Photographs of a folder that are compared as it stands; of a larger one as many are drawn from each split."""


def _turned(frame: Frame, rng: np.random.Generator) -> Frame:
    height, width = frame.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(5, 355), 1)
    return _warped(frame, np.asarray(turn, np.float64))


def _shifted(frame: Frame, rng: np.random.Generator) -> Frame:
    height, width = frame.shape[:2]
    x, y = rng.uniform(0.02, 0.05, 2) * rng.choice([-1, 1], 2) * (width, height)
    return _warped(frame, np.array([[1, 0, x], [0, 1, y]]))


def _warped(frame: Frame, warp: npt.NDArray[np.float64]) -> Frame:
    height, width = frame.shape[:2]
    how = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
    return np.asarray(cv2.warpAffine(frame, warp, (width, height), **how), np.uint8)  # type: ignore[call-overload]


def _compressed(frame: Frame, quality: int) -> Frame:
    encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def _lit(frame: Frame, gain: float, level: float = 0.0) -> Frame:
    return np.asarray(np.clip(np.round((frame - level) * gain + level), 0, 255), np.uint8)


def _cropped(frame: Frame, rng: np.random.Generator) -> Frame:
    height, width = frame.shape[:2]
    top, bottom = (rng.uniform(0.02, 0.05, 2) * height).round().astype(int)
    left, right = (rng.uniform(0.02, 0.05, 2) * width).round().astype(int)
    return frame[top : height - bottom, left : width - right].copy()


def _resized(frame: Frame, rng: np.random.Generator) -> Frame:
    scale = rng.choice([0.9, 1.1])
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=smoothing), np.uint8)


def _together(frame: Frame, rng: np.random.Generator) -> Frame:
    turned = _turned(_shifted(frame[:, ::-1] if rng.random() < 0.5 else frame, rng), rng)
    return _compressed(_lit(turned, rng.choice([0.8, 1.2])), 70)


CHANGES: dict[str, Change] = {
    "turned by 90° or 270°": lambda frame, rng: np.rot90(frame, rng.choice([1, 3])).copy(),
    "turned by 180°": lambda frame, _: frame[::-1, ::-1].copy(),
    "turned by any angle": _turned,
    "mirrored": lambda frame, _: frame[:, ::-1].copy(),
    "shifted by 2 to 5 % both ways": _shifted,
    "JPEG of quality 50": lambda frame, _: _compressed(frame, 50),
    "exposure × 0.7": lambda frame, _: _lit(frame, 0.7),
    "exposure × 1.4": lambda frame, _: _lit(frame, 1.4),
    "contrast × 0.6 or × 1.5": lambda frame, rng: _lit(frame, rng.choice([0.6, 1.5]), float(frame.mean())),
}
"""What the goal is for; a turn keeps the size of the canvas, so that corners are lost."""

FURTHER: dict[str, Change] = {
    "cropped by 2 to 5 % at each edge": _cropped,
    "resized by 0.9 or 1.1": _resized,
    "mirrored or not, shifted, turned, exposure, JPEG of quality 70": _together,
}


@dataclass
class Found:
    """What was found in one folder.

    `as_it_is` are the pairs across splits of `photographs`, which took `seconds` of one core to compare. `copies`
    counts for each change how many of EACH copies were found, and of these how many are certain; `wrong` are pairs of a
    copy and a photograph of another part.
    """

    name: str
    photographs: int
    seconds: float
    as_it_is: Leaks
    originals: int = 0
    planted: Limits | None = None
    copies: dict[str, tuple[int, int]] = field(default_factory=dict)
    wrong: int = 0
    wrong_certain: int = 0


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def leaks(
    data: Annotated[list[Path], typer.Argument(help="Folders of photographs.")],
    seed: Annotated[int, typer.Option(help="Seed of the copies.")] = 0,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="Write leaks.md into this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False,
) -> None:
    """Count the near-duplicates that are found, and the different parts that are taken for one."""
    cv2.setNumThreads(1)
    found = []
    with steps(2 * len(data)) as step:
        for folder in data:
            rng = np.random.default_rng(seed)
            step(f"{folder}: as it is")
            one = stands(folder, rng)
            step(f"{folder}: copies")
            plant(folder, one, rng)
            found.append(one)
    page = render(found)
    if docs is not None:
        (docs / "leaks.md").write_text(page, encoding="utf-8")
    print(json.dumps([as_result(one) for one in found]) if as_json else page)


def stands(folder: Path, rng: np.random.Generator) -> Found:
    """The pairs of a folder as its photographs are split."""
    splits = divide(folder, AS_FOLDERS).splits
    count = sum(map(len, splits.values()))
    if count > MOST:
        splits = {split: _drawn(ones, MOST * len(ones) // count, rng) for split, ones in splits.items()}
    pictures = {one.name: thumbnail(read_photograph(one)) for ones in splits.values() for one in ones}
    began = time.process_time()
    pairs = find_leaks(splits, pictures)
    return Found(_named(folder), len(pictures), time.process_time() - began, pairs)


def plant(folder: Path, found: Found, rng: np.random.Generator) -> None:
    """Plant copies of each kind among photographs of val and test, and count those that are found."""
    splits = divide(folder, AS_FOLDERS).splits
    originals = _drawn([*splits["val"], *splits["test"]], ORIGINALS, rng)
    pictures: dict[str, Thumbnail] = {one.name: thumbnail(read_photograph(one)) for one in originals}
    copies, origin = [], {}
    changes = (CHANGES | FURTHER).items()
    order = rng.permutation(len(originals))
    for number, (kind, change) in enumerate([one for one in changes for _ in range(EACH)]):
        original = originals[order[number % len(order)]]
        copy = replace(original, name=f"{kind}/{number}/{original.name}")
        pictures[copy.name] = thumbnail(change(read_photograph(original), rng))
        origin[copy.name] = original
        copies.append(copy)
    leaks = find_leaks({"train": originals, "val": [], "test": copies}, pictures)
    across, found.planted = leaks.across, leaks.limits
    reached: dict[str, bool] = {}
    for pair in across:
        original = origin[pair.second.name]
        if pair.first.name == original.name or _part(pair.first) == _part(original):
            reached[pair.second.name] = reached.get(pair.second.name, False) or pair.is_certain
        else:
            found.wrong += 1
            found.wrong_certain += pair.is_certain
    for kind in CHANGES | FURTHER:
        certain = [is_certain for name, is_certain in reached.items() if name.startswith(f"{kind}/")]
        found.copies[kind] = len(certain), sum(certain)
    found.originals = len(originals)


def _drawn(photographs: Sequence[Photograph], count: int, rng: np.random.Generator) -> list[Photograph]:
    order = rng.permutation(len(photographs))[:count]
    return [photographs[index] for index in sorted(order)]


def _part(photograph: Photograph) -> str:
    return photograph.details.get("part") or photograph.name


def _named(folder: Path) -> str:
    """The folder with the one above it, as far as that tells anything."""
    return folder.name if folder.parent.name in ("build", "data", "") else f"{folder.parent.name} {folder.name}"


def as_result(one: Found) -> dict[str, object]:
    """The result of one folder as JSON types."""
    pairs = [(p.first.name, p.second.name, round(p.correlation, 4), p.is_certain) for p in one.as_it_is.across]
    limits = one.as_it_is.limits
    return vars(one) | {"as_it_is": pairs, "limits": None if limits is None else limits.model_dump()}


def render(found: Sequence[Found]) -> str:
    """The page: pairs of each folder, and copies found by kind."""
    parts = [
        "# Photographs that look alike\n",
        paragraph(
            "Written by `python -m benchmarks.leaks DATA … --docs docs/reports`; no figure on this page was typed by a "
            f"person. Folders of more than {MOST:,} photographs are represented by so many, drawn from each split."
        ),
        "## Pairs in different splits\n",
        paragraph(
            "The pairs that `edge-train` reports, those of them that it calls certain and refuses, and how many pairs "
            "of different parts it expects by chance, from the photographs of different parts within a split. The "
            "limits are the agreement of detail as a correlation, and that of brightness on Fisher's z scale, of the "
            "places where two photographs agree least. The magnetic tiles hold tiles under several numbers in "
            "different splits: 14 pairs of numbers by eye, and one that follows from them. No other folder is known "
            "to hold a copy."
        ),
        table(
            (
                *("data", "photographs", "pairs", "of parts", "certain", "by chance"),
                *("detail from", "certain from", "brightness from", "certain from", "seconds"),
            ),
            [_as_it_is(one) for one in found],
        ),
        "## Copies found\n",
        paragraph(
            f"{EACH} copies of each kind of other photographs of val and test are planted as a split of their own; a "
            "copy counts as found if it is reported with its original or another photograph of the same part. In "
            "brackets: how many are called certain."
        ),
        table(
            ("copies", *(one.name for one in found)),
            [(kind, *(_copies(one, [kind]) for one in found)) for kind in CHANGES]
            + [("**all of these**", *(f"**{_copies(one, list(CHANGES))}**" for one in found))]
            + [(kind, *(_copies(one, [kind]) for one in found)) for kind in FURTHER]
            + [("pairs with another part", *(f"{one.wrong} ({one.wrong_certain})" for one in found))],
        ),
        paragraph(
            f"The originals are {', '.join(f'{one.originals} ({one.name})' for one in found)}. Where parts "
            "are very similar, not every copy is found, least of all one that was cropped or changed in several ways."
        ),
    ]
    return "\n".join(parts)


def _as_it_is(one: Found) -> tuple[str, ...]:
    across, limits = one.as_it_is.across, one.as_it_is.limits
    of_parts = {frozenset((_part(pair.first), _part(pair.second))) for pair in across}
    assert limits is not None
    return (
        one.name,
        f"{one.photographs:,}",
        str(len(across)),
        str(len(of_parts)),
        str(len(one.as_it_is.certain)),
        "-" if limits.expected is None else f"{limits.expected:.2g}",
        f"{np.tanh(limits.alike):.3f}",
        f"{np.tanh(limits.certain):.3f}",
        *("-" if z is None else f"{z:.2f}" for z in (limits.alike_brightness, limits.certain_brightness)),
        f"{one.seconds:.0f}",
    )


def _copies(one: Found, kinds: Sequence[str]) -> str:
    reached, certain = np.sum([one.copies[kind] for kind in kinds], axis=0)
    return f"{reached / EACH / len(kinds):.0%} ({certain / EACH / len(kinds):.0%})"


if __name__ == "__main__":
    run_app(app, extra="train")
