"""The file formats of a bundle's graphs: the suffix of each, and the second file that some of them have."""

from pathlib import PurePath

WEIGHTS_SUFFIX = {".xml": ".bin"}
"""Formats that keep their weights in a second file of the same stem: suffix of the graph → suffix of the weights."""


def weights_of(path: str) -> str | None:
    """The second file of the graph at `path`, relative to the bundle; None if its format has one file."""
    suffix = WEIGHTS_SUFFIX.get(PurePath(path).suffix)
    return None if suffix is None else PurePath(path).with_suffix(suffix).as_posix()
