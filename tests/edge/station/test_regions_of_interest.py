"""Regions of the frame, judged one by one: the worst score decides, and defects are located on the whole frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import DEMO_BUNDLE, ran, running_line

from edge.backends import load_from
from edge.bundle import load_bundle
from edge.demo.line import DemoLine
from edge.station.inference.locating import find_regions
from edge.verdict import Reason

SIZE = (180, 320)


def side_by_side(folder: Path) -> None:
    """Write frames with two parts each, left and right."""
    folder.mkdir()
    line = DemoLine(size=SIZE, seed=3)
    for number in range(12):
        parts = [line.render(2 * number), line.render(2 * number + 1)]
        cv2.imwrite(str(folder / f"{number:02}.png"), np.concatenate([part.frame for part in parts], axis=1))


def test_the_worst_of_the_regions_decides_and_its_places_are_those_of_the_frame(tmp_path: Path) -> None:
    side_by_side(tmp_path / "pairs")
    regions = ("--region", "0,0,320x180", "--region", "320,0,320x180")
    with running_line("--source", tmp_path / "pairs", "--backend", "openvino", *regions) as line:
        assert line.to_the_end() == 0, line.stderr
    bundle = load_bundle(DEMO_BUNDLE)
    level = bundle.manifest.map_threshold
    assert level is not None
    runtime = load_from(bundle, "openvino", 2, SIZE)
    rejected_halves = set()
    for verdict, path in zip(line.verdicts, sorted((tmp_path / "pairs").iterdir()), strict=True):
        frame = cv2.imread(str(path))
        scores, expected, rejected = [], set(), []
        for number, half in enumerate(np.split(frame, 2, axis=1)):
            output = runtime.infer(np.ascontiguousarray(half))
            scores.append(output.score)
            assert output.map is not None
            assert verdict.threshold is not None
            if output.score >= verdict.threshold:
                rejected.append(number)
                for found in find_regions(output.map, SIZE, bundle.manifest.letterbox, level.value):
                    expected.add((found.x + 320 * number, found.y, found.width, found.height))
        assert verdict.score == pytest.approx(max(scores), abs=1e-5)
        boxes = [defect.box for defect in verdict.defects or ()]
        assert {(box.x, box.y, box.width, box.height) for box in boxes} == expected
        rejected_halves.add((*rejected,))
    assert rejected_halves >= {(), (0,), (1,)}, "the map of the last region is not that of every region"


def test_a_frame_that_does_not_hold_a_region_is_unknown_corrupt(tmp_path: Path) -> None:
    side_by_side(tmp_path / "pairs")
    with running_line("--source", tmp_path / "pairs", "--region", "400,0,320x180") as line:
        assert line.to_the_end() == 1
    assert {v.reason for v in line.verdicts} == {Reason.CORRUPT}


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3x", "-1,0,10x10", "0,0,1x1"])
def test_what_is_no_region_is_one_line(text: str) -> None:
    done = ran("run", "--source", "demo", "--region", text, "--no-records")
    assert done.returncode == 2
    assert "--region" in done.stderr
    assert len(done.stderr.splitlines()) == 1
