"""The frame ring: slots of shared memory that the capture child fills and the inference child reads.

The supervisor makes, hands out and frees them and never looks inside. A slot that is too small for a frame is replaced
by a larger one, so pictures of any size pass, and pages that no frame touched cost nothing.
"""

import contextlib
import os
from collections import OrderedDict
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING

from edge.errors import SourceError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Ring:
    """The supervisor's side: owns the memory."""

    def __init__(self, slots: int, capacity: int) -> None:
        """`slots` slots of `capacity` bytes each."""
        self._memory = [_allocate(capacity) for _ in range(slots)]

    def __len__(self) -> int:
        return len(self._memory)

    def name(self, slot: int) -> str:
        """Name under which another process attaches the slot's memory."""
        return self._memory[slot].name

    def capacity(self, slot: int) -> int:
        """Size of the slot in bytes."""
        return self._memory[slot].size

    def enlarge(self, slot: int, size: int) -> None:
        """Replace the slot's memory by one of at least `size` bytes; what it held is gone."""
        _free(self._memory[slot])
        self._memory[slot] = _allocate(size)

    def close(self) -> None:
        """Free all memory."""
        for memory in self._memory:
            _free(memory)
        self._memory = []


def _allocate(size: int) -> SharedMemory:
    """Shared memory that is really there: without this, too little of it is a crash at the first write.

    Raises SourceError.
    """
    memory = SharedMemory(create=True, size=size)
    if hasattr(os, "posix_fallocate"):
        try:
            # The descriptor has no public name; opening the memory again by its own would be no different.
            os.posix_fallocate(memory._fd, 0, size)  # type: ignore[attr-defined]
        except OSError as error:
            _free(memory)
            raise SourceError(
                f"no shared memory for a frame of {size / 2**20:.0f} MiB ({error.strerror}); make /dev/shm larger "
                "(docker run --shm-size), or the frames smaller"
            ) from error
    return memory


def _free(memory: SharedMemory) -> None:
    memory.close()
    with contextlib.suppress(FileNotFoundError):  # somebody emptied /dev/shm
        memory.unlink()


class _Attachment(SharedMemory):
    """Somebody else's memory. Python removes what it cannot map, though it is not the owner's process that failed."""

    def unlink(self) -> None:
        """Leave it to its owner."""


class Attached:
    """A child's side: views of slots as frames. Remembers the last few segments; old ones are let go."""

    def __init__(self, most: int = 32) -> None:
        """Keep at most `most` segments attached."""
        self._memory: OrderedDict[str, _Attachment] = OrderedDict()
        self._most = most

    def frame(self, name: str, height: int, width: int) -> "npt.NDArray[np.uint8]":
        """The slot as `uint8 [height, width, 3]`, in place."""
        import numpy as np

        if name not in self._memory:
            while len(self._memory) >= self._most:
                self._memory.popitem(last=False)[1].close()
            self._memory[name] = _Attachment(name)
        self._memory.move_to_end(name)
        return np.ndarray((height, width, 3), np.uint8, self._memory[name].buf)
