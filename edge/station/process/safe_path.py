"""Child processes that do not import modules from the current folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "PYTHONSAFEPATH"
"""The environment variable that applies Python's option -P to all child processes."""


@contextmanager
def safe_path() -> Iterator[None]:
    """While the context is open, new Python processes do not search the current folder for modules.

    multiprocessing starts its processes, and the tracker of shared memory, as `python -c`, for which Python searches
    that folder before its own library: a file multiprocessing.py in a folder of photographs would be run.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
