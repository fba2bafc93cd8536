"""`python -m benchmarks.changeovers`: changeovers between ten products on a line that runs at its pace.

The station and the reference gate run in their own processes, with records. At a random moment of each pause between
two parts this program asks for another product, and waits for the first verdict of that product. Afterwards it checks
each verdict: a part that was exposed before a request or after its answer has one product that it may be judged as.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left, bisect_right
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import zmq

from benchmarks.markdown import goal, goals, machine_words, paragraph, table
from benchmarks.script import steps
from benchmarks.soak.gate import LOG, STATION
from edge.bench import machine
from edge.bundle import load_bundle, seal
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.channel.control_messages import (
    AskSnapshot,
    ProductSelected,
    Reply,
    Request,
    SelectProduct,
    Snapshot,
    parse_reply,
)
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.channel.subscriber import Subscriber
from edge.cli import new_app, run_app
from edge.errors import EdgeError
from edge.files import write_whole
from edge.records.audit import audit
from edge.station.process.runner import EdgeRun
from edge.verdict import Verdict

COMMAND = "python -m benchmarks.changeovers"
PAGE = Path("docs/reports/changeovers.md")
SIZE = "640x360"
LATEST_MS = 20.0
"""Goal: how long after one part's time the first verdict of the new product may come."""

SILENCE_S = 30.0

app = new_app()


@dataclass(frozen=True)
class Changeover:
    """A request and its answer, in nanoseconds of the monotonic clock, and when the first verdict was published."""

    product: str
    asked_ns: int
    answered_ns: int
    verdict_ns: int

    @property
    def first_ms(self) -> float:
        """From the request to the first verdict of the new product."""
        return (self.verdict_ns - self.asked_ns) / 1e6

    @property
    def answer_ms(self) -> float:
        """From the request to its answer."""
        return (self.answered_ns - self.asked_ns) / 1e6


class Listener(threading.Thread):
    """Collects all verdicts of the station."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(daemon=True)
        self.verdicts: list[Verdict] = []
        self.changed = threading.Condition()
        self._subscriber = Subscriber(endpoint, STATION)
        self._is_over = False

    def run(self) -> None:
        """Receive until `close`."""
        while not self._is_over:
            for received in self._subscriber.messages(silence_s=0.2):
                if isinstance(received.message, Verdict):
                    with self.changed:
                        self.verdicts.append(received.message)
                        self.changed.notify()
                if self._is_over:
                    return

    def first_of(self, product: str, after_ns: int) -> Verdict:
        """The first verdict of this product that was published after a moment. Raises EdgeError without one."""

        def found() -> Verdict | None:
            recent = reversed(self.verdicts)
            some = [one for one in _until(recent, after_ns) if one.product == product]
            return some[-1] if some else None

        with self.changed:
            if not self.changed.wait_for(lambda: found() is not None, SILENCE_S):
                raise EdgeError(f"no verdict of product {product} for {SILENCE_S:.0f} s")
            one = found()
        assert one is not None
        return one

    def close(self) -> None:
        """End the thread."""
        self._is_over = True
        self.join()


def _until(newest_first: Any, after_ns: int) -> Any:
    for one in newest_first:
        if one.timing.published <= after_ns:
            return
        yield one


@app.command()
def measure(
    count: Annotated[int, typer.Option(min=2, help="Changeovers.")] = 1000,
    products: Annotated[int, typer.Option(min=2, max=50, help="Products of the line.")] = 10,
    rate: Annotated[int, typer.Option(min=1, help="Parts a minute.")] = 600,
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
) -> None:
    """Measure changeovers and write the page."""
    about = machine()
    with tempfile.TemporaryDirectory(prefix="edge-changeovers-") as name, steps(count) as tick:
        folder = Path(name)
        found = _run(folder, count, products, rate, tick)
        sound = audit(folder / "records", gate_log=folder / LOG)
    text = _page(found, about, products, rate, [problem.text for problem in sound.problems])
    write_whole(page, text)
    print(text)


def _run(folder: Path, count: int, products: int, rate: int, tick: Any) -> dict[str, Any]:
    bundles = [_bundle(folder, f"part-{number}") for number in range(1, products + 1)]
    names = [bundle.stem for bundle in bundles]
    flags = [f"--products={bundle.stem}={bundle},number={number}" for number, bundle in enumerate(bundles, 1)]
    options: dict[str, Any] = {"source": "demo", "size": SIZE, "rate": f"{rate}/min", "station": STATION}
    options |= {"records": folder / "records", "require": "gate1", "keep_goods": 0, "threads": 1}
    with ExitStack() as stack:
        station = EdgeRun(*flags, log=folder / "station.log", **options)
        stack.callback(station.stop)
        command = [sys.executable, "-m", "benchmarks.soak.gate", station.endpoint, str(folder)]
        gate = subprocess.Popen(command)
        stack.callback(gate.wait, 60)
        stack.callback(station.stop)  # first: the gate ends with the station
        listener = Listener(station.endpoint)
        listener.start()
        stack.callback(listener.close)
        control = stack.enter_context(zmq.Context().socket(zmq.DEALER))
        control.set(zmq.LINGER, 0)
        control.connect(neighbour_endpoint(station.endpoint, CONTROL))
        tick("loading the bundles")
        began = time.monotonic()
        while not _is_ready(control):
            time.sleep(0.2)
            if time.monotonic() - began > 120:
                raise EdgeError(f"the station is not ready: {station.last_words()}")
        ready_s = time.monotonic() - began
        memory = sum(_memory(pid) for pid, name in station.pids().items() if name == "edge-inference")
        rng, current, done = random.Random(0), names[0], []
        listener.first_of(current, 0)
        for _ in range(count):
            tick("changing over")
            time.sleep(rng.random() * 60 / rate)
            wanted = rng.choice([name for name in names if name != current])
            done.append(_change(control, listener, wanted))
            current = wanted
        time.sleep(1)
    verdicts = listener.verdicts
    return {
        "changeovers": done,
        "verdicts": verdicts,
        "wrong": _wrong(verdicts, done, names[0], {bundle.stem: load_bundle(bundle).label for bundle in bundles}),
        "ready_s": ready_s,
        "memory": memory / products,
        "gate": json.loads((folder / "gate.json").read_text()),
    }


def _bundle(folder: Path, name: str) -> Path:
    """The demonstration's bundle under another name."""
    shutil.copytree(shipped_bundle(DEMO), folder / f"{name}.edge")
    manifest = load_bundle(shipped_bundle(DEMO)).manifest
    seal(folder / f"{name}.edge", manifest.model_copy(update={"name": name}))
    return folder / f"{name}.edge"


def _asked(control: Any, request: Request) -> Reply:
    control.send(request.model_dump_json(exclude_none=True).encode())
    if not control.poll(5_000):
        raise EdgeError("the station does not answer")
    return parse_reply(control.recv())


def _is_ready(control: Any) -> bool:
    try:
        reply = _asked(control, AskSnapshot())
    except EdgeError:
        return False
    return isinstance(reply, Snapshot) and reply.heartbeat.ready


def _change(control: Any, listener: Listener, wanted: str) -> Changeover:
    while True:
        asked_ns = time.monotonic_ns()
        reply = _asked(control, SelectProduct(product=wanted, by="benchmark"))
        answered_ns = time.monotonic_ns()
        if isinstance(reply, ProductSelected):
            break
        time.sleep(0.1)  # the pace of changeovers
    first = listener.first_of(wanted, asked_ns)
    return Changeover(wanted, asked_ns, answered_ns, first.timing.published)


def _wrong(verdicts: list[Verdict], done: list[Changeover], first: str, labels: dict[str, str]) -> int:
    """Number of verdicts whose product cannot have been current when their part was exposed, or whose bundle is not
    that of their product.
    """
    asked, answered = [one.asked_ns for one in done], [one.answered_ns for one in done]
    current = [first, *(one.product for one in done)]
    wrong = 0
    for one in verdicts:
        earliest = bisect_right(answered, one.timing.captured)
        latest = bisect_left(asked, one.timing.captured)
        may_be = current[earliest : latest + 1]
        wrong += one.product not in may_be or one.bundle != labels[str(one.product)]
    return wrong


def _memory(pid: int) -> int:
    """Bytes of a process that it shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


def _page(found: dict[str, Any], about: dict[str, Any], products: int, rate: int, problems: list[str]) -> str:
    done, verdicts = found["changeovers"], found["verdicts"]
    firsts, answers = sorted(one.first_ms for one in done), sorted(one.answer_ms for one in done)
    ages = sorted(one.age_ms for one in verdicts if one.score is not None)
    seqs = [one.seq for one in verdicts]
    lost = seqs[-1] - seqs[0] + 1 - len(set(seqs))
    pause_ms = 60_000 / rate
    unknown = sum(one.score is None for one in verdicts)
    rows = [
        goal("verdicts with a product that was not current at the exposure", found["wrong"], 0, "", digits=0),
        goal("verdicts lost", lost, 0, "", digits=0),
        goal("verdicts given twice", len(seqs) - len(set(seqs)), 0, "", digits=0),
        goal("problems that the audit finds, escapes among them", len(problems), 0, "", digits=0),
        goal("from request to first verdict, p99", _percentile(firsts, 0.99), pause_ms + LATEST_MS, " ms", digits=1),
    ]
    times = [
        ("request to answer", answers),
        ("request to first verdict of the new product", firsts),
        ("age of a verdict", ages),
    ]
    parts = [
        "# Changeovers\n",
        paragraph(
            f"Written by `{COMMAND}`; no figure on this page was typed by a person. The station has {products} "
            "products, each with a bundle and a process of its own, all with the network of the demonstration; frames "
            f"of {SIZE} come at {rate} a minute. The reference gate and this program listen. At a random moment this "
            "program asks for another product, waits for the first verdict of it, and so on. A part comes every "
            f"{pause_ms:.0f} ms, so that the first one after a request comes up to that much later."
        ),
        machine_words(about) + ".\n",
        goals(rows),
        *(f"- {problem}\n" for problem in problems[:10]),
        table(
            ("of " + str(len(done)) + " changeovers, ms", "p50", "p95", "p99", "longest"),
            [
                (name, *(f"{_percentile(some, q):.1f}" for q in (0.5, 0.95, 0.99)), f"{some[-1]:.1f}")
                for name, some in times
            ],
        ),
        paragraph(
            f"{len(verdicts)} verdicts, {unknown} of them unknown. The station was ready {found['ready_s']:.1f} s "
            f"after this program had connected, with all {products} bundles loaded and tested; each takes "
            f"{found['memory'] / 2**20:.0f} MiB of memory of its own (median age {median(ages):.1f} ms)."
        ),
    ]
    return "\n".join(parts)


def _percentile(ascending: list[float], quantile: float) -> float:
    return ascending[min(len(ascending) - 1, int(quantile * len(ascending)))]


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
