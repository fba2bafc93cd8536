"""Decoding of golden.npz as an untrusted file: sizes are checked before anything is decoded."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.bundle.folder import GOLDEN, LARGEST_GOLDEN, Golden
from edge.errors import BundleError
from edge.letterbox.geometry import LARGEST_FRAME, SMALLEST_FRAME
from edge.verdict import MOST_KINDS

MOST_ARRAYS = 1000
"""Arrays of a golden file, four per frame. The list of arrays is in memory before their sizes are known."""

_ENTRY = b"PK\x01\x02"
"""Magic number of an entry in a zip file's directory; compressed data contains a few of them by chance."""


def decode_golden(path: Path, content: bytes) -> list[Golden]:
    """The frames of a golden file; `path` is the bundle, for errors.

    Raises BundleError with a one-line message if it has no frames, or more than LARGEST_GOLDEN bytes of them.
    """
    try:
        return _decode(content)
    except Exception as error:  # zipfile, zlib and numpy raise their own kinds
        said = f" ({error})" if isinstance(error, _GoldenError) else ""
        raise BundleError(f"{path}: {GOLDEN} holds no golden frames{said}; export the bundle again") from error


class _GoldenError(Exception):
    """The problem of a golden file, in a few words."""


def _decode(content: bytes) -> list[Golden]:
    if content.count(_ENTRY) > MOST_ARRAYS:
        raise _GoldenError(f"more than {MOST_ARRAYS} arrays")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_GOLDEN:
            raise _GoldenError(f"decoded it has more than {LARGEST_GOLDEN // 2**20} MiB")
        if not {entry.compress_type for entry in entries.values()} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise _GoldenError("compressed as no npz file is")  # bzip2 and LZMA have no limit on decoded data
        arrays = {name: _array(archive, entry, name) for name, entry in entries.items()}
    return [_golden(arrays, number) for number in range(min(int(arrays["count"].item()), MOST_ARRAYS))]


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> npt.NDArray[Any]:
    """One array; the size in its header must agree with the zip file's directory."""
    with archive.open(entry) as file:
        is_short = np.lib.format.read_magic(file) == (1, 0)
        read_header = np.lib.format.read_array_header_1_0 if is_short else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject or min(shape, default=0) < 0:
            raise _GoldenError(f"{name} is no plain array")
        size = math.prod(shape) * dtype.itemsize
        if size != entry.file_size - file.tell():
            raise _GoldenError(f"{name} has another size than its header says")
        writable = bytearray(file.read(size))  # a runtime may refuse to read in place what is read-only
        return np.frombuffer(writable, dtype).reshape(shape, order="F" if is_fortran else "C")


def _golden(arrays: dict[str, npt.NDArray[Any]], number: int) -> Golden:
    frame, score = arrays[f"frame_{number}"], arrays[f"score_{number}"]
    where, kinds = arrays.get(f"map_{number}"), arrays.get(f"kind_{number}")
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise _GoldenError(f"frame_{number} is no frame: {frame.dtype} {list(frame.shape)}")
    if not SMALLEST_FRAME <= min(frame.shape[:2]) <= max(frame.shape[:2]) <= LARGEST_FRAME:
        raise _GoldenError(f"frame_{number} has {frame.shape[1]}×{frame.shape[0]} pixels")
    if score.size != 1 or score.dtype.kind != "f":
        raise _GoldenError(f"score_{number} is no score: {score.dtype} {list(score.shape)}")
    if where is not None and (where.ndim != 2 or where.dtype.kind != "f" or not where.size):
        raise _GoldenError(f"map_{number} is no map: {where.dtype} {list(where.shape)}")
    if kinds is not None and (kinds.ndim != 1 or kinds.dtype.kind != "f" or not 2 <= kinds.size <= MOST_KINDS):
        raise _GoldenError(f"kind_{number} has no probabilities of kinds: {kinds.dtype} {list(kinds.shape)}")
    return Golden(frame, float(score.item()), where, kinds)
