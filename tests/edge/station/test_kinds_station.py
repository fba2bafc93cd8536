"""A running station tells the kind of each reject, of whole frames and of regions."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.kind_bundle import kind_bundle
from support.line import running_line
from support.records import rows

from edge.backends import RUNTIMES, Output
from edge.bundle import Manifest, MapThreshold
from edge.demo.line import DemoLine
from edge.station.inference.child import _kind
from edge.station.process.messages import NamedKind
from edge.verdict import Outcome, Verdict

SIZE = (180, 320)


def with_places(manifest: Manifest) -> Manifest:
    """The manifest with a map threshold, so that verdicts say where defects are."""
    chosen = MapThreshold(value=0.5, strategy="given", artifact="openvino", data="none", dice=None)
    return manifest.model_copy(update={"map_threshold": chosen})


def half_of(verdict: Verdict, left: int, width: int) -> str | None:
    """The half of a frame, or of a region from `left` on, with the defect of the largest peak; None if in both."""
    assert verdict.defects
    box, middle = verdict.defects[0].box, left + width / 2
    if box.x < middle < box.x + box.width:
        return None
    return "left" if box.x + box.width <= middle else "right"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_reject_has_the_kind_of_its_largest_defect_and_no_good_part_has_one(tmp_path: Path, runtime: str) -> None:
    bundle = kind_bundle(tmp_path / "kinds.edge", with_places)
    arguments = ("--source", "demo", "--limit", 40, "--size", "320x180", "--backend", runtime)
    with running_line(*arguments, "--records", tmp_path / "records", bundle=bundle) as line:
        assert line.to_the_end() == 0, line.stderr
    rejects = [v for v in line.verdicts if v.verdict is Outcome.REJECT]
    assert all(v.kind is None and v.kind_number is None for v in line.verdicts if v.verdict is not Outcome.REJECT)
    halves = [half_of(v, 0, 320) for v in rejects]
    assert {*halves} >= {"left", "right"}
    for verdict, half in zip(rejects, halves, strict=True):
        assert half in (None, verdict.kind)
        assert verdict.kind_number == {"left": 1, "right": 2}[str(verdict.kind)]
        assert 0.5 <= (verdict.kind_probability or 0) <= 1
    kept = [json.loads(text).get("kind") for (text,) in rows(tmp_path / "records", "SELECT json FROM verdicts")]
    assert kept == [v.kind for v in line.verdicts]


def test_the_region_with_the_highest_score_says_the_kind(tmp_path: Path) -> None:
    demo, folder = DemoLine(size=SIZE, seed=3), tmp_path / "pairs"
    folder.mkdir()
    for number in range(12):
        parts = [demo.render(2 * number), demo.render(2 * number + 1)]
        cv2.imwrite(str(folder / f"{number:02}.png"), np.concatenate([part.frame for part in parts], axis=1))
    regions = ("--region", "0,0,320x180", "--region", "320,0,320x180")
    bundle = kind_bundle(tmp_path / "kinds.edge", with_places)
    with running_line("--source", folder, "--backend", "onnxruntime", *regions, bundle=bundle) as line:
        assert line.to_the_end() == 0, line.stderr
    rejects = [v for v in line.verdicts if v.verdict is Outcome.REJECT]
    told = [(half_of(v, 320 * (v.defects[0].box.x >= 320), 320), v.kind) for v in rejects if v.defects]
    assert {half for half, _ in told} >= {"left", "right"}
    assert all(half in (None, kind) for half, kind in told)


def test_verdicts_without_their_kinds_are_those_of_the_bundle_without_kinds(tmp_path: Path) -> None:
    bundle = kind_bundle(tmp_path / "kinds.edge")
    arguments = ("--source", "demo", "--limit", 15, "--size", "320x180", "--backend", "onnxruntime", "--seed", 3)
    said = []
    for folder in (bundle, None):
        with running_line(*arguments, **({"bundle": folder} if folder else {})) as line:
            assert line.to_the_end() == 0, line.stderr
        said.append([(v.part, v.verdict, v.score, v.threshold) for v in line.verdicts])
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ((0.9, [0.2, 0.8]), (0.7, [0.6, 0.4]), NamedKind(2, 0.8)),
        ((0.7, [0.2, 0.8]), (0.9, [0.6, 0.4]), NamedKind(1, 0.6)),
        ((0.9, [0.2, 1.5]), (0.7, [0.6, 0.4]), NamedKind(2, 1.0)),
        ((0.9, [math.nan, math.nan]), (0.7, [0.6, 0.4]), None),
        ((0.9, None), (0.7, None), None),
    ],
)
def test_of_two_regions_the_worse_one_says_the_kind_and_what_is_no_probability_says_none(
    first: tuple[float, list[float] | None], second: tuple[float, list[float] | None], named: NamedKind | None
) -> None:
    regions = [(None, Output(score, None, kinds and np.array(kinds))) for score, kinds in (first, second)]
    assert _kind(regions) == named
