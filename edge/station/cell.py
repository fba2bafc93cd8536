"""An inspection cell: the stations of one configuration in one process, each as if it were alone, one loaded model for
those of the same bundle.
"""

import contextlib
import threading
from collections.abc import Callable, Hashable, Sequence

from edge.errors import ConfigError, EdgeError
from edge.station import gc_tuning
from edge.station.config.layout import check_apart
from edge.station.config.resolved import StationConfig
from edge.station.inference.process import Model
from edge.station.poller import Sleeper
from edge.station.process.safe_path import safe_path
from edge.station.signals import Signals
from edge.station.supervisor import CHILD_PATIENCE_S, Station
from edge.station.systemd import Service, SharedService

OPEN_FILES = 64
"""Files that a station has open, with sockets, pipes, ring and journal, and some to start its children again."""


class Cell:
    """Runs its stations until all their sources have ended or it is told to stop.

    `stations` are all of them, whatever became of them; `failures` says, by name, which could not start, and why.
    """

    def __init__(
        self,
        configs: Sequence[StationConfig],
        progress: Callable[[Station], None],
        insecure: frozenset[str] = frozenset(),
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Make the stations: see `Station`, whose errors are raised, and no socket stays bound then. Those named in
        `insecure` may be reached from the network without keys.

        Raises ConfigError if two of them would be in each other's way, or if this process may open too few files.
        """
        check_apart(configs)
        _check_open_files(len(configs))
        self.stations: list[Station] = []
        self.failures: dict[str, EdgeError] = {}
        self._models: dict[Hashable, Model] = {}
        self._service = Service()
        self._say = say
        self._shared = SharedService(self._service)
        with contextlib.ExitStack() as undo:
            for config in configs:
                report = self._service if len(configs) == 1 else self._shared.of(config.station)
                page = next((s.metrics for s in self.stations if s.config.metrics == config.metrics), None)
                station = Station(config, progress, config.station in insecure, say, self._models, report, page)
                undo.callback(station.discard)
                self.stations.append(station)
            undo.pop_all()
        self._running = list(self.stations)
        self._leaving: list[threading.Thread] = []
        self._sleeper = Sleeper()
        self._has_settled = False

    def run(self) -> None:
        """Serve to the end. SIGINT, SIGTERM and SIGHUP end it in order.

        Raises EdgeError if there is but one station and it cannot start; of several, the others go on without it.
        """
        with Signals() as signals, safe_path():
            cause = "told to stop"
            try:
                while self._running and not signals.came:
                    self._turn()
                    for station in [s for s in self._running if s.is_finished]:
                        self._let_go(station, "the source has ended")
                    if self._running:
                        self._sleep(signals)
            except BaseException as error:
                cause = str(error) or type(error).__name__
                raise
            finally:
                self._shut_down(cause)

    def _turn(self) -> None:
        """Verdicts first, then what came in for all stations, then a part for the model, then what goes out."""
        for model in self._models.values():
            with contextlib.suppress(EdgeError):  # the stations will hear of it
                model.hear()
                model.revive()
        self._each(Station.answer)
        self._each(Station.hear)
        self._each(self._submit)
        while self._each(Station.publish):  # a stored picture waits for the verdict of the one before it
            self._each(self._submit)
        self._each(Station.beat)
        if not any(station.is_busy for station in self._running):
            self._tidy()

    def _tidy(self) -> None:
        """No part is under way."""
        if self._has_settled:
            gc_tuning.tidy()
        elif all(station.ready_after_s is not None for station in self._running):
            gc_tuning.settle()
            self._has_settled = True

    def _submit(self, station: Station) -> None:
        """Whoever gave the model a part comes last next time, so that each has its turn."""
        if station.submit() and len(self._running) > 1:
            self._running.remove(station)
            self._running.append(station)

    def _each(self, step: Callable[[Station], bool | None]) -> bool:
        """Let each station take this step; whether one of them says that there is more to do."""
        has_more = False
        for station in tuple(self._running):
            try:
                has_more |= bool(step(station))
            except EdgeError as error:
                if len(self.stations) == 1:
                    raise
                self.failures[station.config.station] = error
                self._say(f"{station.config.station}: {error}")
                self._let_go(station, str(error))
        return has_more

    def _sleep(self, signals: Signals) -> None:
        """Until a child, a controller or a signal has something to say, or the clock has."""
        if any(station.has_more for station in self._running):
            return
        descriptors = (fd for station in self._running for fd in station.fds)
        self._sleeper.sleep([signals.wake.fileno(), *descriptors], min(s.due_in_s for s in self._running))

    def _let_go(self, station: Station, cause: str) -> None:
        """A station is at its end, and takes its leave while the others go on."""
        self._running.remove(station)
        station.scoring.leave()
        self._shared.leave(station.config.station)
        if not self._running:  # nobody else is held up
            station.shut_down(cause)
            return
        leaving = threading.Thread(target=station.shut_down, args=(cause,), name=f"{station.config.station} leaves")
        self._leaving.append(leaving)
        leaving.start()

    def _shut_down(self, cause: str) -> None:
        """Each station by itself and all at once, then the models they left."""
        with contextlib.ExitStack() as last:
            last.callback(self._service.close)
            if len(self.stations) > 1:
                self._service.stopping(cause)
            for model in self._models.values():
                last.callback(model.close, CHILD_PATIENCE_S)
            while self._running:
                self._let_go(self._running[-1], cause)
            for leaving in self._leaving:
                leaving.join()


def _check_open_files(stations: int) -> None:
    """Raise ConfigError if the system's limit is below what the stations need: their children could not be started."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES * stations:
        raise ConfigError(
            f"this process may open {soft} files, and needs {OPEN_FILES * stations}; raise it with ulimit -n, or "
            "LimitNOFILE= of the unit"
        )
