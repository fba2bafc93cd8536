"""The order of the measurements: in rounds, so that a drift of the machine's speed favours no setting."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from edge.bench import whole_way
from edge.bench.bare_inference import Bare
from edge.bench.hardware import Frequency
from edge.bench.machine_load import Watch
from edge.bench.pace import BACK_TO_BACK, pace_in_words
from edge.bench.result import Pace, Series, Setting
from edge.bench.settings_grid import is_of_station, named
from edge.bench.subprocess_run import Apart, bare
from edge.bundle import Bundle
from edge.errors import BundleError
from edge.frame import Frame
from edge.sources import SourceRequest
from edge.sources.replay import FRAMES, ReplaySource

TURN = 25
"""Frames back to back of one setting before the next setting's turn."""

TOGETHER = 16
"""Settings that are compiled at the same time and take turns; they must fit into memory."""

Item = tuple[Bundle, Setting]
Measured: TypeAlias = Bare | Apart
Tell = Callable[[str, int], None]
"""Progress: the current step, and the number of frames done since the last call."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: `frames` back to back, `paced_s` seconds at the line's cadence (0: none).

    `runs` stations, one after another, share the frames of the whole way. With `only_fastest` only the fastest setting
    of each bundle is measured beyond bare back to back. `most_s` limits the seconds back to back of all settings
    together.
    """

    frames: int
    paced_s: float
    runs: int = 2
    only_fastest: bool = False
    most_s: float | None = None

    def changed(self, frames: int | None, paced_s: float | None) -> "Effort":
        """A copy with the given values; a requested number of frames is not limited by `most_s`."""
        effort = self if frames is None else replace(self, frames=frames, most_s=None)
        return effort if paced_s is None else replace(effort, paced_s=paced_s)


QUICK = Effort(frames=200, paced_s=4.0, runs=1, only_fastest=True, most_s=16.0)
USUAL = Effort(frames=1000, paced_s=15.0)
FULL = Effort(frames=2000, paced_s=60.0)


class Measuring:
    """Measures settings of bundles back to back and at the given paces, each pace without and with keeping warm."""

    def __init__(self, items: Sequence[Item], paces: Sequence[Pace], effort: Effort, tell: Tell) -> None:
        """Each of `paces` has a rate. Nothing runs before `run`."""
        self.frequency = Frequency()
        self.skipped: list[str] = []  # settings refused by the runtimes, with the reason
        self._items, self._effort, self._tell = items, effort, tell
        both = [pace.model_copy(update={"keeps_warm": warm}) for pace in paces for warm in (False, True)]
        self._both = both if effort.paced_s else []
        self._golden_holds: dict[tuple[str, str], bool] = {}
        self._pictures: dict[tuple[int, int], list[Frame]] = {}

    @property
    def total(self) -> int:
        """Largest number of frames that will be shown."""
        e, paced = self._effort, sum(self._paced_frames(pace) for pace in self._both)
        stations = sum(is_of_station(setting) for _, setting in self._items)
        few = len({bundle.label for bundle, _ in self._items})
        bare, whole = (few, few) if e.only_fastest else (sum(s.streams == 1 for _, s in self._items), stations)
        return e.frames * (len(self._items) + whole) + paced * (bare + whole)

    def run(self) -> list[Series]:
        """Run everything, bare before and after the whole way; settings that a runtime refuses go to `skipped`.

        Raises EdgeError if a station fails, BundleError if no setting is left.
        """
        blocks = range(0, len(self._items), TOGETHER)
        found = [one for at in blocks for one in self._block(self._items[at : at + TOGETHER])]
        if not found:
            raise BundleError(self.skipped[0])
        return found

    def _block(self, items: Sequence[Item]) -> list[Series]:
        if not (loaded := list(self._load(items))):
            return []
        frames = self._capped(loaded)
        self._bare(loaded, frames, first=True)
        chosen = self._fastest(loaded) if self._effort.only_fastest else loaded
        paced = [one for one in chosen if one.setting.streams == 1]
        self._bare_paced(paced, first=True)
        whole = self._whole([one for one in chosen if is_of_station(one.setting)], frames)
        self._bare(loaded, frames, first=False)
        self._bare_paced(paced, first=False)
        return [self._checked(one, series) for one in loaded for series in one.series()] + whole

    def _checked(self, one: Measured, series: Series) -> Series:
        """The series, with whether bfloat16 would pass the bundle's golden frames."""
        if one.setting.precision != "bf16":
            return series
        key = one.bundle.label, one.setting.artifact
        if key not in self._golden_holds:
            self._golden_holds[key] = one.golden_holds()
        return series.model_copy(update={"golden_holds": self._golden_holds[key]})

    def _load(self, items: Sequence[Item]) -> Iterator[Measured]:
        for bundle, setting in items:
            self._tell(f"{bundle.manifest.name}: compiling {named(setting)}", 0)
            try:
                one = bare(bundle, setting, self._shown(setting))
            except BundleError as error:
                self.skipped.append(f"{bundle.label}, {named(setting)}: {error}")
            else:
                yield one

    def _shown(self, setting: Setting) -> list[Frame]:
        """Frames of the demo line in the setting's size."""
        size = setting.height, setting.width
        if size not in self._pictures:
            source = ReplaySource(SourceRequest("replay", size=size))
            stock = [source.capture(number).frame for number in range(FRAMES)]
            self._pictures[size] = [frame for frame in stock if frame is not None]
        return self._pictures[size]

    def _capped(self, bare: Sequence[Measured]) -> dict[Measured, int]:
        """Number of frames back to back of each setting, both halves together."""
        effort, most = self._effort, self._effort.frames
        if effort.most_s is None:
            return dict.fromkeys(bare, most)
        each_ms = 1000 * effort.most_s / len(bare)
        return {one: max(10, min(most, int(each_ms / one.typical_ms))) for one in bare}

    def _fastest(self, bare: Sequence[Measured]) -> list[Measured]:
        """The fastest setting of each bundle among those that a station would run."""
        found: dict[str, Measured] = {}
        for one in sorted(bare, key=lambda one: one.median_ms()):
            if is_of_station(one.setting):
                found.setdefault(one.bundle.label, one)
        return list(found.values())

    def _bare(self, bare: Sequence[Measured], frames: dict[Measured, int], first: bool) -> None:
        """Measure half of the frames back to back, in turns."""
        watch = Watch()
        left = {one: frames[one] // 2 if first else frames[one] - frames[one] // 2 for one in bare}
        while any(left.values()):
            for one in bare:
                if turn := min(TURN, left[one]):
                    self._tell(f"{one.bundle.manifest.name}: bare, {named(one.setting)}", 0)
                    one.turn(BACK_TO_BACK, turn)
                    left[one] -= turn
                    self._tell("", turn)
            self.frequency.look()
        disturbance = watch.stop()
        for one in bare:
            one.note(BACK_TO_BACK, disturbance)

    def _bare_paced(self, bare: Sequence[Measured], first: bool) -> None:
        """Measure half of the frames at each pace, without and with keeping warm; the other half in reverse order."""
        jobs = [(one, pace) for one in bare for pace in self._both]
        for one, pace in jobs if first else reversed(jobs):
            self._tell(f"{one.bundle.manifest.name}: bare, {pace_in_words(pace)}, {named(one.setting)}", 0)
            frames = self._paced_frames(pace)
            half = frames // 2 if first else frames - frames // 2
            watch = Watch()
            one.turn(pace, half)
            one.note(pace, watch.stop())
            self.frequency.look()
            self._tell("", half)

    def _whole(self, chosen: Sequence[Measured], frames: dict[Measured, int]) -> list[Series]:
        """Run stations one after another; a second run has the reverse order."""
        jobs = [(one, pace) for one in chosen for pace in (BACK_TO_BACK, *self._both)]
        ran: dict[tuple[Measured, Pace], list[whole_way.StationRun]] = {}
        for turn in range(runs := self._effort.runs):
            for one, pace in reversed(jobs) if turn % 2 else jobs:
                self._tell(f"{one.bundle.manifest.name}: whole way, {pace_in_words(pace)}, {named(one.setting)}", 0)
                asked = frames[one] if pace is BACK_TO_BACK else self._paced_frames(pace)
                share = asked // runs + (asked % runs if turn == 0 else 0)
                done = whole_way.run_station(one.bundle, one.setting, pace, share, lambda n: self._tell("", n))
                ran.setdefault((one, pace), []).append(done)
                self.frequency.look()
        return [whole_way.series(one.bundle.label, one.setting, pace, runs) for (one, pace), runs in ran.items()]

    def _paced_frames(self, pace: Pace) -> int:
        """Parts in the duration of a pace: at least two pauses of the line, one in each half."""
        assert pace.rate_per_min is not None
        work_s = max(self._effort.paced_s, 2.2 * (pace.idle_every_s or 0))
        return max(20, round(work_s * pace.rate_per_min / 60))
