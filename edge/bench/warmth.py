"""Whether it pays to run the model on a dummy frame between parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.bench.matrix import named
from edge.bench.pacing import said
from edge.bench.result import Series
from edge.bench.statistics import Change, difference

PERCENT = 50.0, 99.0


@dataclass(frozen=True)
class Warmth:
    """A series, the same kept warm, and by how many milliseconds p50 and p99 changed."""

    cool: Series
    warm: Series
    changes: tuple[Change, Change]

    @property
    def pays(self) -> bool:
        """Whether the median or p99 is shorter than chance explains, and neither is longer."""
        return any(one.high < 0 for one in self.changes) and not any(one.low > 0 for one in self.changes)

    def words(self) -> str:
        """The advice in one line."""
        median, tail = self.changes
        what = (
            f"{self.cool.bundle}, {named(self.cool.setting)}, {self.cool.way}, {said(self.cool.pace)}: keeping it warm"
        )
        by = f"p50 {median.value:+.2f} ms [{median.low:+.2f}, {median.high:+.2f}], p99 {tail.value:+.2f} ms"
        costs = ""
        if self.cool.cpu_s_a_frame and self.warm.cpu_s_a_frame:
            costs = f", for {1000 * (self.warm.cpu_s_a_frame - self.cool.cpu_s_a_frame):.0f} ms of processor a part"
        return f"{what} {'pays' if self.pays else 'does not pay beyond the noise'}: {by}{costs}"


def warmths(series: Sequence[Series]) -> list[Warmth]:
    """Every pair of series, without and with keeping warm, that are the same otherwise."""
    pairs = []
    for warm in (one for one in series if one.pace.keeps_warm):
        pace = warm.pace.model_copy(update={"keeps_warm": False})
        key = warm.bundle, warm.way, warm.setting, pace
        cool = next((one for one in series if (one.bundle, one.way, one.setting, one.pace) == key), None)
        if cool is not None:
            changes = [difference(cool.samples_ms, warm.samples_ms, percent) for percent in PERCENT]
            pairs.append(Warmth(cool, warm, (changes[0], changes[1])))
    return pairs
