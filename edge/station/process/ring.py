"""The frame ring: slots of shared memory that the capture child fills and the inference child reads.

The supervisor allocates, lends and frees the slots and never reads them. A slot that is too small for a frame is
replaced by a larger one, so that pictures of any size pass; pages that no frame touched cost nothing.

The memory has no name in a file system: it exists as long as a process of the station holds it, so that nothing remains
however the processes end. Children open it through the supervisor's descriptor in /proc.
"""

import mmap
import os
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import SourceError
from edge.machine import available_memory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class _Memory(NamedTuple):
    descriptor: int
    name: str
    capacity: int


class Ring:
    """The supervisor's side: owns the memory."""

    def __init__(self, slots: int, capacity: int) -> None:
        """`slots` slots of `capacity` bytes each. Raises SourceError if there is no memory for them."""
        self._memory: list[_Memory] = []
        try:
            for _ in range(slots):
                self._memory.append(_allocate(capacity))
        except SourceError as error:
            self.close()
            raise SourceError(f"{slots} frames are kept in memory: {error}") from error

    def __len__(self) -> int:
        return len(self._memory)

    def name(self, slot: int) -> str:
        """Name by which another process of the same user attaches the slot's memory."""
        return self._memory[slot].name

    def capacity(self, slot: int) -> int:
        """Size of the slot in bytes."""
        return self._memory[slot].capacity

    def enlarge(self, slot: int, size: int) -> None:
        """Replace the slot's memory by `size` bytes; its content is lost.

        Raises SourceError if there is no memory for that; then the slot is unchanged.
        """
        larger = _allocate(size)
        os.close(self._memory[slot].descriptor)
        self._memory[slot] = larger

    def close(self) -> None:
        """Free all memory."""
        for memory in self._memory:
            os.close(memory.descriptor)
        self._memory = []


def _allocate(size: int) -> _Memory:
    """Allocate memory including its pages; otherwise a lack of it would crash the first write. Raises SourceError."""
    descriptor = None
    try:
        if size > available_memory():
            raise MemoryError("too little is free")
        descriptor = os.memfd_create("edge-ring")
        os.posix_fallocate(descriptor, 0, size)
    except (OSError, MemoryError) as error:
        if descriptor is not None:
            os.close(descriptor)
        why = error.strerror if isinstance(error, OSError) else error
        remedy = "give this process more memory, or make the frames smaller"
        raise SourceError(f"no memory for a frame of {size / 2**20:.0f} MiB ({why}); {remedy}") from error
    # The system reuses a descriptor's number, but not the inode number behind it.
    name = f"/proc/{os.getpid()}/fd/{descriptor}#{os.fstat(descriptor).st_ino}"
    return _Memory(descriptor, name, size)


def _attach(name: str) -> mmap.mmap:
    """Map the memory of this name. Raises OSError if it does not exist any more, or cannot be mapped."""
    path, _, inode = name.partition("#")
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_ino != int(inode):
            raise FileNotFoundError(f"{name} was freed")
        return mmap.mmap(descriptor, found.st_size)
    finally:
        os.close(descriptor)


class Attached:
    """A child's side: views of slots as frames. Caches the most recent segments."""

    def __init__(self, most: int = 32) -> None:
        """Keep at most `most` segments attached."""
        self._memory: OrderedDict[str, mmap.mmap] = OrderedDict()
        self._most = most

    def frame(self, name: str, height: int, width: int) -> "npt.NDArray[np.uint8]":
        """The slot as `uint8 [height, width, 3]`, in place. Raises OSError if its memory cannot be mapped."""
        import numpy as np

        if name not in self._memory:
            while len(self._memory) >= self._most:
                self._memory.popitem(last=False)  # unmapped when its last view is gone
            self._memory[name] = _attach(name)
        self._memory.move_to_end(name)
        return np.ndarray((height, width, 3), np.uint8, self._memory[name])
