"""The file beside an image: the verdict as it was published, and which image it is of."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from edge.files import read_regular
from edge.records.retention import IMAGES, SIDECAR

MOST_BYTES = 2**20
"""A verdict has a few thousand bytes."""


class Sidecar(NamedTuple):
    """`path` is the image's, below the records' folder; `sha256` in hexadecimal, `size` in bytes."""

    verdict: dict[str, Any]
    path: str
    sha256: str
    size: int


def read_sidecar(folder: Path, path: str) -> Sidecar:
    """The sidecar of the image at `path`, which is well placed, below the records' `folder`.

    Raises OSError if it is no regular file, ValueError if it is no sidecar.
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
