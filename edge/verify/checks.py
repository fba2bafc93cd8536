"""Whether each artifact loads here, and agrees with PyTorch on the golden frames."""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from edge.backends import Backend, check_golden, load_from
from edge.bundle import MANIFEST, Bundle, load_bundle
from edge.bundle.signature import Trust
from edge.errors import BundleError


class Check(BaseModel):
    """One artifact on this machine; `error` is None if it passed. `largest_difference` is None if it did not run."""

    model_config = ConfigDict(frozen=True)

    backend: str
    artifact: str
    golden_frames: int
    largest_difference: float | None
    allowed: float
    load_s: float
    golden_s: float
    error: str | None

    @property
    def passed(self) -> bool:
        """Whether a station on this machine would run the artifact."""
        return self.error is None


def open_bundle(path: Path, trust: Trust | None = None) -> Bundle | str:
    """The bundle with every hash checked; or a one-line text if it was changed, or is not signed by a key in `trust`.

    Raises BundleError if there is no bundle at all.
    """
    if not (path / MANIFEST).is_file():
        return load_bundle(path)
    try:
        return load_bundle(path, trust, holds=True)
    except BundleError as error:
        return str(error)


def check_artifacts(
    bundle: Bundle, names: list[str], threads: int, advance: Callable[[], None] = lambda: None
) -> tuple[list[Check], dict[str, Backend]]:
    """Load each artifact and run the golden frames; returns the checks, and the runtimes that passed, by name."""
    checks, passed = [], {}
    for name in names:
        check, runtime = _check(bundle, name, threads)
        checks.append(check)
        if runtime is not None and check.passed:
            passed[name] = runtime
        advance()
    return checks, passed


def _check(bundle: Bundle, name: str, threads: int) -> tuple[Check, Backend | None]:
    began = loaded = time.perf_counter()
    runtime, difference, said = None, None, None
    try:
        runtime = load_from(bundle, name, threads)
        loaded = time.perf_counter()
        difference = check_golden(bundle, runtime)
    except BundleError as error:
        said = str(error)
    ended = time.perf_counter()
    check = Check(
        backend=name,
        artifact=bundle.artifact(name).path,
        golden_frames=len(bundle.golden()),
        largest_difference=difference,
        allowed=bundle.artifact(name).golden_tolerance,
        load_s=(loaded if runtime else ended) - began,
        golden_s=ended - loaded if runtime else 0.0,
        error=said,
    )
    return check, runtime
