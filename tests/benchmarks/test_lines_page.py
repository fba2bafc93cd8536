"""The page of the rendered lines: measured figures, the parameters of the code, small pictures."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import ROOT

from benchmarks.lines import page
from benchmarks.lines.figures import measure, within_deviation
from benchmarks.lines.sheets import write_faint, write_sheet
from edge.demo.lines import open_line

PAGE = (ROOT / "docs" / "guide" / "demo-lines.md").read_text()
PICTURES = ("lines-codes.jpg", "lines-codes-faint.jpg", "lines-pour.jpg", "lines-pour-faint.jpg")


def test_figures_are_those_of_the_photographs() -> None:
    line = open_line("pour", 3, 0.5)
    figures = measure(line, 40)
    photographs = [line.render(index) for index in range(40)]
    good = [one.frame for one in photographs if one.part.truth == "good"]
    pixels = np.concatenate([frame.reshape(-1, 3) for frame in good])[:, ::-1] / 255
    assert figures.mean == pytest.approx(pixels.mean(axis=0))
    assert figures.deviation == pytest.approx(pixels.std(axis=0))
    assert figures.within["good"][1] == pytest.approx(np.median([within_deviation(frame) for frame in good]))
    assert sum(figures.count.values()) == 40
    areas = [one.frame.shape[0] * one.frame.shape[1] for one in photographs]
    assert [width * height for width, height in figures.sizes] == [min(areas), max(areas)]


def test_the_page_has_the_parameters_that_are_drawn() -> None:
    for text in (page._counts(), page._code_table(), page._pour_table()):
        assert text in PAGE


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_page_are_there_and_small(name: str) -> None:
    assert f"(../reports/{name})" in PAGE
    assert 20_000 < (ROOT / "docs" / "reports" / name).stat().st_size < 400_000


@pytest.mark.parametrize("name", ["codes", "pour"])
def test_sheets_are_drawn(name: str, tmp_path: Path) -> None:
    line = open_line(name, 77, 0.4)  # type: ignore[arg-type]
    write_sheet(tmp_path / "sheet.jpg", name, line)
    write_faint(tmp_path / "faint.jpg", name, line)
    sheet, faint = (cv2.imread(str(tmp_path / f"{file}.jpg")) for file in ("sheet", "faint"))
    assert sheet is not None
    assert faint is not None
    assert sheet.shape[1] > 1200
    outlines = (faint[..., 2].astype(int) - faint[..., 1] > 90) & (faint[..., 2].astype(int) - faint[..., 0] > 90)
    assert 150 < outlines.sum() < 0.05 * outlines.size
