"""What C libraries print to standard error while they read a frame: caught, to be read as a reason, not shown."""

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_STANDARD_ERROR = 2
_one_at_a_time = threading.Lock()


def quietly(call: Callable[[], Result]) -> tuple[Result, str]:
    """Run `call` and return its result and what was printed to standard error meanwhile, by anyone in this process.

    libjpeg, libpng, libtiff and FFmpeg tell of corrupt data there and nowhere else. The redirection concerns the
    whole process, so that calls from several threads wait for each other.
    """
    with _one_at_a_time, tempfile.TemporaryFile() as caught:
        try:
            saved = os.dup(_STANDARD_ERROR)
        except OSError:  # standard error is closed: nothing can be printed there
            return call(), ""
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(caught.fileno(), _STANDARD_ERROR)
        try:
            result = call()
        finally:
            os.dup2(saved, _STANDARD_ERROR)
            os.close(saved)
        caught.seek(0)
        return result, caught.read().decode(errors="replace")
