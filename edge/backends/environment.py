"""Environment variables by which a runtime is configured, and that this process sets for itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_set_here: set[str] = set()
"""Variables that this process set in its own environment, not the person who started it."""


def set_unless_given(name: str, value: str) -> None:
    """Set the variable for the runtimes of this process, unless the environment has it already."""
    if name not in os.environ:
        os.environ[name] = value
        _set_here.add(name)


@contextmanager
def untouched_environment() -> Iterator[None]:
    """The environment as the person gave it: a process that is started meanwhile chooses its settings itself."""
    held = {name: os.environ.pop(name) for name in _set_here if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(held)
