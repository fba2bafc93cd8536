"""Counts of this shift, read from the stations' journals in a thread of its own: no page waits for a large journal."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edge.errors import DamagedError, EdgeError
from edge.page.live import Stations
from edge.page.record_view import Listed, RecordView, Selection, shift_start
from edge.page.station_live import Counts, Doubt, StationLive
from edge.records.recorder import is_copy, is_taken
from edge.verdict import Outcome

log = logging.getLogger("edge.page")

EVERY_S = 10.0
SEEDS = 60
"""Verdicts of the record that a page shows at its start."""


class Problem(NamedTuple):
    """Why a record cannot be read, in one line, and whether its journal is damaged."""

    text: str
    is_damaged: bool

    def __str__(self) -> str:
        return self.text


class _Found(NamedTuple):
    """A record, the row of its last run, and why it cannot be read."""

    view: RecordView
    run: dict[str, Any] | None
    error: Exception | None = None


class History(threading.Thread):
    """Reads the journals again every ten seconds, and finds records of stations that do not run."""

    def __init__(self, stations: Stations, folders: tuple[Path, ...], shifts: tuple[int, ...]) -> None:
        """`folders` are records of a station, or folders with one record for each station."""
        super().__init__(name="edge-history", daemon=True)
        self._stations, self._folders, self.shifts = stations, folders, shifts
        self._lock = threading.Lock()
        self._views: dict[str, RecordView] = {}
        self._problems: dict[str, Problem] = {}
        self._others: dict[str, tuple[Path, ...]] = {}
        self._pictures: dict[str, Listed | None] = {}
        self._ended: dict[str, tuple[str, str]] = {}
        self._is_over = threading.Event()

    def record(self, station: str) -> RecordView | None:
        """The record of a station, if there is one."""
        with self._lock:
            return self._views.get(station)

    def others(self, station: str) -> tuple[Path, ...]:
        """Further records of this station's name, such as copies: nothing of them is shown, and nothing written."""
        with self._lock:
            return self._others.get(station, ())

    def problem(self, station: str) -> "Problem | None":
        """Why the record of a station cannot be read; None if it can."""
        with self._lock:
            return self._problems.get(station)

    def newest_picture(self, station: str) -> Listed | None:
        """The newest reject with a picture, as of the last reading: no request opens the journal for it."""
        with self._lock:
            return self._pictures.get(station)

    def ended(self, station: str) -> tuple[str, str] | None:
        """When and why the last run of a station ended, as its journal has it; None if it has no end."""
        with self._lock:
            return self._ended.get(station)

    def shift(self) -> datetime:
        """When this shift began."""
        return shift_start(datetime.now(UTC), self.shifts)

    def run(self) -> None:
        """Read until `close`."""
        while True:
            try:
                self.read()
            except Exception:
                log.exception("the records cannot be read; tried again in %g s", EVERY_S)
            if self._is_over.wait(EVERY_S):
                return

    def close(self) -> None:
        """Read no more."""
        self._is_over.set()

    def read(self) -> None:
        """Find the records, and count this shift's verdicts in each."""
        with self._lock:
            known = dict(self._views)
        for name, view in known.items():
            if not _is_there(view):
                self._note(name, view, f"{view.folder} has no journal any more")
        of: dict[str, list[_Found]] = {}
        for found in self._found():
            self._add(of, found, {view.folder: name for name, view in known.items()})
        for name, some in of.items():
            station = self._stations.heard(name, "")
            if len(some) > 1:
                some.sort(key=partial(self._rank, station), reverse=True)
            with self._lock:
                self._others[name] = tuple(one.view.folder for one in some[1:])
            self._read(name, some[0], station)

    def _add(self, of: "dict[str, list[_Found]]", view: RecordView, names: dict[Path, str]) -> None:
        """Add a record to those of its station's name; of a journal that cannot be read the last known one."""
        name = names.get(view.folder, view.folder.name)
        try:
            run = view.last_run()
            of.setdefault(str(run["station"]) if run else name, []).append(_Found(view, run))
        except (EdgeError, OSError) as error:
            of.setdefault(name, []).append(_Found(view, None, error))

    @staticmethod
    def _rank(station: StationLive | None, found: "_Found") -> tuple[Any, ...]:
        """What is higher for the record to show: one that a station writes now, that has the run which is heard, the
        newest, the original.
        """
        run, folder = found.run or {}, found.view.folder
        is_heard = station is not None and station.epoch is not None and run.get("epoch") == station.epoch
        return is_taken(folder), is_heard, str(run.get("started")), run.get("accepted") or 0, not is_copy(folder)

    def _read(self, name: str, found: "_Found", station: StationLive | None) -> None:
        view, run, since = found.view, found.run, self.shift()
        try:
            if found.error is not None:
                raise found.error
            is_other = station is not None and station.epoch is not None and not view.has_run(station.epoch)
            counted, newest = view.since(since)
            anew = view.begun_anew(since)
            rejects = [] if is_other else view.listed(Selection(outcome=Outcome.REJECT), 10).found
            is_bare = station is not None and station.is_empty and not is_other
            seeds = view.listed(Selection(), SEEDS).found if is_bare else []
        except (EdgeError, OSError) as error:
            self._note(name, view, error)
            if station is not None and isinstance(error, DamagedError):
                station.doubt(Doubt.UNREAD)
            return
        self._note(name, view, None)
        with self._lock:
            self._pictures[name] = next((one for one in rejects if one.picture and one.frame), None)
            if run and run["ended"]:
                self._ended[name] = (str(run["ended"]), str(run["cause"] or ""))
            else:
                self._ended.pop(name, None)
        if station is None:
            return
        if is_other:
            station.doubt(Doubt.OTHER)
            return
        station.seed(one.verdict for one in seeds)
        station.rebase(Counts(counted.good, counted.reject, counted.unknown), since.isoformat(), newest, anew)

    def _note(self, name: str, view: RecordView, problem: Exception | str | None) -> None:
        with self._lock:
            self._views[name] = view
            if problem is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = Problem(str(problem), isinstance(problem, DamagedError))

    def _found(self) -> Iterator[RecordView]:
        for folder in self._folders:
            if _is_there(RecordView(folder)):
                yield RecordView(folder)
                continue
            try:
                inner = sorted(folder.iterdir())[:64]
            except OSError:
                continue
            yield from (view for view in map(RecordView, inner) if _is_there(view))


def _is_there(view: RecordView) -> bool:
    """Whether the folder has a journal; false if it may not be looked into."""
    try:
        return view.is_there
    except OSError:
        return False
