"""An inspection cell: the stations of one configuration in one process. They are independent, but stations with the
same bundle share one loaded model.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from functools import partial

from edge.errors import ConfigError, EdgeError
from edge.station import gc_tuning
from edge.station.config.layout import check_apart
from edge.station.config.resolved import StationConfig
from edge.station.inference.process import Model
from edge.station.poller import Poller
from edge.station.process.safe_path import safe_path
from edge.station.signals import Signals
from edge.station.supervisor import CHILD_PATIENCE_S, Station
from edge.station.systemd import Service, SharedService
from edge.verdict import State

log = logging.getLogger("edge.station")

TEND_S = 0.02
"""While parts come, a turn that begins this long after the last full one is a full one, too."""

OPEN_FILES = 64
"""Open files per station: sockets, ring and journal, and a reserve to restart its children."""


class Cell:
    """Runs its stations until all their sources have ended or a signal ends the run.

    `stations` lists all of them, also after their end; `failures` gives, by name, the error of each that could not
    start.
    """

    def __init__(
        self,
        configs: Sequence[StationConfig],
        progress: Callable[[Station], None],
        insecure: frozenset[str] = frozenset(),
    ) -> None:
        """Create the stations: see `Station`, whose errors are raised; no socket stays bound then. Stations named in
        `insecure` may be reached from the network without keys. `progress` is passed to each station.

        Raises ConfigError if two stations conflict, or if this process may open too few files.
        """
        check_apart(configs)
        _check_open_files(len(configs))
        self.stations: list[Station] = []
        self.failures: dict[str, EdgeError] = {}
        self._models: dict[Hashable, Model] = {}
        self._service = Service()
        self._shared = SharedService(self._service)
        with contextlib.ExitStack() as undo:
            for config in configs:
                report = self._service if len(configs) == 1 else self._shared.of(config.station)
                page = next((s.metrics for s in self.stations if s.config.metrics == config.metrics), None)
                station = Station(config, progress, config.station in insecure, self._models, report, page)
                undo.callback(station.discard)
                self.stations.append(station)
            undo.pop_all()
        self._running = list(self.stations)
        self._shutting_down: list[threading.Thread] = []
        self._poller = Poller()
        self._ready: set[int] | None = None  # descriptors that ended the sleep; None: anything may have come
        self._tended: list[int] = []  # descriptors that need a full turn
        self._tend_due = 0.0  # from when on the next turn is a full one
        self._wake_due = 0.0  # when the next full turn is due
        self._was_short = False
        self._has_settled = False

    def run(self) -> None:
        """Serve until the end. SIGINT, SIGTERM and SIGHUP end the run in order.

        Raises EdgeError if there is only one station and it cannot start; of several, the others continue without it.
        """
        with Signals() as signals, safe_path():
            cause = "told to stop"
            try:
                while self._running and not signals.came:
                    self._turn(self._may_be_short)
                    for station in [s for s in self._running if s.is_finished]:
                        self._retire(station, "the source has ended")
                    if self._running:
                        self._sleep(signals)
            except BaseException as error:
                cause = str(error) or type(error).__name__
                raise
            finally:
                self._shut_down(cause)

    def _turn(self, is_short: bool = False) -> None:
        """One turn, in this order: verdicts, input of all stations, a part for the model, output.

        A short turn handles captures, results and deadlines only.
        """
        self._was_short = is_short
        for model in () if is_short else self._models.values():
            with contextlib.suppress(EdgeError):  # the stations raise it themselves; a model may have none left
                model.receive()
                model.supervise()
        self._each(partial(Station.answer, ready=self._ready if is_short else None))
        self._each(Station.take_capture if is_short else Station.receive)
        self._each(self._submit)
        while self._each(Station.publish):  # a stored picture waits for the verdict of the previous one
            self._each(self._submit)
        if not is_short:
            self._each(lambda station: station.status.beat())
        if not any(station.is_busy for station in self._running):
            self._collect_garbage()

    @property
    def _may_be_short(self) -> bool:
        """Whether all stations run, nothing but captures and results has come, and no full turn is due."""
        ready = self._ready
        return ready is not None and time.monotonic() < self._tend_due and ready.isdisjoint(self._tended)

    def _collect_garbage(self) -> None:
        """Collect garbage while no part is in flight."""
        if self._has_settled:
            gc_tuning.collect()
        elif all(station.status.ready_after_s is not None for station in self._running):
            gc_tuning.freeze()
            self._has_settled = True

    def _submit(self, station: Station) -> None:
        """Submit a part of this station; a station that submitted one moves to the end, so that all take turns."""
        if station.submit() and len(self._running) > 1:
            self._running.remove(station)
            self._running.append(station)

    def _each(self, step: Callable[[Station], bool | None]) -> bool:
        """Call `step` for each station; True if any call returns True, which means that there is more to do."""
        has_more = False
        for station in tuple(self._running):
            try:
                has_more |= bool(step(station))
            except EdgeError as error:
                if len(self.stations) == 1:
                    raise
                self.failures[station.config.station] = error
                name = station.config.station
                log.error("%s: %s", name, error, extra={"station": name})
                self._retire(station, str(error))
        return has_more

    def _sleep(self, signals: Signals) -> None:
        """Sleep until a descriptor of a child, a controller or a signal is readable, or a deadline is due."""
        self._ready = None
        if any(station.needs_full_turn if self._was_short else station.has_more for station in self._running):
            return
        if not self._was_short:
            self._tended = [signals.wake.fileno(), *(fd for station in self._running for fd in station.tended_fds)]
            wait_s, now = min(station.due_in_s for station in self._running), time.monotonic()
            self._wake_due, self._tend_due = now + wait_s, now + min(TEND_S, wait_s)
        descriptors = [*self._tended, *(fd for station in self._running for fd in station.part_fds)]
        due_in_s = min(station.part_due_in_s for station in self._running)
        ready = self._poller.sleep(descriptors, min(due_in_s, self._wake_due - time.monotonic()))
        if all(station.status.state is State.EXECUTING for station in self._running):
            self._ready = ready

    def _retire(self, station: Station, cause: str) -> None:
        """Shut down a station that has ended, while the others continue."""
        self._was_short = False  # its descriptors are no longer valid
        self._running.remove(station)
        station.products.leave()
        self._shared.leave(station.config.station)
        if not self._running:  # no other station can be delayed
            station.shut_down(cause)
            return
        leaving = threading.Thread(target=station.shut_down, args=(cause,), name=f"{station.config.station} leaves")
        self._shutting_down.append(leaving)
        leaving.start()

    def _shut_down(self, cause: str) -> None:
        """Shut down all stations in parallel, then their models."""
        with contextlib.ExitStack() as last:
            last.callback(self._service.close)
            if len(self.stations) > 1:
                self._service.stopping(cause)
            for model in self._models.values():
                last.callback(model.close, CHILD_PATIENCE_S)
            while self._running:
                self._retire(self._running[-1], cause)
            for leaving in self._shutting_down:
                leaving.join()


def _check_open_files(stations: int) -> None:
    """Raise ConfigError if the limit of open files is too low for the stations, whose children could not start."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES * stations:
        raise ConfigError(
            f"this process may open {soft} files, and needs {OPEN_FILES * stations}; raise it with ulimit -n, or "
            "LimitNOFILE= of the unit"
        )
