"""Processes that do not import what happens to lie in the current folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "PYTHONSAFEPATH"
"""What the option -P says to one process, to all that it starts."""


@contextmanager
def safe_path() -> Iterator[None]:
    """Processes of Python that are started meanwhile do not look for modules in the current folder.

    multiprocessing starts its processes, and the tracker of shared memory, as `python -c`, for which Python looks there
    first of all, before its own library: a file multiprocessing.py in a folder of photographs would be run.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
