"""Trends by hour and by shift: yield, reasons, scores, latency, as charts that the server draws."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from edge.page.charts import Bar, Point, histogram, pareto, stacked, two_lines
from edge.page.record_view import Counts, Spread, quantile, shift_start
from edge.page.site import Site
from edge.page.words import Words
from edge.verdict import Reason

MOST_REASONS = 12
"""Rows of the chart of reasons."""

SPANS = {"shift": None, "day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=30)}


class Trends:
    """Draws the charts."""

    def __init__(self, site: Site) -> None:
        """`site.history` has the records."""
        self._site = site

    async def show(self, request: Request) -> Response:
        """The charts of a span, by hour or by shift."""
        site, station, record = self._site, self._site.station(request), self._site.record(request)
        t = site.words(request)
        span, by = request.query_params.get("span", "day"), request.query_params.get("by", "hour")
        if span not in SPANS or by not in ("hour", "shift"):
            raise HTTPException(400, t("error.filter", what="span, by"))
        now = datetime.now(UTC)
        length = SPANS[span]
        since = site.history.shift() if length is None else now - length
        counted, spread, gaps = await run_in_threadpool(record.trend, since, now + timedelta(minutes=1))
        starts = site.history.shifts if by == "shift" else None
        live = station.view().verdicts
        threshold = next((v.threshold for v in live if v.threshold is not None), None)
        kinds = sum((one.kinds for one in counted), Counter[str]())
        charts = _charts(t, _grouped(counted, starts), kinds, spread, threshold)
        whole = sum((one.reasons for one in counted), Counter[str]())
        return site.page(
            request, "trends.html.j2", station=station.name, charts=charts, span=span, by=by, spans=[*SPANS],
            parts=whole.total(), good=whole[Reason.CLEAR], since=since, gaps=gaps,
        )  # fmt: skip


def _grouped(counted: list[Counts], shifts: tuple[int, ...] | None) -> dict[datetime, Counter[str]]:
    """Reasons by the beginning of the hour, or of the shift."""
    found: dict[datetime, Counter[str]] = {}
    for one in counted:
        start = one.start if shifts is None else shift_start(one.start, shifts)
        found.setdefault(start, Counter()).update(one.reasons)
    return found


def _charts(
    t: Words,
    groups: dict[datetime, Counter[str]],
    kinds: Counter[str],
    spread: list[Spread],
    threshold: float | None,
) -> dict[str, Markup]:
    bars = []
    for start in sorted(groups):
        reasons = groups[start]
        good, reject = reasons[Reason.CLEAR], reasons[Reason.DEFECT]
        bars.append(Bar(_label(t, start), (good, reject, reasons.total() - good - reject)))
    bad = Counter[str]()
    for reasons in groups.values():
        bad.update({reason: count for reason, count in reasons.items() if reason != Reason.CLEAR})
    scores: Counter[float] = sum((one.scores for one in spread), Counter[float]())
    lines = [
        Point(_label(t, one.start), quantile(one.ages_ms, 0.5), quantile(one.ages_ms, 0.99))
        for one in spread
        if one.ages_ms
    ]
    return {
        "yield": stacked(t, bars),
        "reasons": pareto(t, _reasons(t, bad, kinds)),
        "scores": histogram(t, scores, threshold),
        "latency": two_lines(t, lines),
    }


def _reasons(t: Words, bad: Counter[str], kinds: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent reasons with their numbers. Each kind of defect has a row of its own, and the reason defect
    that of the rejects whose kind is not known.
    """
    left = bad - Counter({Reason.DEFECT.value: kinds.total()})
    rows = [(t(f"reason.{reason}") if t.find(f"reason.{reason}") else reason, n) for reason, n in left.items()]
    rows += [(t("trends.kind", kind=kind), number) for kind, number in kinds.items()]
    return sorted(rows, key=lambda row: -row[1])[:MOST_REASONS]


def _label(t: Words, start: datetime) -> str:
    return start.astimezone().strftime(t("number.hour"))
