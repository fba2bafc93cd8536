"""`python -m benchmarks.rollout`: what a candidate costs the line, and how fast an archive is judged again.

A station runs at its pace, in turns with a candidate that judges every part in the shadow and without one; all images
are kept. `edge-backtest` then judges the images with the candidate's bundle, and its scores are compared with those of
the shadow. Bare loops of the runtime, one process on each core, judge the same images in turns with `edge-backtest`.
"""

import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.markdown import goal, goals, machine_words, paragraph, table
from benchmarks.script import steps
from benchmarks.station import Listener, Station
from edge.backends import load_from
from edge.backtest.items import Item, read_items
from edge.backtest.table import TABLE, read_rows
from edge.bench import machine
from edge.bench.statistics import percentile
from edge.bundle import Bundle, load_bundle, seal
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.channel.control_messages import AskCandidate, CandidateState, LoadBundle, Request, Stage, Unload, parse_reply
from edge.channel.endpoints import CONTROL, neighbour_endpoint
from edge.cli import new_app, run_app
from edge.errors import EdgeError
from edge.files import write_whole
from edge.machine import cores
from edge.pictures import decode_picture
from edge.records.journal import open_to_read
from edge.records.stored_verdicts import shadow_results_of
from edge.verdict import Verdict

COMMAND = "python -m benchmarks.rollout"
PAGE = Path("docs/reports/rollout.md")
SIZE = "640x360"
CANDIDATE = "candidate"
BACKEND = "openvino"
"""The artifact that all run: `auto` may choose another one in each process, and theirs differ in the last bits."""

PATIENCE_S = 120.0

app = new_app()

MOST_BARE = 4_000
"""Frames of the bare loops; edge-backtest judges all."""

BARE_S = 3_600
"""For a bare loop, also on a busy machine."""


@dataclass(frozen=True)
class Block:
    """The ages (ms) of the verdicts of a stretch of time, and the candidate's state at its end, if there was one."""

    ages: list[float]
    candidate: CandidateState | None


@app.command()
def measure(
    parts: Annotated[int, typer.Option(min=100, help="Parts that the candidate judges.")] = 10_000,
    blocks: Annotated[int, typer.Option(min=2, help="Blocks with the candidate, and as many without.")] = 10,
    rate: Annotated[int, typer.Option(min=1, help="Parts a second.")] = 40,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of edge-backtest and the bare loops.")] = 3,
    page: Annotated[Path, typer.Option(help="The page to write.")] = PAGE,
) -> None:
    """Measure and write the page."""
    about = machine()
    with tempfile.TemporaryDirectory(prefix="edge-rollout-") as name, steps(2 * blocks + 3 * rounds) as tick:
        folder = Path(name)
        (folder / "candidates").mkdir()
        bundle = _candidate(folder / "candidates" / f"{CANDIDATE}.edge")
        with_it, without = _line(folder, parts, blocks, rate, tick)
        items = read_items([folder / "records"])
        tables: list[Path] = []
        backtest: list[float] = []
        decoding: list[float] = []
        bare: list[float] = []
        for number in range(rounds):
            tick("edge-backtest")
            rate_of_it, rows = _backtest(folder, bundle, number)
            backtest.append(rate_of_it)
            tables.append(rows)
            for what, found in (("reading, decoding and inference", decoding), ("inference", bare)):
                tick(f"bare loop: {what}")
                found.append(_bare(bundle, items[:MOST_BARE], found is decoding))
        same = _compare(folder, tables[0])
        text = _page(about, parts, rate, with_it, without, same, len(items), backtest, decoding, bare)
    write_whole(page, text)
    print(text)


def _candidate(folder: Path) -> Bundle:
    """The demonstration's network with a threshold that rejects more."""
    shutil.copytree(shipped_bundle(DEMO), folder)
    manifest = load_bundle(shipped_bundle(DEMO)).manifest
    artifacts = {
        name: one.model_copy(
            update={"threshold": one.threshold.model_copy(update={"value": one.threshold.value * 0.3})}
        )
        for name, one in manifest.artifacts.items()
    }
    seal(folder, manifest.model_copy(update={"name": CANDIDATE, "artifacts": artifacts}))
    return load_bundle(folder)


def _line(folder: Path, parts: int, blocks: int, rate: int, tick: Any) -> tuple[list[Block], list[Block]]:
    """The blocks with a candidate and those without one, in turns on one line."""
    import zmq

    options: dict[str, Any] = {"source": "demo", "size": SIZE, "rate": f"{rate}/s", "threads": 1, "keep_goods": 1}
    options |= {"backend": BACKEND, "records": folder / "records", "candidates": folder / "candidates", "keep_gib": 20}
    with_it: list[Block] = []
    without: list[Block] = []
    with ExitStack() as stack:
        station = stack.enter_context(Station(log=folder / "station.log", **options))
        listener = stack.enter_context(Listener(station.endpoint, station.name))
        control = stack.enter_context(closing(zmq.Context().socket(zmq.DEALER)))
        control.set(zmq.LINGER, 0)
        control.connect(neighbour_endpoint(station.endpoint, CONTROL))
        listener.until(lambda: listener.verdicts or None)
        for _ in range(blocks):
            tick("without a candidate")
            if with_it:
                _ask(control, Unload(by="benchmark"))
            without.append(Block(_ages(listener, parts // blocks), None))
            tick("with a candidate")
            _load(control)
            ages = _ages(listener, parts // blocks)
            with_it.append(Block(ages, _ask(control, AskCandidate())))
        time.sleep(1)
    return with_it, without


def _ages(listener: Listener, count: int) -> list[float]:
    first = len(listener.verdicts)
    listener.until(lambda: True if len(listener.verdicts) >= first + count else None)
    messages = [received.message for received in listener.verdicts[first : first + count]]
    return [one.age_ms for one in messages if isinstance(one, Verdict)]  # late ones, too: they have no score


def _ask(control: Any, request: Request) -> CandidateState:
    control.send(request.model_dump_json(exclude_none=True).encode())
    if not control.poll(5_000):
        raise EdgeError("the station does not answer")
    reply = parse_reply(control.recv())
    if not isinstance(reply, CandidateState):
        raise EdgeError(f"the station answered {reply}")
    return reply


def _load(control: Any) -> None:
    began = time.monotonic()
    state = _ask(control, LoadBundle(bundle=f"{CANDIDATE}.edge", by="benchmark"))
    while state.stage is Stage.LOADING and time.monotonic() - began < PATIENCE_S:
        time.sleep(0.2)
        state = _ask(control, AskCandidate())
    if state.stage is not Stage.JUDGING:
        raise EdgeError(f"the candidate does not judge: {state.why or state.stage}")


def _backtest(folder: Path, bundle: Bundle, number: int) -> tuple[float, Path]:
    """Frames a second of the whole command, its start included, and its table."""
    out = folder / f"backtest-{number}"
    began = time.perf_counter()
    arguments = [bundle.folder, "--records", folder / "records", "--out", out, "--backend", BACKEND, "--json"]
    command = [sys.executable, "-m", "edge.cli.backtest", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EdgeError(done.stderr.strip().splitlines()[-1])
    frames: int = json.loads(done.stdout)["frames"]
    return frames / (time.perf_counter() - began), out / TABLE


def _bare(bundle: Bundle, items: Sequence[Item], is_reading: bool) -> float:
    """Frames a second of one process on each core that does nothing but infer, on frames that are in memory or read
    from their files.
    """
    context = multiprocessing.get_context("spawn")
    files = [Path(item.folder) / item.path for item in items]
    barrier, rates = context.Barrier(cores()), context.Queue()
    workers = [
        context.Process(target=_loop, args=(bundle.folder, files[first :: cores()], is_reading, barrier, rates))
        for first in range(cores())
    ]
    for worker in workers:
        worker.start()
    spans = [rates.get(timeout=BARE_S) for _ in workers]
    for worker in workers:
        worker.join()
    seconds = max(end for _, _, end in spans) - min(start for _, start, _ in spans)
    return float(sum(count for count, _, _ in spans) / seconds)


def _loop(folder: Path, files: Sequence[Path], is_reading: bool, barrier: Any, rates: Any) -> None:
    import cv2

    cv2.setNumThreads(1)
    first = decode_picture(files[0].read_bytes())
    runtime = load_from(load_bundle(folder), BACKEND, 1, first.shape[:2])
    for _ in range(20):
        runtime.infer(first)
    few = [decode_picture(file.read_bytes()) for file in files[:100]]
    frame: Callable[[int], Any] = lambda at: few[at % len(few)]  # noqa: E731
    if is_reading:
        frame = lambda at: decode_picture(files[at].read_bytes())  # noqa: E731
    barrier.wait()
    start = time.monotonic()
    for at in range(len(files)):
        runtime.infer(frame(at))
    rates.put((len(files), start, time.monotonic()))


@dataclass(frozen=True)
class Same:
    """The parts that the shadow and the backtest have both judged: how many, on how many they differ, and the flips."""

    parts: int
    other_scores: int
    shadow_flips: int
    backtest_flips: int
    other_flips: int


def _compare(folder: Path, rows: Path) -> Same:
    """Compare what the candidate said of each part, also of those whose verdicts lie in blocks, with the backtest."""
    both = []
    with closing(open_to_read(folder / "records")) as journal:
        for item, row in read_rows(rows):
            both += [(item, row, said) for said in shadow_results_of(journal, item.epoch, item.seq)]
    flips = [(said["outcome"] != item.said, row.outcome != item.said) for item, row, said in both]
    return Same(
        len(both),
        sum(row.score != said["score"] for _, row, said in both),
        sum(one for one, _ in flips),
        sum(other for _, other in flips),
        sum(one != other for one, other in flips),
    )


def _page(
    about: dict[str, Any],
    parts: int,
    rate: int,
    with_it: list[Block],
    without: list[Block],
    same: Same,
    frames: int,
    backtest: list[float],
    decoding: list[float],
    bare: list[float],
) -> str:
    pairs = list(zip(with_it, without, strict=True))
    ratios = [percentile(one.ages, 99) / percentile(other.ages, 99) for one, other in pairs]
    low, high = _interval(ratios)
    judged = sum(block.candidate.judged for block in with_it if block.candidate)
    skipped = sum(block.candidate.skipped for block in with_it if block.candidate)
    of_bare = median(one / other for one, other in zip(backtest, bare, strict=True))
    of_decoding = median(one / other for one, other in zip(backtest, decoding, strict=True))
    rows = [
        goal("p99 of verdicts with a candidate over that without, median of the pairs", median(ratios), 1.05, ""),
        goal("parts that the candidate judged", judged, parts, "", at_least=True, digits=0),
        goal("parts on which the scores of shadow and backtest differ", same.other_scores, 0, "", digits=0),
        goal("parts that are a flip for one of them alone", same.other_flips, 0, "", digits=0),
        goal("edge-backtest over bare loops that read and decode, too", of_decoding, 0.9, "", at_least=True),
    ]
    ages = [[age for block in blocks for age in block.ages] for blocks in (without, with_it)]
    names = ("without a candidate", "with a candidate")
    parts_of_page = [
        "# A candidate beside the line, and archives judged again\n",
        paragraph(
            f"Written by `{COMMAND}`; no figure on this page was typed by a person. The line shows frames of {SIZE} at "
            f"{rate} a second; the running bundle and the candidate have the network of the demonstration, the "
            f"candidate with a lower threshold; all run the artifact {BACKEND}. {len(with_it)} blocks of "
            f"{parts // len(with_it)} parts with the candidate, and as many without it, in turns in one run; each "
            "block loads the candidate again, and the "
            "loading is in neither. All images are kept. Afterwards `edge-backtest` judges all kept images with the "
            "candidate's bundle."
        ),
        machine_words(about) + ".\n",
        goals(rows),
        "Age of verdicts, ms:\n",
        table(
            ("", "verdicts", "p50", "p95", "p99"),
            [
                (name, str(len(some)), *(f"{percentile(some, q):.2f}" for q in (50, 95, 99)))
                for name, some in zip(names, ages, strict=True)
            ],
        ),
        paragraph(
            f"The p99 of a block with the candidate is {median(ratios):.3f} times that of the block before it (median; "
            f"90 % interval of the median {low:.3f} to {high:.3f}, by resampling the pairs). The candidate judged "
            f"{judged} parts and skipped {skipped} for which it had no time. {same.parts} parts were judged by both it "
            f"and `edge-backtest`: {same.shadow_flips} flips in the shadow, {same.backtest_flips} in the backtest."
        ),
        f"Frames a second, {frames} images, all {cores()} cores, {len(backtest)} rounds in turns:\n",
        table(
            ("", "frames/s", "of inference alone"),
            [
                ("`edge-backtest`, its start and its table included", f"{median(backtest):.0f}", f"{of_bare:.2f}"),
                (
                    "bare loop: read, decode, infer",
                    f"{median(decoding):.0f}",
                    f"{median(one / other for one, other in zip(decoding, bare, strict=True)):.2f}",
                ),
                ("bare loop: infer frames in memory", f"{median(bare):.0f}", "1.00"),
            ],
        ),
    ]
    return "\n".join(parts_of_page)


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    """The 90 % interval of the median, by resampling."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    return float(np.quantile(medians, 0.05)), float(np.quantile(medians, 0.95))


def main() -> None:
    """Entry point."""
    run_app(app)


if __name__ == "__main__":
    main()
