"""Counts of this shift, read from the stations' journals in a thread of its own: no page waits for a large journal."""

import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import EdgeError
from edge.page.live import Stations
from edge.page.record_view import Listed, RecordView, Selection, shift_start
from edge.page.station_live import Counts
from edge.verdict import Outcome

log = logging.getLogger("edge.page")

EVERY_S = 10.0
SEEDS = 60
"""Verdicts of the record that a page shows at its start."""


class History(threading.Thread):
    """Reads the journals again every ten seconds, and finds records of stations that do not run."""

    def __init__(self, stations: Stations, folders: tuple[Path, ...], shifts: tuple[int, ...]) -> None:
        """`folders` are records of a station, or folders with one record for each station."""
        super().__init__(name="edge-history", daemon=True)
        self._stations, self._folders, self.shifts = stations, folders, shifts
        self._lock = threading.Lock()
        self._views: dict[str, RecordView] = {}
        self._problems: dict[str, str] = {}
        self._pictures: dict[str, Listed | None] = {}
        self._ended: dict[str, tuple[str, str]] = {}
        self._is_over = threading.Event()

    def record(self, station: str) -> RecordView | None:
        """The record of a station, if there is one."""
        with self._lock:
            return self._views.get(station)

    def problem(self, station: str) -> str | None:
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
        since = self.shift()
        with self._lock:
            known_views = dict(self._views)
        for known_name, view in known_views.items():
            if not _is_there(view):
                self._set(known_name, view, f"{view.folder} has no journal any more")
        for view in self._found():
            name: str | None = view.folder.name
            try:
                run = view.last_run()
                name = str(run["station"]) if run else view.folder.name
                counted, newest = view.since(since)
                rejects = view.listed(Selection(outcome=Outcome.REJECT), 10).found
                known = self._stations.get(name)
                seeds = view.listed(Selection(), SEEDS).found if known is None or known.is_empty else []
            except (EdgeError, OSError) as error:
                self._set(str(name), view, str(error))
                self._stations.heard(str(name), "")
                continue
            self._set(name, view, None)
            with self._lock:
                self._pictures[name] = next((one for one in rejects if one.picture and one.frame), None)
                if run and run["ended"]:
                    self._ended[name] = (str(run["ended"]), str(run["cause"] or ""))
                else:
                    self._ended.pop(name, None)
            station = self._stations.heard(name, "")
            if station is not None:
                station.seed(one.verdict for one in seeds)
                station.rebase(Counts(counted.good, counted.reject, counted.unknown), since.isoformat(), newest)

    def _set(self, name: str, view: RecordView, problem: str | None) -> None:
        with self._lock:
            known = self._views.get(name)
            if known is not None and known.folder != view.folder:
                return  # two records of one name: the first counts
            self._views[name] = view
            if problem is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = problem

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
