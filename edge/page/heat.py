"""A coarse map of the model as a small PNG with transparency, to be laid over a picture."""

from base64 import b64encode
from functools import lru_cache
from io import BytesIO
from itertools import pairwise

from edge.channel.preview import LEVEL, Heat

_STOPS = ((0, (255, 214, 0, 0)), (60, (255, 214, 0, 0)), (LEVEL, (255, 140, 0, 150)), (255, (225, 0, 60, 215)))
"""Red, green, blue and opacity by value; between them they change evenly."""


def _colour(value: int) -> tuple[int, int, int, int]:
    for (low, first), (high, last) in pairwise(_STOPS):
        if value <= high:
            share = (value - low) / (high - low)
            red, green, blue, opacity = (round(a + share * (b - a)) for a, b in zip(first, last, strict=True))
            return red, green, blue, opacity
    return _STOPS[-1][1]


COLOURS = tuple(_colour(value) for value in range(256))


@lru_cache(32)
def heat_uri(heat: Heat) -> str | None:
    """The map as a data URI; None if it has another number of cells than it says, or nothing to show."""
    from PIL import Image

    try:
        cells = bytes.fromhex(heat.cells)
    except ValueError:
        return None
    if len(cells) != heat.rows * heat.columns or max(cells) <= _STOPS[1][0]:
        return None
    picture = Image.frombytes("RGBA", (heat.columns, heat.rows), b"".join(bytes(COLOURS[cell]) for cell in cells))
    file = BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
