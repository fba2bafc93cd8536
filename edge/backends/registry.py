"""The inference runtimes, by name."""

from functools import cache
from importlib import import_module

from edge.backends.base import Runtime
from edge.runtimes import RUNTIMES


@cache
def runtime_of(name: str) -> Runtime:
    """The runtime of that name, one of RUNTIMES."""
    assert name in RUNTIMES, name  # the manifest's schema refuses others
    runtime: Runtime = import_module(f"edge.backends.runtimes.{name}").RUNTIME
    return runtime


def preload(backend: str) -> None:
    """Import the libraries that an artifact of the name `backend`, or if `auto` any artifact, may need."""
    for name in RUNTIMES:
        if backend == "auto" or backend.startswith(name):
            runtime_of(name).preload()
