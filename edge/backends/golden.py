"""Golden frames: a compiled graph must give on this machine the scores and maps that PyTorch gave at export."""

from collections.abc import Sequence

import numpy as np

from edge.backends.base import Backend, Output
from edge.backends.loader import tried
from edge.bundle import Bundle, Golden
from edge.bundle.tolerance import Bounds, ValueRange
from edge.errors import BundleError
from edge.frame import Frame


def check_golden(bundle: Bundle, backend: Backend) -> float:
    """Run the golden frames through `backend` and return the largest difference from PyTorch's score or map.

    The result is comparable with golden_tolerance, which holds for scores within the manifest's range: differences
    outside the range, and of maps, are scaled by their share of what is allowed there. Raises BundleError, naming the
    frame and the difference, if it exceeds what the manifest allows.
    """
    frames = bundle.golden()
    if not frames:
        raise BundleError(f"{bundle.path}: no golden frames, so nothing can be proven here; export the bundle again")
    bounds = _provable(bundle, backend.name, frames)
    return max(
        _check(
            tried(backend, np.ascontiguousarray(golden.frame), f"{bundle.path}: golden frame {number}"),
            Output(golden.score, golden.map, golden.kinds),
            f"{bundle.path}: golden frame {number} ({golden.frame.shape[1]}×{golden.frame.shape[0]})",
            backend.name,
            bounds,
        )
        for number, golden in enumerate(frames)
    )


def _provable(bundle: Bundle, name: str, frames: Sequence[Golden]) -> Bounds:
    """The bounds of an artifact. Raises BundleError if they are so wide that no golden frame could fail, or if the
    golden frames have other kinds than the manifest.
    """
    if any((0 if one.kinds is None else len(one.kinds)) != len(bundle.manifest.kinds) for one in frames):
        raise BundleError(
            f"{bundle.path}: the golden frames have other kinds than the manifest; export the bundle again"
        )
    bounds, threshold = bundle.manifest.bounds(name), bundle.artifact(name).threshold.value
    spread = ValueRange.of([threshold, *(golden.score for golden in frames)]).spread
    if bounds.scores is None and bounds.score_tolerance > spread:
        raise BundleError(
            f"{bundle.path}: golden_tolerance of {name} is {bounds.score_tolerance:g}, more than the range of the "
            f"golden scores, {spread:.2g}, so nothing can be proven here; export the bundle again"
        )
    return bounds


def _check(found: Output, expected: Output, what: str, backend: str, bounds: Bounds) -> float:
    """The largest difference of score, map and kinds, scaled to a score within the range.

    Raises BundleError if one exceeds `bounds` or is not a number.
    """
    of_kinds = _check_kinds(found, expected, what, backend, bounds)
    remedy = "try the other backend or export the bundle again"
    growth = bounds.score_growth(expected.score)
    far, allowed = abs(found.score - expected.score), bounds.score_tolerance * growth
    if not far <= allowed:
        raise BundleError(
            f"{what} scores {found.score:.6g} in {backend} on this machine instead of {expected.score:.6g}, "
            f"{far:.2g} off, allowed {allowed:.2g}; {remedy}"
        )
    if expected.map is None and found.map is None:
        return max(far / growth, of_kinds)
    if expected.map is None or found.map is None or expected.map.shape != found.map.shape:
        raise BundleError(f"{what}: the map in {backend} on this machine is not of the expected shape; {remedy}")
    map_far = float(np.abs(found.map - expected.map).max())
    allowed = bounds.map_tolerance * bounds.map_growth(float(expected.map.min()), float(expected.map.max()))
    if not map_far <= allowed:
        raise BundleError(
            f"{what}: the map is {map_far:.2g} off in {backend} on this machine, allowed {allowed:.2g}; {remedy}"
        )
    return max(far / growth, map_far / allowed * bounds.score_tolerance, of_kinds)


def _check_kinds(found: Output, expected: Output, what: str, backend: str, bounds: Bounds) -> float:
    """The largest difference of a probability of a kind, scaled to a score; 0 without kinds. Raises BundleError."""
    remedy, allowed = "try the other backend or export the bundle again", bounds.kind_tolerance
    if found.kinds is None and expected.kinds is None and allowed is None:
        return 0.0
    if found.kinds is None or expected.kinds is None or allowed is None or found.kinds.shape != expected.kinds.shape:
        raise BundleError(f"{what}: the kinds in {backend} on this machine are not those of the manifest; {remedy}")
    far = float(np.abs(found.kinds - expected.kinds).max())
    if not far <= allowed:
        raise BundleError(
            f"{what}: a probability of a kind is {far:.2g} off in {backend} on this machine, allowed {allowed:.2g}; "
            f"{remedy}"
        )
    return far / allowed * bounds.score_tolerance


def check_static(bundle: Bundle, anysize: Backend, fixed: Backend, shape: tuple[int, int]) -> float:
    """Compare the static variant with the any-size graph, on the golden frames tiled to `shape`.

    Returns the largest difference as `check_golden` does; raises BundleError where it exceeds what the manifest allows.
    The runs also warm up `fixed`.
    """
    worst, bounds = 0.0, bundle.manifest.bounds(fixed.name)
    for number, golden in enumerate(bundle.golden()):
        frame = tiled(golden.frame, shape)
        what = f"{bundle.path}: golden frame {number}, tiled to {shape[1]}×{shape[0]} and compiled for it,"
        found, expected = tried(fixed, frame, what), tried(anysize, frame, what)
        worst = max(worst, _check(found, expected, what, fixed.name, bounds))
    return worst


def tiled(frame: Frame, shape: tuple[int, int]) -> Frame:
    """The frame uint8 [h, w, 3], repeated to the right and down to `shape` (height, width)."""
    repeats = (-(-shape[0] // frame.shape[0]), -(-shape[1] // frame.shape[1]), 1)
    return np.ascontiguousarray(np.tile(frame, repeats)[: shape[0], : shape[1]])
