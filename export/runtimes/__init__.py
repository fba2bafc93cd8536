"""The runtimes for which a bundle is exported: one file each, found by name."""

from importlib import import_module

from edge.runtimes import RUNTIMES as NAMES
from export.runtimes.base import ExportRuntime

RUNTIMES: dict[str, ExportRuntime] = {name: import_module(f"export.runtimes.{name}").RUNTIME for name in NAMES}
"""The runtimes by name, in alphabetical order, which is also the order of a bundle's artifacts."""

PREFERRED = max(RUNTIMES.values(), key=lambda runtime: runtime.rank).name
"""The runtime on whose maps the map threshold is chosen, and whose differences from PyTorch the parity page shows."""
