"""`python -m benchmarks.review_loop`: from false rejects to a better bundle, by reviewed parts, with real processes.

A new camera has less resolution, and the shipped bundle rejects too much on its line. A station runs; the parts of its
queue are decided by the truth of the rendered line, as a person would; edge-export rethreshold gives the bundle another
threshold, and its promise is compared with further parts; edge-review export adds the reviewed photographs to those of
the training; edge-train trains the same recipe on from the shipped weights; the three bundles are compared on the same
further parts.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks import script
from benchmarks.review_loop_page import section
from benchmarks.shipped_weights import RECIPE, write_weights
from edge.bundle import load_bundle
from edge.bundle.shipped import shipped_bundle
from edge.cli import run_app
from edge.demo.lines import PLATE_SIZE, open_line
from edge.demo.rendered_line import RenderedLine
from edge.errors import EdgeError
from edge.evaluation.metrics import judge
from edge.photographs.listing import read_listing
from edge.photographs.photograph import parts
from edge.review import Choice, Kind, Reviews, Undecided, Way
from edge.review.record import Record
from edge.station.process.runner import EdgeRun
from edge.verdict import Outcome

SIZE = (180, 320)
"""(height, width) of the new camera's frames; the shipped bundle was trained on PLATE_SIZE."""

SEED, FURTHER_SEED, DEFECT_RATE = 21, 22, 0.2
LEARNING_RATE = 3e-4
"""A tenth of the recipe's, which is for a start from random weights."""

NAMED = 3
"""Parts that the gate's people name as missed."""

STRATEGY, REASON = "specificity=0.97", "The new camera has less resolution, and good parts are rejected."
FOLDER = Path("build/review-loop")
PAGE, FIGURES = Path("docs/reports/review-loop.md"), Path("docs/reports/review-loop.json")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def loop(
    run_parts: Annotated[int, typer.Option("--parts", help="Parts that the station judges before the review.")] = 3000,
    reviewed: Annotated[int, typer.Option(help="Parts that are reviewed.")] = 200,
    further: Annotated[int, typer.Option(help="Further parts on which promise and bundles are checked.")] = 2000,
    epochs: Annotated[int, typer.Option(help="Epochs of the training.")] = 24,
    photographs: Annotated[int, typer.Option(help="Photographs of the old camera to learn from.")] = 200,
    rate: Annotated[
        str | None,
        typer.Option(help="Pace of the station before the review: its minutes are the groups of the splits."),
    ] = "600/min",
    work: Annotated[
        Path, typer.Option(help="Folder for records, photographs, run and bundles; it is emptied.")
    ] = FOLDER,
    out: Annotated[Path | None, typer.Option(help="Folder of review-loop.md and .json.")] = None,
) -> None:
    """Run the loop once, and write its page."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    result: dict[str, Any] = script.about(0, quick=out is None)
    result |= {"size": SIZE, "defect_rate": DEFECT_RATE, "strategy": STRATEGY, "took_s": {}}
    bundle = shipped_bundle("demo.edge")

    def step(name: str, work_: Any) -> Any:
        script.say(f"{name} …")
        began = time.monotonic()
        found = work_()
        result["took_s"][name] = round(time.monotonic() - began, 1)
        return found

    records, later = work / "records", work / "further"
    step("the station", lambda: station(bundle, records, SEED, run_parts, rate))
    result["before"] = step("its figures", lambda: figures(records))
    result["review"] = step("the review", lambda: review(records, reviewed))
    result["stats"] = step("statistics", lambda: told("edge-review", "stats", records, "--json"))[0]
    calm = work / "calm.edge"
    options = ("--threshold", STRATEGY, "--reason", REASON, "--out", calm, "--json")
    promise = step("rethreshold", lambda: told("edge-export", "rethreshold", bundle, "--reviewed", records, *options))
    result["promise"] = {key: promise[key] for key in ("old", "new", "supported", "before", "after", "proof")}
    step("further parts", lambda: station(calm, later, FURTHER_SEED, further))
    result["kept"] = kept(promise, figures(later))
    data = work / "photographs"
    step("earlier photographs", lambda: earlier_photographs(data, photographs))
    result["export"] = step("export", lambda: export(records, data, work / "training"))
    run, better = work / "run", work / "better.edge"
    result["training"] = step("training", lambda: train(bundle, data, work, run, epochs))
    step("bundle", lambda: called("edge-export", run, "--out", better, "--simulated"))
    step(
        "further parts with the better bundle", lambda: station(better, work / "further-better", FURTHER_SEED, further)
    )
    result["compared"] = compared(later, work / "further-better", promise["old"])
    page = section(result)
    folder = out or work
    script.finish(result, page, folder / FIGURES.name)
    (folder / PAGE.name).write_text(page, encoding="utf-8")


def called(command: str, *arguments: object) -> str:
    """What a command of this project prints. Raises EdgeError with its last line if it fails."""
    file = Path(sys.executable).with_name(command)
    done = subprocess.run([file, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise EdgeError(f"{command} fails: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
    return done.stdout


def told(command: str, *arguments: object) -> Any:
    """The JSON that a command of this project prints."""
    return json.loads(called(command, *arguments))


def station(bundle: Path, records: Path, seed: int, count: int, rate: str | None = None) -> None:
    """Let a station judge `count` parts of the line, as fast as it can without a rate. Raises EdgeError."""
    size = f"{SIZE[1]}x{SIZE[0]}"
    run = EdgeRun(
        source="demo", line="plates", size=size, seed=seed, limit=count, bundle=bundle, records=records,
        budget_ms=60_000, rate=rate,
    )  # fmt: skip
    try:
        if run.process.wait():
            raise EdgeError(f"the station failed: {run.last_words()}")
    finally:
        run.stop()


def judged(records: Path) -> tuple[list[float], list[bool], int]:
    """Scores and truths of the verdicts of a record, and the number of unknowns."""
    scores, bad, unknown = [], [], 0
    with Record(records) as record:
        for text in record.texts():
            said = json.loads(text)
            if said["verdict"] == Outcome.UNKNOWN:
                unknown += 1
            else:
                scores.append(float(said["score"]))
                bad.append(said["truth"] == "bad")
    return scores, bad, unknown


def figures(records: Path, threshold: float | None = None) -> dict[str, Any]:
    """The figures of a record by the line's truth, at the threshold of its verdicts unless another one is given."""
    scores, bad, unknown = judged(records)
    if threshold is None:
        with Record(records) as record:
            threshold = next(said["threshold"] for said in map(json.loads, record.texts()) if said["threshold"])
    found = judge(scores, bad, threshold).model_dump(mode="json")
    return {"parts": len(scores), "unknown": unknown} | found


def truth(records: Path, part: Undecided) -> bool:
    """Whether the part is bad, as the rendered line knows."""
    with Record(records) as record:
        return record.verdict(part.epoch, part.seq).truth == "bad"


def review(records: Path, count: int) -> dict[str, int]:
    """Decide `count` parts of the queues, kept goods first, and name a few missed parts. Returns what was decided."""
    reviews, decided = Reviews(records), {"goods": 0, "rejects": 0, "bad": 0, "named": 0}
    for kind, name in ((Kind.GOOD, "goods"), (Kind.REJECT, "rejects")):
        for part in reviews.undecided(kind, count - decided["goods"]):
            is_bad = truth(records, part)
            reviews.decide(*part.key, Choice.BAD if is_bad else Choice.GOOD, "Ana", way=Way.DRAWN)
            decided[name] += 1
            decided["bad"] += is_bad
    with Record(records) as record:
        every = [json.loads(text) for text in record.texts()]
    missed = [said["part"] for said in every if said["truth"] == "bad" and said["verdict"] == Outcome.GOOD]
    for part_id in missed[:NAMED]:
        called("edge-audit", records, "--missed", part_id, "--by", "Gate 2")
        decided["named"] += 1
    return decided


def kept(promise: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """For recall, specificity and precision: the promise with its interval, what came, and whether it lies within."""
    rows = {}
    for name in ("recall", "specificity", "precision"):
        said, came = promise["after"][name], found[name]
        within = said["low"] <= came["value"] <= said["high"]
        rows[name] = {"promised": said, "came": came, "within": bool(within)}
    return {"parts": found["parts"], "rates": rows}


def earlier_photographs(data: Path, count: int) -> None:
    """Render photographs of the old camera to learn from: what the new camera sees validates and tests."""
    options = ("--train", count, "--val", 0, "--test", 0)
    called("edge-demo", data, "--size", f"{PLATE_SIZE[1]}x{PLATE_SIZE[0]}", *options)


def export(records: Path, data: Path, out: Path) -> dict[str, Any]:
    """Export the reviewed parts beside the earlier photographs, and draw a mask for each bad one."""
    found: dict[str, Any] = told("edge-review", "export", records, "--with", data, "--out", out, "--json")
    line, rows = open_line("plates", SEED, DEFECT_RATE, SIZE), parts(out)
    found["masks"] = 0
    for photograph in read_listing(out).photographs:
        code = rows[photograph.name].get("id")
        if photograph.is_bad and code:
            file = photograph.path.parent.parent / "mask" / photograph.path.name
            file.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(file), mask_of(line, code))
            found["masks"] += 1
    return found


def mask_of(line: RenderedLine, code: str) -> Any:
    """The mask of the part with this printed code: a letter and the number of the part."""
    return np.asarray(line.mask(int(code[1:])))


def train(bundle: Path, data: Path, work: Path, run: Path, epochs: int) -> dict[str, Any]:
    """Train the recipe of the shipped bundle on from its weights, on earlier and reviewed photographs."""
    listing = read_listing(data)
    frames = [cv2.imread(str(one.path)) for one in listing.splits["train"][:16]]
    difference = write_weights(load_bundle(bundle), [np.asarray(one, np.uint8) for one in frames], work / "shipped.pt")
    keys = {"train.epochs": epochs, "train.learning_rate": LEARNING_RATE}
    options: list[object] = ["--weights", work / "shipped.pt", "--allow-leaks"]
    options += [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    called("edge-train", RECIPE, "--data", work / "training", "--out", run, *options)
    return {
        "epochs": epochs,
        "learning_rate": LEARNING_RATE,
        "weights_differ_by": difference,
        "photographs": _counts(work / "training"),
    }


def _counts(data: Path) -> dict[str, dict[str, int]]:
    listing = read_listing(data)
    return {
        split: {label: sum(one.label == label for one in members) for label in ("good", "bad")}
        for split, members in listing.splits.items()
    }


def compared(calm: Path, better: Path, old: float) -> dict[str, Any]:
    """The figures of the three bundles on the same further parts; a new threshold leaves the scores as they are."""
    return {"shipped": figures(calm, old), "new threshold": figures(calm), "retrained": figures(better)}


if __name__ == "__main__":
    run_app(app, extra="export")
