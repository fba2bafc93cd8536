"""Watches a station for slow changes: an alarm before false rejects pile up. Verdicts never depend on it."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge.bundle import Bundle, InputStatistics, Manifest
from edge.records.latest_file import LatestFile
from edge.station.config.resolved import StationConfig
from edge.station.drift.batch_means import BatchMeans
from edge.station.drift.block import BlockSums, Summed
from edge.station.drift.chart import MEMORY, OVER, Block, Chart
from edge.station.drift.features import FEATURES, REJECTS, SCORE
from edge.station.drift.file import LARGEST_MEAN, LineIdentity, Stored, StoredChart, read_stored
from edge.station.parts import Part
from edge.verdict import Drift, Outcome, Verdict

BLOCK_S, BLOCK_PARTS = 60.0, 50
"""A block has this many seconds and this many parts, at least."""

BLOCKS_AN_HOUR = 60

FIRST = 2 * BLOCKS_AN_HOUR
"""Blocks of the reference from which on the watch compares: with fewer, lots of half an hour raise alarms. Its limits
are wide then and become narrower until the reference is complete. Later blocks are added to it when they are older than
the mean looks back, so that the mean of the last hour is compared with what was before it; those of an alarm, and of
the hour before it, are not added."""

SAVED_EVERY = 5
"""Blocks after which the reference is written to disk."""

FAR_FROM_TRAINING = 2.0
"""A reference that differs from the training photographs by more than this many of their standard deviations is
remarked."""

CLOSE_S = 0.2

CONSEQUENCES = frozenset({SCORE, REJECTS})
"""The alarm names these only as long as no feature of the pictures is beyond its limit."""

ABOUT_AS_FAR = 0.7
"""Share of the largest shift, each in units of its limit: features beyond this have moved about as far."""


def now_text() -> str:
    """The time of day, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def line_of(config: StationConfig, bundle: Bundle) -> LineIdentity:
    """Whose reference a station has."""
    regions = tuple(map(str, config.regions))
    return LineIdentity(digest=bundle.digest, bundle=bundle.label, source=config.source_name, regions=regions)


class DriftWatch:
    """One of the station's observers. A part costs a few additions; the charts are computed once a block."""

    def __init__(
        self,
        line: LineIdentity,
        hours: float,
        folder: Path | None,
        note: Callable[[int, str], None],
        manifest: Manifest | None = None,
        when: Callable[[], str] = now_text,
    ) -> None:
        """`hours` is the length of the reference, `folder` where it is kept; None: it ends with the run.

        `note` is called with a level of `logging` and a line. `manifest` has what is known of the photographs that
        the bundle was trained and validated on.
        """
        self._line, self._note, self._manifest, self._when = line, note, manifest, when
        self._wanted = max(FIRST, round(hours * BLOCKS_AN_HOUR))
        self._block_s, self._block_parts, self._begun = BLOCK_S, BLOCK_PARTS, when()
        self._charts = {name: Chart(name) for name in FEATURES}
        self._learned = 0
        self._waiting: deque[Mapping[str, Block]] = deque()  # blocks that are not in the reference yet
        self._beyond: set[str] = set()  # features whose alarm is not over
        self._lead: str | None = None  # the feature that the alarm names
        self._stood = 0  # blocks since the alarm named it
        self._later: list[str] = []  # features beyond their limits since, that it does not explain
        self._anew = f"remove {line.file}, " if folder is not None else ""
        self._read(folder)
        self._keeper = None if folder is None else LatestFile(folder / line.file)
        self._block: BlockSums | None = None
        self._unsaved = 0
        self._alarms: tuple[str, ...] = ()
        self.levels: Mapping[str, float] = {}
        """By feature, the shift of the last hour, in units of its limit; empty before it is compared."""
        self.state = Drift(learned=0)
        """What the heartbeat says."""
        self._judge()
        self._show()

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarms, as text for users, and why the reference is not on disk; empty if all is well."""
        trouble = self._keeper.trouble if self._keeper is not None else None
        return self._alarms if trouble is None else (*self._alarms, f"{self._line.file} is not written: {trouble}")

    def judged(self, part: Part, verdict: Verdict, payload: bytes) -> None:
        """See `Observer.judged`."""
        if verdict.score is not None:
            self.count(verdict.score, verdict.verdict is Outcome.GOOD, verdict.timing.published)

    def count(self, score: float, is_good: bool, now_ns: int) -> None:
        """Count a part that was judged at `now_ns`; the one that completes a block ends it."""
        block = self._block
        if block is None:
            block = self._block = BlockSums(now_ns)
        block.add(score, is_good)
        if block.judged >= self._block_parts and now_ns - block.begun_ns >= self._block_s * 1e9:
            self._block = None
            self.end_block(dict(block.blocks()))

    def add(self, summed: Summed) -> None:
        """Add the features of some pictures."""
        if self._block is None:
            self._block = BlockSums(time.monotonic_ns())
        self._block.add_pictures(summed)

    def close(self) -> None:
        """Write the reference, for at most a fifth of a second."""
        if self._keeper is not None:
            if self._unsaved:
                self._save(self._keeper)
            self._keeper.close(CLOSE_S)

    # ------------------------------------------------------------------------------------------------- once a block

    def end_block(self, blocks: Mapping[str, Block]) -> None:
        """Compare a block with the reference, or add it to the reference; `blocks` is by feature."""
        sound = {
            name: one
            for name, one in blocks.items()
            if abs(one.mean) <= LARGEST_MEAN and 0 <= one.variance <= LARGEST_MEAN**2  # neither holds of NaN
        }
        self._end_block(sound)

    def _end_block(self, blocks: Mapping[str, Block]) -> None:
        if self._learned < FIRST:
            self._learn(blocks)
        else:
            when = self._when()
            for name, one in blocks.items():
                if self._charts[name].reference.count:
                    self._charts[name].compare(one.mean, when)
            self._waiting.append(blocks)
        is_changed = self._judge()
        if self._beyond or self._learned >= self._wanted:
            self._waiting.clear()
        elif len(self._waiting) > MEMORY:
            self._learn(self._waiting.popleft())
        self._unsaved += 1
        self._show()
        if self._keeper is not None and (is_changed or self._unsaved >= SAVED_EVERY):
            self._save(self._keeper)

    def _learn(self, blocks: Mapping[str, Block]) -> None:
        """Add a block to the reference."""
        for name, one in blocks.items():
            self._charts[name].learn(one)
        self._learned += 1
        if self._learned == FIRST:
            self._compare_with_training()
        if self._learned == self._wanted:
            self._note(logging.INFO, f"the reference of the watch on drift is complete: the line since {self._begun}")
            if wide := [name for name, chart in self._charts.items() if chart.is_wide]:
                text = f"the lots or slow changes of this line make wide limits for {', '.join(wide)}"
                self._note(logging.INFO, f"{text}; a longer reference (--drift-hours) makes them narrower")

    def _judge(self) -> bool:
        """Begin or end the alarm. Returns whether it was begun or ended."""
        self.levels = {name: chart.level for name, chart in self._charts.items() if chart.now is not None}
        levels = {name: abs(level) for name, level in self.levels.items()}
        before, was_on = self._beyond, bool(self._beyond)
        self._beyond = {name for name, level in levels.items() if level > (OVER if name in self._beyond else 1)}
        causes = self._beyond - CONSEQUENCES
        if self._beyond and (not was_on or (causes and self._lead in CONSEQUENCES)):
            named = levels.keys() - CONSEQUENCES if causes else levels.keys()
            self._lead, self._stood = _named_first({name: levels[name] for name in named}), 0
            also = [name for name in FEATURES if name in self._beyond and name != self._lead]
            self._note(
                logging.DEBUG, f"alarm: {self._text(self._lead)}" + (f" (also {', '.join(also)})" if also else "")
            )
        elif was_on and not self._beyond:
            self._note(logging.INFO, f"drift is over: {self._figures(self._lead or SCORE)}")
            self._lead = None
        self._judge_later(before)
        return was_on is not bool(self._beyond)

    def _judge_later(self, before: set[str]) -> None:
        """Begin and end the alarms beside the first one. A feature that goes beyond its limit when the first alarm is
        older than the mean looks back has another reason.
        """
        self._later = [name for name in self._later if name in self._beyond and name != self._lead]
        if self._lead is not None and self._stood > MEMORY:
            for name in (name for name in FEATURES if name in self._beyond - before and name != self._lead):
                self._later.append(name)
                self._note(logging.DEBUG, f"alarm: {self._text(name)}")
        self._stood += 1

    def _figures(self, name: str) -> str:
        chart, shown = self._charts[name], FEATURES[name].shown
        assert chart.now is not None
        return f"{name} {shown(chart.now)}, in the reference {shown(chart.reference.mean)}"

    def _text(self, name: str) -> str:
        """The alarm of a feature: which, how far, since when, what to do, and how to begin anew."""
        chart, feature = self._charts[name], FEATURES[name]
        shown, middle = feature.shown, chart.reference.mean
        edge = middle + chart.limit if chart.level > 0 else middle - chart.limit
        return (
            f"drift: {self._figures(name)}, limit {shown(edge)}, since {chart.since or self._when()}; "
            f"beyond their limits: {len(self._beyond)} of {len(FEATURES)} features; {feature.remedy}; "
            f"if the line is meant to be so: stop the station, {self._anew}start it"
        )

    def _show(self) -> None:
        """Renew what heartbeats say."""
        named = [*([self._lead] if self._lead is not None and self._beyond else []), *self._later]
        self._alarms = tuple(map(self._text, named))
        levels = {name: abs(level) for name, level in self.levels.items()}
        lead = self._lead or (_named_first(levels) if levels else None)
        chart = None if lead is None else self._charts[lead]
        self.state = Drift(
            learned=min(1.0, round(self._learned / self._wanted, 4)),
            feature=lead,
            level=None if chart is None else round(chart.level, 3),
            since=None if chart is None else chart.since,
        )

    def _compare_with_training(self) -> None:
        """Remark in what the reference differs from the photographs of the bundle, or that these are not known."""
        statistics = self._manifest.input_statistics if self._manifest else None
        scores = self._manifest.good_scores if self._manifest else None
        unknown = [what for what, one in (("features", statistics), ("scores", scores)) if one is None]
        if unknown:
            text = f"the bundle lacks the {' and '.join(unknown)} of its photographs, which a newer export stores"
            self._note(logging.INFO, f"{text}; there the watch on drift knows only this line's own reference")
        far = [*(_unlike_training(self._charts, statistics) if statistics else ())]
        goods = self._charts[SCORE].reference
        if scores and goods.count and not scores.low <= goods.mean <= scores.high:
            far.append(f"{SCORE} {goods.mean:.4g}, in validation {scores.low:.4g} to {scores.high:.4g}")
        if far:
            text = "the first two hours of this line differ from the photographs of the bundle"
            self._note(logging.INFO, f"{text}: {'; '.join(far)}")

    # -------------------------------------------------------------------------------------------------- on the disk

    def _read(self, folder: Path | None) -> None:
        """Take over the stored reference, if it is of this line."""
        stored = None if folder is None else read_stored(folder, self._line)
        if stored is None:
            return
        if isinstance(stored, str):
            self._note(
                logging.WARNING, f"the reference of the watch on drift begins anew: {self._line.file} is {stored}"
            )
            return
        self._block_s, self._block_parts, self._begun = stored.block_s, stored.block_parts, stored.begun
        for name, one in stored.charts.items():
            chart = self._charts[name]
            chart.reference = BatchMeans(one.length, one.means, one.rest)
            chart.variance, chart.now, chart.since = one.variance, one.now, one.since
            chart.set_limit()
        self._waiting.extend(stored.waiting)
        self._learned = max(chart.reference.count for chart in self._charts.values())
        self._beyond, self._lead, self._stood = set(stored.beyond), stored.lead, stored.stood
        self._later = [name for name in stored.later if name in self._beyond]

    def _save(self, keeper: LatestFile) -> None:
        self._unsaved = 0
        charts = {
            name: StoredChart(
                length=chart.reference.length,
                means=tuple(chart.reference.means),
                rest=tuple(chart.reference.rest),
                variance=chart.variance,
                now=chart.now,
                since=chart.since,
            )
            for name, chart in self._charts.items()
        }
        beyond = tuple(name for name in FEATURES if name in self._beyond)
        keeper.keep(
            Stored(
                line=self._line,
                begun=self._begun,
                block_s=self._block_s,
                block_parts=self._block_parts,
                charts=charts,
                waiting=tuple(map(dict, self._waiting)),
                beyond=beyond,
                lead=self._lead,
                stood=min(self._stood, 10**9),
                later=tuple(self._later),
            )
        )


def _unlike_training(charts: Mapping[str, Chart], statistics: InputStatistics) -> Iterator[str]:
    """The features in which a reference differs from the training photographs, in words."""
    for name, mean, deviation in zip(statistics.features, statistics.mean, statistics.deviation, strict=True):
        if name not in charts:
            continue
        reference, shown = charts[name].reference, FEATURES[name].shown
        if reference.count and abs(reference.mean - mean) > FAR_FROM_TRAINING * deviation:
            yield f"{name} {shown(reference.mean)}, in training {shown(mean)}"


def _named_first(levels: Mapping[str, float]) -> str:
    """Of the features that moved about as far as the one that moved most, the first in the order of `FEATURES`."""
    most = max(levels.values())
    return next(name for name in FEATURES if name in levels and levels[name] >= ABOUT_AS_FAR * most)
