"""The sidecar, a JSON file beside each image: the verdict as published, and the image's path, hash and size."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from edge.files import read_regular
from edge.records.retention import IMAGES, SIDECAR

MOST_BYTES = 2**20
"""Largest accepted sidecar, in bytes. A verdict has a few thousand."""


class Sidecar(NamedTuple):
    """The verdict and its image: `path` relative to the records' folder, `sha256` in hexadecimal, `size` in bytes."""

    verdict: dict[str, Any]
    path: str
    sha256: str
    size: int


def read_heat(folder: Path, path: str) -> object | None:
    """The map beside an image, as JSON types; None if there is none. Nothing of it is checked.

    `path` as for `read_sidecar`. Raises OSError, ValueError as it does.
    """
    name = Path(path).relative_to(IMAGES).with_suffix(SIDECAR).as_posix()
    try:
        said = json.loads(read_regular((folder / IMAGES).resolve(), name, MOST_BYTES))
    except RecursionError as error:
        raise ValueError("no sidecar") from error
    return said.get("heat") if isinstance(said, dict) else None


def read_sidecar(folder: Path, path: str) -> Sidecar:
    """The sidecar of the image at `path`, relative to the records' `folder`; `misplaced` must have accepted `path`.

    Raises OSError if the sidecar is not a regular file, ValueError if its content is not that of a sidecar.
    """
    name = Path(path).relative_to(IMAGES).with_suffix(SIDECAR).as_posix()
    try:
        said = json.loads(read_regular((folder / IMAGES).resolve(), name, MOST_BYTES))
        verdict, image = said["verdict"], said["image"]
        found = Sidecar(verdict, image["path"], image["sha256"], image["bytes"])
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError("no sidecar") from error
    if tuple(map(type, found)) != (dict, str, str, int):
        raise ValueError("no sidecar")
    return found
