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
        """Publish a picture that has been made."""
        about = self._waiting.pop((made.epoch, made.seq), None)
        if about is not None:
            self._publisher.send_preview(about, made.jpeg)


def heat_of(coarse: CoarseMap | None) -> Heat | None:
    """The map of a result as viewers get it."""
    return None if coarse is None else Heat(**coarse._asdict() | {"cells": coarse.cells.hex()})
