"""The size of a frame, as a person writes it on a command line."""

import re

from edge.errors import EdgeError


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of a text like "1280x720", width first. Raises EdgeError if it is none."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text.strip().lower())
    if match is None:
        raise EdgeError(f"size {text!r}: give width and height in pixels, as in 1280x720")
    return int(match[2]), int(match[1])
