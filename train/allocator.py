"""Memory for large tensors, from a heap that keeps it.

glibc maps every block of more than 32 MiB anew and returns it as soon as it is free, so that the kernel clears all its
pages at each layer of a network: on a virtual machine that took two thirds of the time of a forward pass of
EfficientNet-Lite0 at 512 px, eight pictures at once.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""


def keep_large_blocks() -> bool:
    """Let this process keep what large tensors have used; whether its C library can. The process gets larger by what
    lies between blocks in use, up to twice as large.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
