"""The runtimes that a bundle is exported for: one file each, found by name."""

from importlib import import_module

from edge.runtimes import RUNTIMES as NAMES
from export.runtimes.base import ExportRuntime

RUNTIMES: dict[str, ExportRuntime] = {name: import_module(f"export.runtimes.{name}").RUNTIME for name in NAMES}
"""By name, in alphabetical order, which is that of a bundle's artifacts."""

PREFERRED = max(RUNTIMES.values(), key=lambda runtime: runtime.rank).name
"""The runtime whose maps of the validation photographs the map threshold is chosen on, and whose differences from
PyTorch the parity page draws."""
