"""`python -m benchmarks.archive_scale`: a billion recorded frames judged again on a cluster, simulated with rates that
are measured here.

What a worker and the driver of `edge-backtest` cost per frame and per chunk is measured on this machine, with the
bundle of the demonstration. What an object store and a cluster cost and how they fail are parameters, which the page
names. The simulation takes one chunk after another: when a worker has fetched and judged it, when the driver has
stored it, and which chunks are lost with their node.
"""

import hashlib
import heapq
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.markdown import machine_words, paragraph, table
from benchmarks.script import steps
from edge.backtest import table as parquet
from edge.backtest.items import Item, read_items
from edge.backtest.judging import AHEAD, judge_chunk
from edge.backtest.on_ray import AHEAD as QUEUED
from edge.backtest.plan import CHUNK, Judge, make_plan
from edge.bench import machine
from edge.bundle import load_bundle
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.cli import new_app, run_app
from edge.demo.line import DemoLine
from edge.files import write_whole
from edge.pictures import decode_picture

COMMAND = "python -m benchmarks.archive_scale"
PAGE = Path("docs/reports/archive-scale.md")
FRAMES = 1_000_000_000
BACKEND = "openvino"

app = new_app()


@dataclass(frozen=True)
class Rates:
    """Measured: seconds of a worker for a frame, and for a chunk beside its frames; seconds of the driver for a chunk
    of so many frames; bytes of a stored frame, and bytes of memory that the driver needs for a frame of its list.
    """

    decode_s: float
    infer_s: float
    chunk_s: float
    driver_s: dict[int, float]
    frame_bytes: float
    item_bytes: float


@dataclass(frozen=True)
class Cluster:
    """Assumed: nodes with cores, network of a node, time to the first byte of an object (median and 99th percentile),
    mean time between losses of a node, and prices.
    """

    nodes: int
    cores: int = 32
    gbit_s: float = 10.0
    first_byte_s: float = 0.030
    first_byte_p99_s: float = 0.200
    node_hours: float = 500.0
    core_hour_price: float = 0.04
    per_million_requests: float = 0.40


@dataclass(frozen=True)
class Outcome:
    """Simulated: hours until the last chunk is stored, shares of the workers' time, and chunks that were lost."""

    hours: float
    waiting: float
    decoding: float
    inferring: float
    beside: float
    idle: float
    driver_busy: float
    lost: int


@app.command()
def model(
    frames: Annotated[int, typer.Option(min=CHUNK, help="Frames in the store.")] = FRAMES,
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
) -> None:
    """Measure the rates, simulate, and write the page."""
    about = machine()
    clusters = [(Cluster(nodes), ahead, chunk) for nodes in (2, 8, 32) for ahead, chunk in CASES]
    with steps(1 + len(clusters)) as tick:
        tick("measuring the rates")
        rates = measured()
        found = []
        for cluster, ahead, chunk in clusters:
            tick(f"simulating {cluster.nodes} nodes")
            found.append((cluster, ahead, chunk, simulated(rates, cluster, frames, ahead, chunk)))
    text = _page(about, rates, frames, found)
    write_whole(page, text)
    print(text)


LARGE = 2_000
CASES = ((0, CHUNK), (AHEAD, CHUNK), (AHEAD, LARGE))
"""Frames that a worker fetches ahead, and frames of a chunk; the second case is what `edge-backtest` does."""


def measured(frames: int = 600) -> Rates:
    """The rates of this machine, one core busy."""
    bundle = load_bundle(shipped_bundle(DEMO))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _photographs(folder, frames)
        items = [
            item._replace(sha256=hashlib.sha256((folder / item.path).read_bytes()).hexdigest())
            for item in read_items([folder])
        ]
        judge = Judge(label=bundle.label, folder=str(bundle.folder), digest=bundle.digest, backend=BACKEND, threshold=0)
        plan = make_plan([judge], [folder], items, 1)
        judge_chunk(plan, items[:20])
        begun = time.perf_counter()
        rows = judge_chunk(plan, items)
        whole_s = time.perf_counter() - begun
        infer_s = fmean(row.ms for _, row in rows) / 1e3
        files = [folder / item.path for item in items]
        begun = time.perf_counter()
        for file in files:
            decode_picture(file.read_bytes())
        decode_s = (time.perf_counter() - begun) / frames
        begun = time.perf_counter()
        parquet.packed(rows[:CHUNK])
        chunk_s = time.perf_counter() - begun
        return Rates(
            decode_s=decode_s,
            infer_s=infer_s,
            chunk_s=chunk_s + max(0.0, whole_s - frames * (decode_s + infer_s)) / (frames / CHUNK),
            driver_s={CHUNK: _driver_s(folder, CHUNK, rows), LARGE: _driver_s(folder, LARGE, rows)},
            frame_bytes=fmean(file.stat().st_size for file in files),
            item_bytes=_item_bytes(TYPICAL),
        )


def _photographs(folder: Path, frames: int) -> None:
    """Frames of the demonstration's line at 1280×720, as a station stores them."""
    line = DemoLine(seed=0)
    for label in ("good", "bad"):
        (folder / label).mkdir(parents=True)
    pictures = [line.render(number) for number in range(40)]
    for number in range(frames):
        cv2.imwrite(str(folder / "good" / f"{number:06}.png"), pictures[number % len(pictures)].frame)
    cv2.imwrite(str(folder / "bad" / f"{frames:06}.png"), pictures[0].frame)  # the layout needs one


def _driver_s(folder: Path, frames: int, rows: list[Any]) -> float:
    """What the driver does for a chunk: it sends the list of its frames, and stores its rows."""
    out = folder / f"out-{frames}"
    (out / parquet.CHUNKS).mkdir(parents=True)
    content = parquet.packed([rows[number % len(rows)] for number in range(frames)])
    items = [TYPICAL._replace(seq=number, part=str(number)) for number in range(frames)]
    took = []
    for number in range(100):
        begun = time.perf_counter()
        pickle.dumps(items)
        parquet.store(out, number, content)
        took.append(time.perf_counter() - begun)
    return median(took)


TYPICAL = Item(
    "/archive/line1", "images/2026-11-30/00/0123456789abcdef-0000000001.png", "0" * 64, "line1", "0123456789abcdef", 1,
    "0000000001", "2026-11-30T00:00:00.000+00:00", "good", 0.25, "demo@625bdba1cd25", "",
)  # fmt: skip
"""A recorded frame."""


def _item_bytes(item: Item) -> float:
    """Memory of a frame in the list; texts that are the same for many frames are counted, too, as JSON reads them."""
    return sys.getsizeof(item) + sum(sys.getsizeof(value) for value in item)


def simulated(rates: Rates, cluster: Cluster, frames: int, ahead: int, chunk: int, seed: int = 0) -> Outcome:
    """Workers on all cores take chunks, and the driver stores each when its worker is done with it.

    A worker that fetches ahead waits for the first frame of a chunk, and for the others only as far as the store's
    latency, over `ahead` requests at a time, or its share of the node's network is slower than its own work.
    """
    rng = np.random.default_rng(seed)
    workers, chunks = cluster.nodes * cluster.cores, -(-frames // chunk)
    sigma = np.log(cluster.first_byte_p99_s / cluster.first_byte_s) / 2.326
    latency_s = cluster.first_byte_s * np.exp(sigma**2 / 2)
    spread_s = latency_s * np.sqrt(np.exp(sigma**2) - 1)
    transfer_s = rates.frame_bytes * 8 * cluster.cores / (cluster.gbit_s * 1e9)  # all workers of a node fetch at once
    compute_s = chunk * (rates.decode_s + rates.infer_s) + rates.chunk_s * chunk / CHUNK
    driver_s = rates.driver_s[chunk]
    ends = [0.0] * workers
    driver_free_s, waiting_s, lost = 0.0, 0.0, 0
    next_loss_s = float(rng.exponential(cluster.node_hours * 3600 / cluster.nodes))
    left = chunks
    waits: Iterator[float] = iter(())
    while left > 0:
        begin_s = heapq.heappop(ends)
        if begin_s > 0:
            driver_free_s = max(driver_free_s, begin_s) + driver_s
            begin_s = max(begin_s, driver_free_s - QUEUED * workers * driver_s)
        while begin_s > next_loss_s:  # the node's chunks are done again, by all
            lost += cluster.cores
            left += cluster.cores
            next_loss_s += float(rng.exponential(cluster.node_hours * 3600 / cluster.nodes))
        if (wait_s := next(waits, None)) is None:
            latencies = np.maximum(rng.normal(latency_s * chunk, spread_s * np.sqrt(chunk), 50_000), 0)
            waits = iter(_waits(latencies, latency_s, transfer_s * chunk, compute_s, ahead, chunk).tolist())
            wait_s = next(waits)
        heapq.heappush(ends, begin_s + wait_s + compute_s)
        waiting_s += wait_s
        left -= 1
    last_s = max(*ends, driver_free_s)
    done, total_s = chunks + lost, workers * last_s
    spent = (
        waiting_s,
        done * chunk * rates.decode_s,
        done * chunk * rates.infer_s,
        done * rates.chunk_s * chunk / CHUNK,
    )
    waiting, decoding, inferring, beside = (float(one / total_s) for one in spent)
    idle = max(0.0, 1 - waiting - decoding - inferring - beside)
    return Outcome(last_s / 3600, waiting, decoding, inferring, beside, idle, done * driver_s / last_s, lost)


def _waits(
    latencies: np.ndarray[Any, np.dtype[np.float64]],
    latency_s: float,
    transfer_s: float,
    compute_s: float,
    ahead: int,
    chunk: int,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """How long workers wait in a chunk whose requests take `latencies` in all, and whose content `transfer_s`."""
    if ahead == 0:
        return latencies + transfer_s
    first_s = latency_s + transfer_s / chunk
    return np.maximum(first_s, np.maximum(latencies / ahead, transfer_s) - compute_s)


def _page(about: dict[str, Any], rates: Rates, frames: int, found: list[Any]) -> str:
    cluster = found[0][0]
    rows = []
    for one, ahead, chunk, outcome in found:
        cores = one.nodes * one.cores
        price = cores * outcome.hours * one.core_hour_price + frames / 1e6 * one.per_million_requests
        shares = (outcome.waiting, outcome.decoding, outcome.inferring, outcome.beside, outcome.idle)
        rows.append(
            (f"{cores}", f"{ahead}", f"{chunk}", f"{outcome.hours:.1f}", f"{cores * outcome.hours:,.0f}",
             *(f"{100 * share:.0f} %" for share in shares), f"{100 * outcome.driver_busy:.0f} %", f"{outcome.lost}",
             f"{price:,.0f}")
        )  # fmt: skip
    floor = frames * (rates.decode_s + rates.infer_s) / 3600
    head = ("cores", "ahead", "chunk", "hours", "core-hours", "waiting", "decoding", "inference", "beside", "idle",
            "driver busy", "chunks lost", "price")  # fmt: skip
    measured_here = [
        ("decoding a stored frame (PNG)", f"{rates.decode_s * 1e3:.2f} ms"),
        ("inference, one thread", f"{rates.infer_s * 1e3:.2f} ms"),
        (f"a worker, for a chunk of {CHUNK} beside its frames", f"{rates.chunk_s * 1e3:.0f} ms"),
        *(
            (f"the driver, for a chunk of {chunk}: its list sent, its rows stored", f"{took_s * 1e3:.1f} ms")
            for chunk, took_s in rates.driver_s.items()
        ),
        ("a stored frame", f"{rates.frame_bytes / 1e3:.0f} kB"),
        ("the driver's memory for a frame of its list", f"{rates.item_bytes:.0f} bytes"),
    ]
    parts = [
        "# A billion frames judged again\n",
        _prose(f"""Written by `{COMMAND}`; no figure on this page was typed by a person. **This is a simulation, not a
            measurement of a cluster**: rates of this machine are measured, with one core busy; the object store, the
            nodes and the prices are assumed, and named below."""),
        machine_words(about) + ".\n",
        table(("measured here, the demonstration's network, frames of 1280×720", ""), measured_here),
        _prose(f"""Assumed: nodes of {cluster.cores} cores with {cluster.gbit_s:g} Gbit/s; first byte of an object after
            {cluster.first_byte_s * 1e3:.0f} ms (median) and {cluster.first_byte_p99_s * 1e3:.0f} ms (99th percentile);
            a node is lost every {cluster.node_hours:.0f} hours on average, another one takes its place at once, and
            the chunks of its workers are judged again; Ray's own messages cost the driver nothing;
            {cluster.core_hour_price:g} a core-hour and {cluster.per_million_requests:g} a million requests, in any
            currency."""),
        f"{frames:,} frames. Decoding and inference alone: {floor:,.0f} core-hours.\n",
        table(head, rows, words=0),
        _prose(f"""`ahead` is how many frames a worker fetches before it needs them, `chunk` the frames of a task. With
            {AHEAD} and {CHUNK} it is what `edge-backtest --ray` does. Shares are of the workers' time: waiting for the
            store, decoding, inference, what a chunk costs beside its frames, and idle: waiting for the driver, or
            without more work."""),
        _prose(f"""The driver keeps the list of all frames in memory: {frames * rates.item_bytes / 1e9:,.0f} GB for all
            of them, which is too much for one. Cut an archive of this size by records: a run of `edge-backtest` for
            each line and month, each of at most {64e9 / rates.item_bytes / 1e6:.0f} million frames on a driver with
            64 GB."""),
    ]  # fmt: skip
    return "\n".join(parts)


def _prose(text: str) -> str:
    return paragraph(" ".join(text.split()))


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
