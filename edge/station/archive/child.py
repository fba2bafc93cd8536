"""The archive child: copies frames out of the ring and stores them as PNG, apart from the station's hot path.

If the process dies after writing an image but before reporting it, or the station dies before the report is in the
journal, the next archive process reports the image from its sidecar.
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
from pathlib import Path
from typing import TYPE_CHECKING

from edge.channel.limits import LARGEST_MESSAGE
from edge.channel.preview import LONGEST_SIDE
from edge.errors import RecordsError
from edge.files import sync
from edge.pictures.png_encoding import encode_png
from edge.records.durable_files import PRIVATE_FOLDER, write_durably
from edge.records.journal import has_image, has_run, open_to_read
from edge.records.retention import IMAGES, SIDECAR, Gone, Keeping, NoRoomError, Shelf
from edge.records.sidecar import Sidecar, read_sidecar
from edge.station.process.message_socket import MessageSocket
from edge.station.process.messages import (
    MOST_PIECE_BYTES,
    ArchiveReady,
    Copied,
    Depict,
    Depicted,
    Keep,
    NotStored,
    PictureRead,
    ReadPicture,
    Removed,
    Stored,
)
from edge.station.process.ring import Attached
from edge.verdict import Outcome

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NICENESS = 10
"""Niceness of the writing thread, whose work is less urgent than any verdict."""

PREVIEW_QUALITIES = (75, 45, 15)

EXPIRE_EVERY_S = 10.0
"""Interval between checks for images that are too old."""

Message = Copied | Depicted | Stored | NotStored | Removed | ArchiveReady | PictureRead
Send = Callable[[Message], None]
_Job = tuple[Keep, "npt.NDArray[np.uint8]"]


def run_archive(connection: MessageSocket, keeping: Keeping) -> None:
    """Main function of the archive child; returns after `Stop`, when all pending images are stored."""
    import cv2

    cv2.setNumThreads(1)
    lock = threading.Lock()

    def send(message: Message) -> None:
        with lock:
            connection.send(message)

    # The station bounds the length of this queue: it knows how many images are not answered yet.
    jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    writer = threading.Thread(target=_work, args=(jobs, keeping, send), daemon=True)
    writer.start()
    send(ArchiveReady())
    ring = Attached()
    while isinstance(order := connection.recv(), Keep | Depict | ReadPicture):
        if isinstance(order, ReadPicture):
            send(PictureRead(_read_into(order, ring)))
            continue
        shown = None
        try:
            top, bottom = order.frame * order.height, (order.frame + 1) * order.height
            frame = ring.frame(order.memory, bottom, order.width)[top:]
            if isinstance(order, Keep):
                frame = frame.copy()
                jobs.put((order, frame))
            if isinstance(order, Depict):
                shown = _strided(frame)
            elif order.is_shown:
                shown = frame
        except (OSError, ValueError, MemoryError) as error:
            if isinstance(order, Keep):
                send(NotStored(order.epoch, order.seq, f"the frame cannot be copied: {error}"))
        send(Copied(order.slot))
        if shown is not None:
            for piece in _preview(order.epoch, order.seq, shown):
                send(piece)
    jobs.put(None)
    writer.join()


def _read_into(order: ReadPicture, ring: Attached) -> str | None:
    """Decode a picture into shared memory. Returns why that is not possible."""
    from edge.errors import DataError
    from edge.pictures import read_picture

    try:
        picture = read_picture(order.path)
        height, width = picture.shape[:2]
        if (height, width) != (order.height, order.width):
            return f"it has {width}×{height} pixels, the frames of this line have {order.width}×{order.height}"
        ring.frame(order.memory, height, width)[...] = picture
    except (DataError, OSError, MemoryError) as error:
        return str(error).removeprefix(f"{order.path}: ")
    return None


def _work(jobs: "queue.SimpleQueue[_Job | None]", keeping: Keeping, send: Send) -> None:
    """The writing thread. If one image fails, the next is tried; the thread ends when the station's socket closes."""
    with contextlib.suppress(AttributeError, OSError):
        os.nice(NICENESS)  # of this thread only: the copying, for which the ring waits, is urgent
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        shelf = Shelf(keeping)
        with contextlib.suppress(OSError):  # an unreadable folder is also not writable, which will be reported
            shelf.look()
        for found in _unreported(shelf):
            send(found)
        expire_due = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                job = jobs.get(timeout=EXPIRE_EVERY_S)
                if job is None:
                    return
                send(_stored(*job, shelf, send))
            if time.monotonic() >= expire_due:
                expire_due = time.monotonic() + EXPIRE_EVERY_S
                with contextlib.suppress(OSError):
                    _send_removed(send, shelf.expire())


def _stored(order: Keep, frame: "npt.NDArray[np.uint8]", shelf: Shelf, send: Send) -> Stored | NotStored:
    """Store one image; an error becomes the answer."""
    try:
        return _store(order, encode_png(frame), shelf, send)
    except NoRoomError as error:
        why = str(error)
    except OSError as error:
        why = f"the image cannot be written: {error.strerror}"
    except Exception as error:
        why = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return NotStored(order.epoch, order.seq, why)


def _unreported(shelf: Shelf) -> Iterator[Stored]:
    """The images of the journal's runs that the journal does not contain; none if the journal cannot be read. Files
    that do not have the form of this module's images are left to the audit.
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
    """The report of an image, reconstructed from its sidecar. Raises ValueError, KeyError, TypeError."""
    verdict, size = sidecar.verdict, sidecar.size
    epoch, seq = verdict["epoch"], verdict["seq"]
    if not all(type(number) is int and 0 <= number < 2**63 for number in (seq, size)):
        raise TypeError("no numbers")
    place = _place(str(verdict["time"])[:10], str(epoch), seq, Outcome(verdict["verdict"]))
    return Stored(str(epoch), seq, place.as_posix(), bytes.fromhex(sidecar.sha256).hex(), size)


def _strided(frame: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.uint8]":
    """A copy of every k-th pixel of every k-th line, made quickly: the ring waits for it."""
    stride = max(1, max(frame.shape[:2]) // (2 * LONGEST_SIDE))
    return frame[::stride, ::stride].copy()


def _preview(epoch: str, seq: int, frame: "npt.NDArray[np.uint8]") -> Iterator[Depicted]:
    """The preview of a frame in pieces; none if it cannot be made."""
    try:
        jpeg = _jpeg(_small(frame))
    except Exception:  # whatever OpenCV or the encoder raise: a preview is worth no image
        return
    for start in range(0, len(jpeg), MOST_PIECE_BYTES):
        end = start + MOST_PIECE_BYTES
        yield Depicted(epoch, seq, jpeg[start:end], is_last=end >= len(jpeg))


def _small(frame: "npt.NDArray[np.uint8]") -> "npt.NDArray[np.uint8]":
    """A small copy of a frame for a preview."""
    import cv2
    import numpy as np

    height, width = frame.shape[:2]
    shrink = LONGEST_SIDE / max(height, width)
    if shrink >= 1:
        return frame.copy()
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return np.asarray(cv2.resize(frame, size, None, 0, 0, cv2.INTER_AREA), np.uint8)


def _jpeg(small: "npt.NDArray[np.uint8]") -> bytes:
    """The JPEG of a preview, about 30 kB; coarser if it would be too large for a message."""
    import simplejpeg

    made = (bytes(simplejpeg.encode_jpeg(small, quality, "BGR", "420")) for quality in PREVIEW_QUALITIES)
    return next((jpeg for jpeg in made if len(jpeg) < LARGEST_MESSAGE), b"")


def _store(order: Keep, image: bytes, shelf: Shelf, send: Send) -> Stored:
    """Store one image. Raises NoRoomError, OSError."""
    place = _place(order.day, order.epoch, order.seq, order.verdict)
    path = shelf.keeping.folder / place
    digest = hashlib.sha256(image).hexdigest()
    about = json.dumps({"path": place.as_posix(), "sha256": digest, "bytes": len(image)})
    heat = b"" if order.heat is None else b',"heat":%b' % order.heat.encode()
    sidecar = b'{"verdict":%b,"image":%b%b}\n' % (order.payload, about.encode(), heat)
    _send_removed(send, shelf.make_room(len(image) + len(sidecar), Outcome(order.verdict)))
    _make(path.parent)
    write_durably({path.with_suffix(SIDECAR): sidecar, path: image})  # sidecar first: no image lacks its sidecar
    shelf.add(path)
    return Stored(order.epoch, order.seq, place.as_posix(), digest, len(image))


def _place(day: str, epoch: str, seq: int, outcome: str) -> Path:
    """Path of an image below the records' folder."""
    return Path(IMAGES, day, epoch, f"{seq:08}-{outcome}.png")


def _make(folder: Path) -> None:
    """Create a folder durably."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        folder.chmod(PRIVATE_FOLDER)  # independent of the umask
        sync(folder.parent)


def _send_removed(send: Send, gone: Iterable[Gone]) -> None:
    for path, why in gone:
        send(Removed(path, why))
