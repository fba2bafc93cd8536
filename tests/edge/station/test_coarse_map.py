"""The map in few cells lies on the frame where the boxes lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.channel.preview import LEVEL, MOST_CELLS
from edge.letterbox.contract import LetterboxContract
from edge.station.inference.coarse_map import coarse_map
from edge.station.inference.locating import find_regions

CONTRACT = {
    "side": 320,
    "filter": "box",
    "fill": 0,
    "frame": "bgr",
    "colour": "rgb",
    "mean": [0.5] * 3,
    "std": [0.2] * 3,
}


def contract(mode: str = "letterbox") -> LetterboxContract:
    return LetterboxContract.model_validate(CONTRACT | {"mode": mode, "region": None})


@given(st.sampled_from([16, 40, 80, 160]), st.integers(40, 1500), st.integers(40, 1500), st.data())
def test_a_hot_cell_is_where_its_box_is(cells: int, height: int, width: int, data: st.DataObject) -> None:
    heat = np.zeros((cells, cells), np.float32)
    row, column = data.draw(st.integers(0, cells - 1)), data.draw(st.integers(0, cells - 1))
    heat[row, column] = 2.0
    regions = find_regions(heat, (height, width), contract(), 1.0)
    made = coarse_map(heat, (height, width), contract(), 0.0, 1.0)
    assert made is not None
    assert max(made.rows, made.columns) <= MOST_CELLS
    found = np.frombuffer(made.cells, np.uint8).reshape(made.rows, made.columns)
    assert bool(found.max() > LEVEL) == bool(regions)
    if regions:
        down, across = np.unravel_index(found.argmax(), found.shape)
        left, top = made.x + across * made.width / made.columns, made.y + down * made.height / made.rows
        right, bottom = left + made.width / made.columns, top + made.height / made.rows
        box = regions[0]
        assert left - 1 <= box.x
        assert top - 1 <= box.y
        assert box.x + box.width <= right + 1
        assert box.y + box.height <= bottom + 1


def test_the_threshold_has_its_value_and_nonsense_is_hot() -> None:
    heat = np.full((8, 8), 3.0, np.float32)
    heat[0, 0], heat[0, 1], heat[0, 2], heat[0, 3] = 5.0, np.inf, np.nan, -np.inf
    made = coarse_map(heat, (320, 320), contract(), 3.0, 5.0)
    assert made is not None
    assert list(made.cells[:5]) == [LEVEL, 255, LEVEL, 0, 0]


@pytest.mark.parametrize("shape", [(320, 320), (100, 900)])
def test_the_cells_cover_the_frame(shape: tuple[int, int]) -> None:
    made = coarse_map(np.zeros((80, 80), np.float32), shape, contract(), 0.0, 1.0)
    assert made is not None
    assert made.x <= 0
    assert made.x + made.width >= shape[1]
    assert made.y <= 0
    assert made.y + made.height >= shape[0]
