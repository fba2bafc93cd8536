"""A good and a bad plate, their annotations, and what is read of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.photograph_layouts import Box, Plates, coco

from edge.errors import DataError
from edge.photographs.listing import Listing, read_listing
from edge.photographs.photograph import Photograph, read_truth
from edge.photographs.survey import survey


@pytest.fixture
def plates(tmp_path: Path) -> Plates:
    return Plates(tmp_path / "data")


def named(listing: Listing, name: str) -> Photograph:
    return next(one for one in listing.photographs if one.name == name)


def truth_of(plates: Plates, name: str) -> np.ndarray:
    truth = read_truth(named(read_listing(plates.folder), name))
    assert truth is not None
    return truth


def labels(plates: Plates) -> dict[str, tuple[str, str | None]]:
    return {one.name: (one.label, one.defect) for one in read_listing(plates.folder).photographs}


def refused(plates: Plates) -> str:
    """The line with which the folder is refused, when it is listed or surveyed."""
    with pytest.raises(DataError) as refusal:
        survey(read_listing(plates.folder).photographs)
    said = str(refusal.value)
    assert "\n" not in said
    return said


def one_of_each(plates: Plates, folder: str = "images") -> Box:
    plates.good(f"{folder}/good.png")
    return plates.bad(f"{folder}/bad.png")


def write_coco(plates: Plates, box: Box, **changed: Any) -> dict[str, Any]:
    """COCO's content for one good and one bad picture; `changed` are keys of its only annotation."""
    content: dict[str, Any] = coco({"good.png": None, "bad.png": box})
    content["annotations"][0] |= changed
    plates.json("annotations.json", content)
    return content


def table(plates: Plates, *lines: str, name: str = "labels.csv") -> None:
    plates.text(name, "\n".join(lines) + "\n")
