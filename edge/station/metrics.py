"""Metrics of a station for Prometheus: one page over HTTP, by default on loopback.

The supervisor's loop only stores plain numbers here, without a lock. The server's thread renders the page on request.
"""

import contextlib
import shutil
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from edge.channel.control_messages import Fate
from edge.channel.limits import LIMITS
from edge.http.server import HttpServer, Response
from edge.verdict import UNKNOWN_REASONS, Outcome, Reason, State, Verdict

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds of the histogram buckets in seconds: from the time of a copy into the ring to a budget of seconds."""

LEASE_S = 0.3
"""Validity of a heartbeat. If the last one is older, the page shows the station as not ready."""


@dataclass(frozen=True)
class Vitals:
    """The values of a station at one heartbeat. Counters are totals of this run. None means that there is no value.

    `drift_levels` is by feature, `codes` by outcome, `restarts` by child, `requests` by type of control message,
    `limits` by name, `acknowledgements` by fate.
    """

    state: State
    is_ready: bool
    is_simulated: bool = False
    boot: int = 0
    subscribers: int = 0
    in_flight: int = 0
    pending: int = 0
    dropped: int = 0
    late_results: int = 0
    alarms: int = 0
    unlike_share: float | None = None
    drift_levels: Mapping[str, float] = field(default_factory=dict)
    drift_learned: float | None = None
    camera_age_ms: float | None = None
    loop_age_ms: float | None = None
    journal_backlog: int | None = None
    durable_lag: int | None = None
    images_kept: int = 0
    images_skipped: int = 0
    malformed_requests: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)
    acknowledgements: Mapping[Fate, int] = field(default_factory=dict)


_GAUGES: tuple[tuple[str, str, Callable[[Vitals], float | None]], ...] = (
    ("edge_simulated", "1 if source or bundle is the built-in demonstration.", lambda v: v.is_simulated),
    ("edge_boot", "Number of this run of the station, counted from 1; 0: unknown.", lambda v: v.boot),
    ("edge_subscribers", "Subscriptions to verdicts.", lambda v: v.subscribers),
    ("edge_parts_in_flight", "Parts accepted that have no verdict yet.", lambda v: v.in_flight),
    ("edge_frames_pending", "Frames captured that are not accepted yet.", lambda v: v.pending),
    ("edge_alarms", "Number of alarms: faults that do not stop the line.", lambda v: v.alarms),
    (
        "edge_unlike_share",
        "Share of the last 50 pictures unlike the training photographs.",
        lambda v: v.unlike_share,
    ),
    ("edge_drift_learned", "Share of the reference of the watch on drift that is known.", lambda v: v.drift_learned),
    (
        "edge_camera_age_seconds",
        "Time since the camera's process gave its last sign of life.",
        lambda v: _s(v.camera_age_ms),
    ),
    ("edge_loop_age_seconds", "Time since the model's process gave its last result.", lambda v: _s(v.loop_age_ms)),
    ("edge_journal_backlog", "Rows that wait to be written to the journal.", lambda v: v.journal_backlog),
    ("edge_durable_lag", "Verdicts published that are not on disk yet.", lambda v: v.durable_lag),
)

_COUNTERS: tuple[tuple[str, str, Callable[[Vitals], float]], ...] = (
    ("edge_frames_dropped", "Frames of a free-running camera that were never accepted.", lambda v: v.dropped),
    ("edge_late_results", "Results of the model that came after their part's verdict.", lambda v: v.late_results),
    ("edge_images_kept", "Images written to the archive.", lambda v: v.images_kept),
    ("edge_images_skipped", "Images that should have been written and were not.", lambda v: v.images_skipped),
    ("edge_control_malformed", "Control messages that are no request.", lambda v: v.malformed_requests),
)

_LABELLED: tuple[tuple[str, str, str, Callable[[Vitals], Mapping[Any, int]]], ...] = (
    ("edge_codes", "Frames by what became of them for the code reader.", "outcome", lambda v: v.codes),
    ("edge_restarts", "Starts of a child process after its first.", "child", lambda v: v.restarts),
    (
        "edge_channel_limits",
        "How often a limit of the channel acted on a peer.",
        "limit",
        lambda v: dict.fromkeys(LIMITS, 0) | dict(v.limits),
    ),
    ("edge_control_requests", "Control messages by type.", "type", lambda v: v.requests),
    (
        "edge_acknowledgements",
        "Parts by what became of them at the gate, as controllers said.",
        "fate",
        lambda v: dict.fromkeys(Fate, 0) | dict(v.acknowledgements),
    ),
)


def _s(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


class _Durations:
    """A histogram that one thread writes and another reads, without a lock."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0

    def add(self, begin_ns: int | None, end_ns: int | None) -> None:
        """Add the time between two moments, unless one is missing or the end lies before the beginning.

        The latter happens with a source that does not report its time of exposure: its parts count as captured when
        they are accepted.
        """
        if begin_ns is None or end_ns is None or end_ns < begin_ns:
            return
        duration_s = (end_ns - begin_ns) / 1e9
        self._counts[bisect_left(BUCKETS_S, duration_s)] += 1
        self._sum_s += duration_s

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """The cumulative counts by upper bound, and the sum in seconds."""
        counts, total = list(self._counts), 0
        cumulative: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
            total += count
            cumulative.append((bound, total))
        return cumulative, self._sum_s


class Metrics(Collector):
    """Serves the page until `close`, at `endpoint`: HOST:PORT with the port that was actually bound."""

    def __init__(
        self,
        endpoint: str,
        station: str,
        bundle: str,
        records: Path | None = None,
        allow_insecure: bool = False,
        page: "Metrics | None" = None,
    ) -> None:
        """`endpoint` is HOST:PORT, or PORT for loopback. `bundle` is the bundle's label, `records` the folder of the
        records, None without records. `page` is the Metrics of another station in this process with the same endpoint,
        whose page then shows both stations.

        Raises ChannelError, in one line, if the endpoint is invalid, in use, or open to the network.
        """
        self._about, self._records = {"station": station, "bundle": bundle}, records
        self._verdicts = dict.fromkeys(
            [(Outcome.GOOD, Reason.CLEAR), (Outcome.REJECT, Reason.DEFECT)]
            + [(Outcome.UNKNOWN, reason) for reason in sorted(UNKNOWN_REASONS)],
            0,
        )
        self._kinds: dict[str, int] = {}
        self._to_ring, self._to_inference, self._inference, self._to_publication, self._age = (
            _Durations() for _ in range(5)
        )
        self._beat: tuple[Vitals, int] | None = None
        self._page: _Page = page._page if page is not None else _Page(endpoint, allow_insecure)
        self._page.show(station, self)
        self.endpoint, self.registry = self._page.endpoint, self._page.registry

    def verdict(self, verdict: Verdict) -> None:
        """Count a published verdict, and add the durations of its part's stages. Its bundle is the one that runs."""
        self._about["bundle"] = verdict.bundle
        self._verdicts[verdict.verdict, verdict.reason] += 1
        if verdict.kind is not None:
            self._kinds[verdict.kind] = self._kinds.get(verdict.kind, 0) + 1
        t = verdict.timing
        self._to_ring.add(t.captured, t.in_ring)
        self._to_inference.add(t.in_ring, t.inference_start)
        self._inference.add(t.inference_start, t.inference_end)
        self._to_publication.add(t.inference_end, t.published)
        self._age.add(t.captured, t.published)

    def beat(self, vitals: Vitals) -> None:
        """Store the values of a heartbeat; called at each heartbeat."""
        self._beat = vitals, time.monotonic_ns()

    def close(self) -> None:
        """Remove the station from the page. After the last station the server ends and frees the port."""
        self._page.leave(self._about["station"])

    def collect(self) -> Iterable[Metric]:
        """The metrics of this station in Prometheus' form; called in the server's thread."""
        about = GaugeMetricFamily(
            "edge_station_info", "Which station, and which bundle it runs.", labels=list(self._about)
        )
        about.add_metric(list(self._about.values()), 1)
        yield about
        yield from self._of_verdicts()
        if self._beat is not None:
            yield from _of_beat(*self._beat)
        if self._records is not None:
            with contextlib.suppress(OSError):  # not in the station's loop: the call may block for ever
                free = shutil.disk_usage(self._records).free
                yield GaugeMetricFamily("edge_records_free_bytes", "Free space where the records are.", value=free)

    def _of_verdicts(self) -> Iterable[Metric]:
        verdicts = CounterMetricFamily(
            "edge_verdicts", "Verdicts published, by kind and reason.", labels=["verdict", "reason"]
        )
        for kind, count in self._verdicts.items():
            verdicts.add_metric(kind, count)
        yield verdicts
        kinds = CounterMetricFamily("edge_kinds", "Rejects by the kind of their defect.", labels=["kind"])
        for name, count in dict(self._kinds).items():
            kinds.add_metric([name], count)
        yield kinds
        stages = HistogramMetricFamily(
            "edge_stage_seconds", "Time of a part in each stage of its way.", labels=["stage"]
        )
        stages.add_metric(["capture_to_ring"], *self._to_ring.buckets())
        stages.add_metric(["ring_to_inference"], *self._to_inference.buckets())
        stages.add_metric(["inference"], *self._inference.buckets())
        stages.add_metric(["inference_to_publication"], *self._to_publication.buckets())
        yield stages
        age = HistogramMetricFamily("edge_verdict_age_seconds", "From capture to publication.")
        age.add_metric([], *self._age.buckets())
        yield age


def _of_beat(v: Vitals, at_ns: int) -> Iterable[Metric]:
    age_s = (time.monotonic_ns() - at_ns) / 1e9
    yield GaugeMetricFamily("edge_heartbeat_age_seconds", "Time since the station's loop last ran.", value=age_s)
    is_ready = v.is_ready and age_s <= LEASE_S
    yield GaugeMetricFamily("edge_ready", "1 while parts that come are judged.", value=is_ready)
    state = GaugeMetricFamily("edge_state", "1 for the state the station is in, 0 for all others.", labels=["state"])
    for one in State:
        state.add_metric([one], one is v.state)
    yield state
    for name, about, value in _GAUGES:
        if (number := value(v)) is not None:
            yield GaugeMetricFamily(name, about, value=number)
    drift = GaugeMetricFamily(
        "edge_drift_level", "Shift of the last hour from the reference, in units of its limit.", labels=["feature"]
    )
    for feature, level in dict(v.drift_levels).items():
        drift.add_metric([feature], level)
    yield drift
    for name, about, total in _COUNTERS:
        yield CounterMetricFamily(name, about, value=total(v))
    for name, about, label, totals in _LABELLED:
        family = CounterMetricFamily(name, about, labels=[label])
        for key, count in dict(totals(v)).items():
            family.add_metric([key], count)
        yield family


# -------------------------------------------------------------------------------------------------------- the page


class _Page(Collector):
    """The page of one station or of several; with several, each sample has a label `station`."""

    def __init__(self, endpoint: str, allow_insecure: bool) -> None:
        self._shown: dict[str, Metrics] = {}
        self._is_several = False
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        routes = {"/metrics": self.page, "/": self.page}
        self._server = HttpServer(endpoint, routes, "metrics", allow_insecure)
        self.endpoint = self._server.endpoint

    def page(self, accept: str) -> Response:
        """The page in the format of the request's Accept header."""
        encode, content_type = choose_encoder(accept)
        return Response(200, content_type, encode(self.registry))

    def show(self, station: str, metrics: Metrics) -> None:
        """Add a station to the page; the first one starts the server."""
        self._shown[station] = metrics
        self._is_several |= len(self._shown) > 1
        if len(self._shown) == 1:
            self.registry.register(self)
            self._server.start()

    def leave(self, station: str) -> None:
        """Remove a station from the page; after the last one the server is closed."""
        self._shown.pop(station, None)
        if not self._shown:
            self._server.close()

    def collect(self) -> Iterable[Metric]:
        """Each metric once, with the samples of all stations; called in the server's thread."""
        if not self._is_several:
            return [family for metrics in list(self._shown.values()) for family in metrics.collect()]
        families: dict[str, Metric] = {}
        for station, metrics in list(self._shown.items()):
            for family in metrics.collect():
                of_all = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                of_all.samples += [s._replace(labels={"station": station} | s.labels) for s in family.samples]
        return families.values()
