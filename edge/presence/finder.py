"""The finder: its input is every frame of a free-running camera; its output is each passing part once, with the frames
that show it best.

A part is answered as soon as its next frame would show it farther from the middle than its best frame. A part is never
judged by a frame whose border cuts it; a part that no frame shows completely is answered with a fault. So is a part
that passed the middle while no finder ran, if the previous finder had seen it or if it is still in view.
"""

from collections import deque
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from edge.frame import Frame
from edge.presence import Belt, Followed, Presence, Remembered
from edge.presence.background import Background, Columns
from edge.presence.belt_segments import Piece, clear_belt, find_pieces, split_pieces
from edge.presence.crop import alone
from edge.presence.grid import Grid
from edge.presence.motion import Motion
from edge.presence.tracked_part import Look, Track
from edge.verdict import Fault, Reason

if TYPE_CHECKING:
    from edge.sources import Capture, Shown

MOST_MISSED = 8
"""Frames in which a part may go undetected; after them it is answered with what was seen of it."""

MOST_BLIND = 15
"""Consecutive unusable frames (faulty or doubtful); after them the parts in view are answered with that fault."""

STANDING = 0.1
"""Displacement in cells per frame below which the belt counts as standing or creeping."""

TOUCHING_LENGTHS, FEWEST_LENGTHS = 1.5, 3
"""A piece longer than this many part lengths is several parts that touch; the length needs this many parts."""

TOUCHING = Fault(Reason.CAMERA, "what passed is longer than a part, as several that touch each other are")
UNWATCHED = Fault(Reason.CAMERA, "it passed the middle while the camera was away")
NEVER_WHOLE = Fault(Reason.CAMERA, "no frame shows the whole of the part")

LONGEST_MEMORY = 100
"""Frames for which an answered part that is not detected is still predicted to be in view."""


@dataclass(frozen=True)
class Passed:
    """A part that passed, with its `number` from 1. `captures` are the frames to score, the best centred first, cropped
    for the model; with a `fault` they are the last frame that showed anything of the part, for its name. `shown` is the
    simulated source's description of the part.
    """

    number: int
    captures: tuple["Capture", ...]
    fault: Fault | None = None
    shown: "Shown | None" = None


class Finder:
    """Tracks the parts of one camera. `see` takes every frame, in order."""

    def __init__(self, presence: Presence, remembered: Remembered | None = None) -> None:
        """`remembered` is the last state of the finder that this one replaces; its parts are assumed to have moved on
        at the remembered speed.
        """
        self.tracks: list[Track] = []
        self._presence = presence
        self._parts = remembered.parts if remembered else 0
        self._motion = Motion(remembered.velocity, remembered.step) if remembered else Motion()
        self._background = Background(remembered.belt if remembered else Belt())
        self._lengths: deque[float] = deque([remembered.length] if remembered and remembered.length else [], maxlen=9)
        self._predecessor = remembered
        self._grid: Grid | None = None
        self._last_s: float | None = remembered.seen_s if remembered else None
        self._has_seen = False
        self._blind = 0
        self._fault: Fault | None = None

    @property
    def blind(self) -> Fault | None:
        """Why no part can be found, after more unusable frames in a row than the parts in view may wait; else None."""
        return self._fault if self._blind > MOST_BLIND else None

    def remember(self) -> Remembered:
        """The state that a successor needs."""
        if self._predecessor is not None and not self._has_seen:
            return self._predecessor
        motion, belt = self._motion, self._background.remember()
        tracks = tuple(Followed(one.low, one.high, one.is_answered, one.shown) for one in self.tracks)
        return Remembered(self._parts, motion.velocity, motion.step, self._length, belt, self._last_s, tracks)

    def see(self, capture: "Capture", doubt: Fault | None = None) -> list[Passed]:
        """The parts that are answered after this frame. A frame with a fault or a `doubt` shows no part."""
        if self._predecessor is not None and not self._has_seen:
            self.tracks = [Track.resumed(followed, capture) for followed in self._predecessor.tracks]
        seconds = self._tick(capture)
        for track in self.tracks:
            track.move(self._motion.displacement(seconds), self._length)
        self._fault = capture.fault or doubt
        if capture.frame is None or self._fault is not None:
            self._blind += 1
            return self._see_unusable(self._fault or Fault(Reason.CORRUPT, "no frame"))
        self._blind = 0
        grid = self._grid_of(capture.frame)
        cells = grid.cells(capture.frame)
        foreign = self._background.foreign(cells, self._motion.displacement(seconds))
        pieces = self._pieces(foreign)
        self._follow(pieces, capture, seconds)
        self._background.learn(cells, clear_belt(foreign, self._presence.smallest))
        return self._answer()

    def finish(self) -> list[Passed]:
        """At the end of the source: answer the parts in view with what was seen of them."""
        passed = [self._pass(track) for track in self.tracks if not track.is_answered]
        self.tracks = []
        return passed

    def _tick(self, capture: "Capture") -> float:
        """Seconds since the last frame; without time stamps, one frame counts as a second."""
        now_s = float(capture.index) if capture.captured_ns is None else capture.captured_ns / 1e9
        seconds = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        if self._has_seen:
            self._motion.tick(seconds)  # the time without a finder is not a frame interval
        self._has_seen = True
        return seconds

    def _grid_of(self, frame: Frame) -> Grid:
        shape = (frame.shape[0], frame.shape[1])
        if self._grid is None or self._grid.shape != shape:
            self._grid = Grid(shape, self._presence.axis)
            for track in self.tracks:
                track.looks = []  # of another frame size
        return self._grid

    @property
    def columns(self) -> int:
        """Cells along the belt; valid after the first frame."""
        assert self._grid is not None
        return self._grid.columns

    @property
    def _length(self) -> float | None:
        """Length of a part in cells; None before a part was seen completely."""
        return median(self._lengths) if self._lengths else None

    # ------------------------------------------------------------------------------------------------- following

    def _pieces(self, foreign: Columns) -> list[Piece]:
        """The pieces on the belt; where dirt joins two parts, the known outline of a part separates them."""
        whole = (track for track in self.tracks if track.looks)
        known = [(track.low, track.high) for track in whole if track.low is not None and track.high is not None]
        found, length = find_pieces(foreign, self._presence.smallest), self._length
        if self._predecessor is not None and length is not None:  # this finder has not seen a part completely yet
            known += [(one.high - length, one.high) for one in found if one.high is not None]
            known += [(one.low, one.low + length) for one in found if one.low is not None]
        return split_pieces(found, foreign, known, self._presence.smallest)

    def _follow(self, pieces: list[Piece], capture: "Capture", seconds: float) -> None:
        """Assign pieces to parts; a piece without a known part starts a new one."""
        found = self._matches(pieces)
        steady = ((track, piece) for track, piece in found if not track.missed and not track.blind)
        displacements = [
            displacement for track, piece in steady if (displacement := track.displacement(piece)) is not None
        ]
        self._motion.learn(displacements, seconds)
        matched = [track for track, _ in found]
        for track in self.tracks:
            track.missed += track not in matched
        for track, piece in found:
            track.see(piece, capture)
        for piece in pieces:
            if all(piece is not one for _, one in found):
                track = Track(piece, capture, piece.low, piece.high)
                track.move(0.0, self._length)
                self.tracks.append(track)
        for track in self.tracks:
            if not track.missed:
                track.shown = self._shown(capture, track.middle(self.columns)) or track.shown
                self._look(track)
        if self._predecessor is not None:
            self._predecessor = None
            for track in self.tracks:
                track.was_unwatched = not track.is_answered and self._is_past(track)

    def _matches(self, pieces: list[Piece]) -> list[tuple[Track, Piece]]:
        """Pairs of a part and a piece, nearest first, each used once."""
        reach = (self._length or self.columns / 2) / 2
        pairs = []
        for number, track in enumerate(self.tracks):
            for order, piece in enumerate(pieces):
                distance = track.distance(piece)
                if distance is None and track.may_be(piece, self.columns):
                    distance = reach
                if distance is not None and abs(distance) <= reach:
                    pairs.append((abs(distance), number, order))
        found: dict[int, int] = {}
        for _, number, order in sorted(pairs):
            if number not in found and order not in found.values():
                found[number] = order
        return [(self.tracks[number], pieces[order]) for number, order in found.items()]

    def _look(self, track: Track) -> None:
        """Keep the frame if it shows the whole part, well centred."""
        low, high, centre = track.piece.low, track.piece.high, track.piece.centre
        if low is None or high is None or centre is None:
            return
        if len(self._lengths) >= FEWEST_LENGTHS and high - low > TOUCHING_LENGTHS * (self._length or 0):
            track.doubt = TOUCHING
        elif not track.is_answered:
            off = abs(centre - self.columns / 2)
            track.keep(Look(track.capture, centre, high - low, off), self._presence.frames)

    def _is_past(self, track: Track) -> bool:
        """Whether the part is so far beyond the middle that earlier frames would have shown it better."""
        return self._motion.direction * self._offset(track) > self._presence.frames / 2 * self._motion.step

    def _offset(self, track: Track) -> float:
        """Signed distance, in cells, from the middle of the view to that of the part."""
        return track.middle(self.columns) - self.columns / 2

    # ------------------------------------------------------------------------------------------------- answering

    def _answer(self) -> list[Passed]:
        due = [track for track in self.tracks if not track.is_answered and self._is_due(track)]
        due.sort(key=lambda track: -self._motion.direction * self._offset(track))  # the leading part first
        passed = [self._pass(track) for track in due]
        self.tracks = [track for track in self.tracks if not self._is_gone(track)]
        return passed

    def _is_due(self, track: Track) -> bool:
        """Whether no later frame can show the part better."""
        if track.was_unwatched or self._is_gone(track):
            return True
        direction, step, piece = self._motion.direction, self._motion.step, track.piece
        if track.missed or not direction:
            return False
        front, end = (piece.high, self.columns) if direction > 0 else (piece.low, 0)
        if front is None:
            return piece.low is not None or piece.high is not None  # the part is leaving the view
        if piece.centre is None:
            return False
        past = direction * (piece.centre - self.columns / 2)
        if past + step / 2 <= 0 or (step < STANDING and past < 1):
            return False  # the next frame is centred at least as well
        enough = len(track.looks) >= self._presence.frames
        is_cut_next = direction * (end - front) <= step
        return is_cut_next or (enough and past + step > track.looks[-1].off)

    def _is_gone(self, track: Track) -> bool:
        """Whether the part has left the view, or was not detected in it for long."""
        if track.missed == 0 and track.blind == 0:
            return False
        if track.missed > (LONGEST_MEMORY if track.is_answered else MOST_MISSED):
            return True
        return track.seen_columns(self.columns) < self._presence.smallest * self.columns

    def _see_unusable(self, fault: Fault) -> list[Passed]:
        """Handle an unusable frame: count it for each part in view, and answer the parts that waited too long."""
        if self._grid is None:
            return []
        passed, left = [], []
        for track in self.tracks:
            track.blind, track.doubt = track.blind + 1, fault
            is_gone = self._is_gone(track)
            if not track.is_answered and (is_gone or track.blind > MOST_BLIND):
                passed.append(self._pass(track, fault if track.blind > MOST_BLIND else None))
            if not is_gone:
                left.append(track)
        self.tracks = left
        return passed

    def _pass(self, track: Track, fault: Fault | None = None) -> Passed:
        """Answer a part: with its kept frames, or with the fault that explains why there are none."""
        track.is_answered = True
        self._parts += 1
        if track.looks or (track.piece.centre is not None and track.doubt != TOUCHING):
            self._lengths.append(self._length_of(track))
        looks, track.looks = track.looks, track.looks[:1]
        if fault is None and (track.was_unwatched or not looks):
            fault = UNWATCHED if track.was_unwatched else track.doubt or NEVER_WHOLE
        if fault is not None:
            bare = replace(track.capture, frame=None, fault=fault)
            return Passed(self._parts, (bare,), fault, track.shown)
        captures = tuple(replace(look.capture, frame=self._model_view(look)) for look in looks)
        return Passed(self._parts, captures, None, self._shown(looks[0].capture, looks[0].centre))

    def _length_of(self, track: Track) -> float:
        """Length, in cells, of a part that was seen completely."""
        if track.looks:
            return track.looks[0].length
        assert track.piece.low is not None
        assert track.piece.high is not None
        return track.piece.high - track.piece.low

    def _shown(self, capture: "Capture", centre: float) -> "Shown | None":
        """The simulated source's description of the part at `centre` (cells)."""
        assert self._grid is not None
        reach = (self._length or self.columns / 2) * self._grid.cell
        place = centre * self._grid.cell
        distance = {shown: abs((shown.x if self._presence.axis == "x" else shown.y) - place) for shown in capture.shown}
        nearest = min(distance, key=lambda shown: distance[shown], default=None)
        return nearest if nearest is not None and distance[nearest] < reach else None

    def _model_view(self, look: Look) -> Frame:
        """The model's view of the part in this frame."""
        frame = look.capture.frame
        assert frame is not None
        assert self._grid is not None
        if not self._presence.alone:
            return frame
        return alone(frame, self._grid, look.centre, look.length, self._background.belt)
