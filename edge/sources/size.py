"""The size of a frame, or a region of it, as text."""

import re
from typing import Any

from edge.errors import EdgeError


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of a text like "1280x720", width first. Raises EdgeError if the text has another form."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
    if match is None:
        raise EdgeError(f"size {text!r}: give width and height in pixels, as in 1280x720")
    return int(match[2]), int(match[1])


def region_numbers(said: Any) -> Any:
    """(left, top, width, height) of LEFT,TOP,WIDTHxHEIGHT; a tuple is returned as it is. Raises ValueError."""
    if isinstance(said, tuple):
        return said
    match = (
        re.fullmatch(r"(\d+),(\d+),(\d+)[x×](\d+)", said.replace(" ", "").lower()) if isinstance(said, str) else None
    )
    if match is None:
        raise ValueError("give left, top, width and height in pixels as text, as in 100,50,640x480")
    return tuple(map(int, match.groups()))


def region_text(left: int, top: int, width: int, height: int) -> str:
    """The text that `region_numbers` parses back."""
    return f"{left},{top},{width}x{height}"
