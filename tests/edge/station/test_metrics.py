"""The metrics page: its content, access to it, and independence of the station from slow readers."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from support.line import ROOT

from edge.channel.control_messages import Fate
from edge.errors import ChannelError
from edge.http.server import MOST_CONNECTIONS
from edge.station.metrics import Metrics, Vitals
from edge.verdict import Outcome, Reason, State, Timing, Verdict


def a_verdict(outcome: Outcome, reason: Reason, captured: int | None = None) -> Verdict:
    """A verdict of a part captured at 0, in the ring after 1 ms, inferred from 3 to 13 ms, published after 20 ms."""
    is_unknown = outcome is Outcome.UNKNOWN
    return Verdict(
        station="line1", epoch="ab", simulated=False, seq=1, part="a", verdict=outcome, reason=reason,
        score=None if is_unknown else 0.9 if outcome is Outcome.REJECT else 0.1, threshold=0.5,
        age_ms=20, budget_ms=100, source="demo", bundle="b", time="now",
        timing=Timing(
            captured=0, in_ring=1_000_000, published=20_000_000,
            inference_start=None if is_unknown else 3_000_000, inference_end=None if is_unknown else 13_000_000,
        ),
    )  # fmt: skip


FULL = Vitals(
    State.EXECUTING, is_ready=True, subscribers=2, in_flight=3, pending=4, dropped=5, late_results=6, alarms=1, boot=7,
    camera_age_ms=40, loop_age_ms=50, journal_backlog=8, durable_lag=9, images_kept=10, images_skipped=11,
    unlike_share=0.5, drift_levels={"red": -1.5}, drift_learned=0.25,
    malformed_requests=13, restarts={"edge-capture": 14, "edge-inference": 0},
    requests={"ping": 15}, codes={"read": 17}, acknowledgements={Fate.PASSED: 16},
)  # fmt: skip


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    served = Metrics("0", "line1", "demo:0123", ROOT)
    yield served
    served.close()


def scrape(metrics: Metrics, path: str = "/metrics") -> dict[str, float]:
    """The values on the page, by sample."""
    with urllib.request.urlopen(f"http://{metrics.endpoint}{path}", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_verdicts_are_counted_by_kind_and_reason_and_those_that_never_came_are_0(metrics: Metrics) -> None:
    for _ in range(3):
        metrics.verdict(a_verdict(Outcome.GOOD, Reason.CLEAR))
    metrics.verdict(a_verdict(Outcome.UNKNOWN, Reason.LATE))
    page = scrape(metrics)
    counts = {name: value for name, value in page.items() if name.startswith("edge_verdicts_total")}
    assert len(counts) == len(Reason)
    assert counts['edge_verdicts_total{reason="clear",verdict="good"}'] == 3
    assert counts['edge_verdicts_total{reason="late",verdict="unknown"}'] == 1
    assert sum(counts.values()) == 4


def test_rejects_are_counted_by_the_kind_of_their_defect(metrics: Metrics) -> None:
    assert not [name for name in scrape(metrics) if name.startswith("edge_kinds_total")]
    reject = a_verdict(Outcome.REJECT, Reason.DEFECT).model_dump()
    for kind in ("crack", "oil stain", "crack"):
        metrics.verdict(Verdict(**reject | {"kind": kind, "kind_number": 1, "kind_probability": 0.9}))
    metrics.verdict(Verdict(**reject))
    page = scrape(metrics)
    assert page['edge_kinds_total{kind="crack"}'] == 2
    assert page['edge_kinds_total{kind="oil stain"}'] == 1


def test_the_free_space_of_the_record_is_on_the_page(metrics: Metrics) -> None:
    assert scrape(metrics)["edge_records_free_bytes"] > 0


def test_each_stage_is_a_histogram_of_the_parts_that_reached_it(metrics: Metrics) -> None:
    metrics.verdict(a_verdict(Outcome.GOOD, Reason.CLEAR))
    metrics.verdict(a_verdict(Outcome.UNKNOWN, Reason.LATE))
    page = scrape(metrics)
    stages = {"capture_to_ring": (2, 0.002), "ring_to_inference": (1, 0.002), "inference": (1, 0.01),
              "inference_to_publication": (1, 0.007)}  # fmt: skip
    for stage, (count, total_s) in stages.items():
        assert page[f'edge_stage_seconds_count{{stage="{stage}"}}'] == count
        assert page[f'edge_stage_seconds_sum{{stage="{stage}"}}'] == pytest.approx(total_s)
    assert page['edge_stage_seconds_bucket{le="0.005",stage="inference"}'] == 0
    assert page['edge_stage_seconds_bucket{le="0.01",stage="inference"}'] == 1
    assert page['edge_stage_seconds_bucket{le="+Inf",stage="inference"}'] == 1
    assert page["edge_verdict_age_seconds_count"] == 2


def test_a_moment_before_its_predecessor_is_no_duration(metrics: Metrics) -> None:
    verdict = a_verdict(Outcome.UNKNOWN, Reason.CORRUPT)
    metrics.verdict(verdict.model_copy(update={"timing": verdict.timing.model_copy(update={"captured": 2_000_000})}))
    assert scrape(metrics)['edge_stage_seconds_count{stage="capture_to_ring"}'] == 0


def test_a_beat_is_shown_whole(metrics: Metrics) -> None:
    metrics.beat(FULL)
    page = scrape(metrics)
    assert page["edge_ready"] == 1
    states = {name: value for name, value in page.items() if name.startswith("edge_state{")}
    assert [name for name, value in states.items() if value] == ['edge_state{state="executing"}']
    assert len(states) == len(State)
    shown = {
        "edge_boot": 7, "edge_subscribers": 2, "edge_parts_in_flight": 3, "edge_frames_pending": 4,
        "edge_frames_dropped_total": 5, "edge_late_results_total": 6, "edge_alarms": 1, "edge_simulated": 0,
        "edge_camera_age_seconds": 0.04, "edge_loop_age_seconds": 0.05, "edge_journal_backlog": 8,
        "edge_durable_lag": 9, "edge_images_kept_total": 10, "edge_images_skipped_total": 11,
        "edge_control_malformed_total": 13, "edge_unlike_share": 0.5,
        'edge_drift_level{feature="red"}': -1.5, "edge_drift_learned": 0.25,
        'edge_restarts_total{child="edge-capture"}': 14, 'edge_control_requests_total{type="ping"}': 15,
        'edge_acknowledgements_total{fate="passed"}': 16, 'edge_acknowledgements_total{fate="missed"}': 0,
        'edge_codes_total{outcome="read"}': 17, 'edge_station_info{bundle="demo:0123",station="line1"}': 1,
    }  # fmt: skip
    assert {name: page[name] for name in shown} == shown


def test_what_there_is_not_is_not_0(metrics: Metrics) -> None:
    metrics.beat(Vitals(State.READY, is_ready=True))
    page = scrape(metrics)
    assert not {"edge_durable_lag", "edge_journal_backlog", "edge_unlike_share", "edge_drift_learned"} & page.keys()
    assert not [name for name in page if name.startswith("edge_drift_level")]
    assert not [name for name in page if name.startswith("edge_codes")]


def test_a_station_that_hangs_is_not_shown_as_ready(metrics: Metrics) -> None:
    metrics.beat(FULL)
    time.sleep(0.4)
    page = scrape(metrics)
    assert page["edge_heartbeat_age_seconds"] > 0.3
    assert page["edge_ready"] == 0


def test_the_table_in_the_docs_and_the_page_agree(metrics: Metrics) -> None:
    metrics.beat(FULL)
    kind = {"kind": "crack", "kind_number": 1, "kind_probability": 0.9}
    metrics.verdict(Verdict(**a_verdict(Outcome.REJECT, Reason.DEFECT).model_dump() | kind))
    served = set()
    for family in metrics.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{name}`" for name in family.samples[0].labels if name != "le")
        served.add((name, family.type, labels, family.documentation))
    page = (ROOT / "docs" / "guide" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(edge_\w+)` \| (\w+) \| (.*?) *\| (.*?) \|$", page, re.M)
    assert set(rows) == served


@pytest.mark.parametrize("request_bytes", [b"", b"GET /metr", b"\0" * 100], ids=["silent", "half", "binary"])
def test_a_reader_that_hangs_is_cut_off_and_the_next_one_served(metrics: Metrics, request_bytes: bytes) -> None:
    host, _, port = metrics.endpoint.rpartition(":")
    with socket.create_connection((host, int(port))) as hanging:
        hanging.sendall(request_bytes)
        assert "edge_verdict_age_seconds_count" in scrape(metrics)
        hanging.settimeout(10)
        assert hanging.recv(1) == b"", "cut off"


def test_a_reader_that_sends_a_byte_now_and_then_is_cut_off_too(metrics: Metrics) -> None:
    host, _, port = metrics.endpoint.rpartition(":")
    with socket.create_connection((host, int(port))) as dripping:

        def drip() -> None:
            with contextlib.suppress(OSError):
                for byte in b"GET /" + b"x" * 1000:
                    time.sleep(0.1)
                    dripping.send(bytes([byte]))

        thread = threading.Thread(target=drip)
        thread.start()
        assert "edge_verdict_age_seconds_count" in scrape(metrics)
        thread.join(20)
        assert not thread.is_alive()


@contextlib.contextmanager
def slow_peers(metrics: Metrics, count: int) -> Iterator[None]:
    """Keep `count` connections open, of which every second one sends a byte per second and the others send nothing."""
    host, _, port = metrics.endpoint.rpartition(":")
    is_over = threading.Event()

    def peer(drips: bool) -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 5) as one:
                one.settimeout(1)
                while not is_over.is_set():
                    if drips:
                        one.sendall(b"G")
                    with contextlib.suppress(TimeoutError):
                        if not one.recv(1):
                            break

    peers = [threading.Thread(target=peer, args=(number % 2 == 0,)) for number in range(count)]
    for one in peers:
        one.start()
    try:
        yield
    finally:
        is_over.set()
        for one in peers:
            one.join(10)


def test_a_scrape_is_answered_at_once_while_forty_peers_send_a_byte_a_second_or_nothing(metrics: Metrics) -> None:
    with slow_peers(metrics, 40):
        for _ in range(6):
            time.sleep(0.4)
            begun = time.monotonic()
            assert "edge_verdict_age_seconds_count" in scrape(metrics)
            assert time.monotonic() - begun < 1.0


def test_however_many_hang_they_take_one_thread_and_a_bounded_number_of_files(metrics: Metrics) -> None:
    host, _, port = metrics.endpoint.rpartition(":")
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    hanging = [socket.create_connection((host, int(port)), 5) for _ in range(3 * MOST_CONNECTIONS)]
    begun = time.monotonic()
    assert "edge_verdict_age_seconds_count" in scrape(metrics)
    assert time.monotonic() - begun < 1.0
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) - len(hanging) - files <= MOST_CONNECTIONS + 1
    for one in hanging:
        one.close()


def test_the_end_of_a_station_says_nothing_of_the_peers_that_hang() -> None:
    program = (
        "import socket; from edge.station.metrics import Metrics\n"
        "page = Metrics('0', 'line1', 'b'); host, _, port = page.endpoint.rpartition(':')\n"
        "peers = [socket.create_connection((host, int(port))) for _ in range(5)]\n"
        "import time; time.sleep(0.2); page.close(); print(page.endpoint)"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-W", "ignore", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_flood_of_scrapes_is_held_to_twenty_a_second(metrics: Metrics) -> None:
    begun, done = time.monotonic(), []

    def flood() -> None:
        for _ in range(5):
            scrape(metrics)
            done.append(1)

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 20
    assert time.monotonic() - begun >= 19 * 0.05


def test_the_port_is_free_again_after_close() -> None:
    first = Metrics("0", "line1", "b")
    first.close()
    Metrics(first.endpoint, "line1", "b").close()


def test_a_port_in_use_is_said_in_one_line(metrics: Metrics) -> None:
    with pytest.raises(ChannelError, match=f"^cannot serve metrics at {metrics.endpoint}: .*; choose another port$"):
        Metrics(metrics.endpoint, "line2", "b")


@pytest.mark.parametrize("endpoint", ["0.0.0.0:0", "[::]:0"])
def test_the_network_reads_metrics_only_if_that_is_meant(endpoint: str) -> None:
    with pytest.raises(ChannelError, match="--insecure"):
        Metrics(endpoint, "line1", "b")


def test_off_loopback_is_served_if_that_is_meant() -> None:
    Metrics("0.0.0.0:0", "line1", "b", allow_insecure=True).close()


@pytest.mark.parametrize("endpoint", ["", "here", "127.0.0.1:", "127.0.0.1:70000", "tcp://127.0.0.1:9109", "a b:1"])
def test_what_is_no_endpoint_is_said_in_one_line(endpoint: str) -> None:
    with pytest.raises(ChannelError, match=r"one looks like 127\.0\.0\.1:9109 or 9109$"):
        Metrics(endpoint, "line1", "b")


@pytest.mark.skipif(sys.platform != "linux", reason="IPv6 loopback is looked for in /proc")
def test_loopback_of_ipv6_is_loopback() -> None:
    with open("/proc/net/if_inet6") as file:
        if not file.read():
            pytest.skip("no IPv6 here")
    served = Metrics("[::1]:0", "line1", "b")
    assert "edge_verdict_age_seconds_count" in scrape(served)
    served.close()
