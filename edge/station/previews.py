"""Previews for viewers: which parts get one, and their publication. No verdict waits for one."""

import time
from collections import OrderedDict

from edge.channel.preview import MOST_A_SECOND, About, Heat
from edge.channel.publisher import Publisher
from edge.station.process.messages import CoarseMap, Depicted
from edge.verdict import Verdict

EVERY_S = 1 / MOST_A_SECOND
MOST_WAITING = 8
"""Previews whose pictures are being made; a further one displaces the oldest."""


class Previews:
    """At most MOST_A_SECOND previews a second, while somebody subscribes to them."""

    def __init__(self, publisher: Publisher) -> None:
        """`publisher` knows who subscribes."""
        self._publisher = publisher
        self._due = 0.0
        self._waiting: OrderedDict[tuple[str, int], About] = OrderedDict()
        self._pieces: list[Depicted] = []

    @property
    def are_due(self) -> bool:
        """Whether the next part with a frame should get one."""
        return self._publisher.wants_previews and time.monotonic() >= self._due

    def begin(self, verdict: Verdict, height: int, width: int, heat: Heat | None) -> None:
        """The picture of this part is being made."""
        self._due = time.monotonic() + EVERY_S
        about = About(
            station=verdict.station, epoch=verdict.epoch, seq=verdict.seq, width=width, height=height, heat=heat
        )
        self._waiting[verdict.epoch, verdict.seq] = about
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)

    def publish(self, made: Depicted) -> None:
        """Publish a picture when its last piece is there. The pieces of one picture come one after another."""
        if self._pieces and self._pieces[0][:2] != made[:2]:
            self._pieces.clear()  # the archive process ended amid a picture
        self._pieces.append(made)
        if made.is_last:
            about = self._waiting.pop((made.epoch, made.seq), None)
            if about is not None:
                self._publisher.send_preview(about, b"".join(piece.jpeg for piece in self._pieces))
            self._pieces.clear()


def heat_of(coarse: CoarseMap | None) -> Heat | None:
    """The map of a result as viewers get it."""
    return None if coarse is None else Heat(**coarse._asdict() | {"cells": coarse.cells.hex()})
