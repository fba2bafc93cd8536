"""Location of the bundles shipped with edge-inspect: in a checkout, or in pip's installation."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from edge.bundle.manifest import MANIFEST
from edge.errors import BundleError

DEMO = "demo.edge"


def found_bundle(given: Path) -> Path:
    """The folder `given`, or the shipped bundle of that name ("magnetic-tile") if there is no such folder."""
    if given.exists() or given.parent != Path() or given.suffix not in ("", ".edge"):
        return given
    try:
        return shipped_bundle(given.with_suffix(".edge").name)
    except BundleError:
        return given


def shipped_bundle(name: str) -> Path:
    """Path of a shipped bundle. Raises BundleError if it is not installed."""
    checkout = Path(__file__).parents[2] / "models" / name
    if checkout.is_dir():
        return checkout
    try:
        installed = files("edge-inspect") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.parts[-3:] == ("models", name, MANIFEST):
            return Path(str(file.locate())).resolve().parent
    raise BundleError(f"this installation lacks the bundle {name}; install edge-inspect again, or give --bundle")
