"""The archive child: copies frames out of the ring and stores them as PNG, beside the station's hot path.

It may be killed after an image is on disk and before it has said so, and the station before the journal holds what it
said. The next archive tells of such an image, as its sidecar has it.
"""

import contextlib
import hashlib
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import RecordsError
from edge.records.durable_files import PRIVATE_FOLDER, sync_folder, write_durably
from edge.records.journal import has_image, has_run, open_to_read
from edge.records.retention import IMAGES, SIDECAR, Gone, Keeping, NoRoomError, Shelf
from edge.records.sidecar import Sidecar, read_sidecar
from edge.station.process.messages import ArchiveReady, Copied, Keep, NotStored, Removed, Stored
from edge.station.process.ring import Attached
from edge.verdict import Outcome

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NICENESS = 10
"""Of the thread that writes: what it does is worth less than any verdict."""

EXPIRE_EVERY_S = 10.0
"""Between two looks at what has grown too old."""

Say = Callable[[Copied | Stored | NotStored | Removed | ArchiveReady], None]
_Job = tuple[Keep, "npt.NDArray[np.uint8]"]


def run_archive(connection: Connection, keeping: Keeping) -> None:
    """Work of the archive child; returns when told to stop and all it was given is stored."""
    import cv2

    cv2.setNumThreads(1)
    lock = threading.Lock()

    def say(message: Copied | Stored | NotStored | Removed | ArchiveReady) -> None:
        with lock:
            connection.send(message)

    # Its length is bounded by the station, which knows how many images it has not been answered for.
    jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    writer = threading.Thread(target=_work, args=(jobs, keeping, say), daemon=True)
    writer.start()
    say(ArchiveReady())
    ring = Attached()
    while isinstance(order := connection.recv(), Keep):
        try:
            top, bottom = order.frame * order.height, (order.frame + 1) * order.height
            jobs.put((order, ring.frame(order.memory, bottom, order.width)[top:].copy()))
        except (OSError, ValueError, MemoryError) as error:
            say(NotStored(order.epoch, order.seq, f"the frame cannot be copied: {error}"))
        say(Copied(order.slot))
    jobs.put(None)
    writer.join()


def _work(jobs: "queue.SimpleQueue[_Job | None]", keeping: Keeping, say: Say) -> None:
    """The writing thread. Whatever becomes of one image, the next is tried; it ends with the station's pipe."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)  # of this thread alone: the copying, for which the ring waits, is as urgent as all else
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        shelf = Shelf(keeping)
        with contextlib.suppress(OSError):  # what cannot be read cannot be written, and that will be said
            shelf.look()
        for found in _untold(shelf):
            say(found)
        expire_due = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                job = jobs.get(timeout=EXPIRE_EVERY_S)
                if job is None:
                    return
                say(_stored(*job, shelf, say))
            if time.monotonic() >= expire_due:
                expire_due = time.monotonic() + EXPIRE_EVERY_S
                with contextlib.suppress(OSError):
                    _tell(say, shelf.expire())


def _stored(order: Keep, frame: "npt.NDArray[np.uint8]", shelf: Shelf, say: Say) -> Stored | NotStored:
    """Store one image; whatever prevents it is the answer."""
    try:
        return _store(order, _png(frame), shelf, say)
    except NoRoomError as error:
        why = str(error)
    except OSError as error:
        why = f"the image cannot be written: {error.strerror}"
    except Exception as error:
        why = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return NotStored(order.epoch, order.seq, why)


def _untold(shelf: Shelf) -> Iterator[Stored]:
    """The images of the journal's runs which the journal does not know; none if it cannot be read. What is no image as
    this file stores one is left for the audit to find.
    """
    folder = shelf.keeping.folder
    with contextlib.suppress(RecordsError, sqlite3.Error), contextlib.closing(open_to_read(folder)) as journal:
        for path in shelf.paths():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                place, epoch = path.relative_to(folder).as_posix(), path.parent.name
                if not has_image(journal, place) and has_run(journal, epoch):
                    stored = _as_stored(read_sidecar(folder, place))
                    if (stored.path, stored.epoch) == (place, epoch):
                        yield stored


def _as_stored(sidecar: Sidecar) -> Stored:
    """What was to be said of an image, by its sidecar. Raises ValueError, KeyError, TypeError."""
    verdict, size = sidecar.verdict, sidecar.size
    epoch, seq = verdict["epoch"], verdict["seq"]
    if not all(type(number) is int and 0 <= number < 2**63 for number in (seq, size)):
        raise TypeError("no numbers")
    place = _place(str(verdict["time"])[:10], str(epoch), seq, Outcome(verdict["verdict"]))
    return Stored(str(epoch), seq, place.as_posix(), bytes.fromhex(sidecar.sha256).hex(), size)


def _png(frame: "npt.NDArray[np.uint8]") -> bytes:
    """Left alone, OpenCV looks for run lengths: for a 1080p frame of the demonstration line 68 ms of one core and 52%
    of its bytes; with compression level 1 it is 122 ms and 58%, with lossless WebP 560 ms and 48%.
    """
    import cv2

    done, data = cv2.imencode(".png", frame)
    if not done:
        raise ValueError("OpenCV cannot write this frame as PNG")
    return data.tobytes()


def _store(order: Keep, image: bytes, shelf: Shelf, say: Say) -> Stored:
    """Raises NoRoomError, OSError."""
    place = _place(order.day, order.epoch, order.seq, order.verdict)
    path = shelf.keeping.folder / place
    digest = hashlib.sha256(image).hexdigest()
    about = json.dumps({"path": place.as_posix(), "sha256": digest, "bytes": len(image)})
    sidecar = b'{"verdict":%b,"image":%b}\n' % (order.payload, about.encode())
    _tell(say, shelf.make_room(len(image) + len(sidecar), Outcome(order.verdict)))
    _make(path.parent)
    write_durably({path.with_suffix(SIDECAR): sidecar, path: image})  # where an image is, its sidecar is
    shelf.add(path)
    return Stored(order.epoch, order.seq, place.as_posix(), digest, len(image))


def _place(day: str, epoch: str, seq: int, outcome: str) -> Path:
    """Where an image lies, below the records' folder."""
    return Path(IMAGES, day, epoch, f"{seq:08}-{outcome}.png")


def _make(folder: Path) -> None:
    """Make a folder, durably."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)  # whatever the umask
        sync_folder(folder.parent)


def _tell(say: Say, gone: Iterable[Gone]) -> None:
    for path, why in gone:
        say(Removed(path, why))
