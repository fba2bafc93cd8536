"""`python -m benchmarks.codes`: how long the code reader looks at a frame, and how often it is done before the verdict.

The frames are those of the rendered line of plates, with and without a Data Matrix code of 8 × 32 modules drawn into
them. The reading times are of one thread. A station on the same frames then counts the texts that came in time.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.markdown import machine_words, paragraph, table
from edge.bench import machine
from edge.cli import run_app
from edge.demo.line import DemoLine
from edge.frame import Frame
from edge.letterbox.contract import RegionOfInterest
from edge.station.codes.child import ZXING, Reader
from edge.station.codes.contract import DEFAULT_FORMATS, CodeFormat, CodeOutcome, Wanted
from edge.station.part_counts import percentile
from edge.station.process.runner import EdgeRun

SIZES = (480, 640), (1200, 1920)
FRAMES = 20
PLACE, MODULE = (40, 60), 5
"""Upper left corner (row, column) of the code, and pixels of a module."""

REGION = RegionOfInterest(top=20, left=40, height=100, width=220)
EVERY: tuple[CodeFormat, ...] = tuple(ZXING)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def frames(size: tuple[int, int], has_code: bool) -> list[Frame]:
    """Frames of the rendered line of this (height, width), each with a code of its own."""
    import zxingcpp

    line, made = DemoLine(size=size), []
    for number in range(FRAMES):
        frame = line.render(number).frame.copy()
        if has_code:
            code = zxingcpp.create_barcode(f"SN-2026-{number:06}", zxingcpp.BarcodeFormat.DataMatrix)
            image: Any = np.array(zxingcpp.write_barcode_to_image(code, scale=MODULE))
            (top, left), (height, width) = PLACE, image.shape
            frame[top : top + height, left : left + width] = image[..., None]
        made.append(frame)
    return made


def reading_ms(wanted: Wanted, shown: list[Frame], outcome: CodeOutcome, rounds: int) -> str:
    """Median and 99th percentile of the CPU time of one frame, as text."""
    reader, took = Reader(wanted), []
    for _ in range(rounds):
        for frame in shown:
            began = time.thread_time_ns()
            found, _ = reader.look([frame])
            took.append((time.thread_time_ns() - began) / 1e6)
            assert found is outcome, found
    took.sort()
    return f"{percentile(took, 50):.1f} / {percentile(took, 99):.1f}"


def in_time(shown: list[Frame], parts: int, *flags: str) -> dict[str, Any]:
    """The result of a station that judges these frames, ten a second."""
    with tempfile.TemporaryDirectory() as folder:
        for number, frame in enumerate(shown):
            cv2.imwrite(str(Path(folder, f"{number:03}.png")), frame)
        flags += "--loop", "--limit", str(parts), "--rate", "10/s", "--no-records", "--json"
        run = EdgeRun(*flags, source=folder, bundle="demo", popen={"stdout": subprocess.PIPE})
        said, _ = run.process.communicate()
        return dict(json.loads(said))


@app.command()
def main(
    rounds: Annotated[int, typer.Option(help="Times that each frame is read.")] = 5,
    parts: Annotated[int, typer.Option(help="Parts that each station judges; 0: no station runs.")] = 200,
) -> None:
    """Print the tables of the documentation in Markdown."""
    ways = {
        "one format": Wanted(("datamatrix",), None, None),
        "the default formats": Wanted(DEFAULT_FORMATS, None, None),
        "all formats": Wanted(EVERY, None, None),
        "the default formats in a region of 220×100": Wanted(DEFAULT_FORMATS, REGION, None),
    }
    print(paragraph(f"Measured on {machine_words(machine())}."), file=sys.stderr)
    shown = {(size, has): frames(size, has) for size in SIZES for has in (True, False)}
    outcomes = {True: CodeOutcome.READ, False: CodeOutcome.NONE}
    names = [f"{w}×{h}, {'with' if has else 'without'} a code" for (h, w), has in shown]
    rows = [
        [name, *(reading_ms(wanted, some, outcomes[has], rounds) for (_, has), some in shown.items())]
        for name, wanted in ways.items()
    ]
    print(table(["CPU time of a frame, ms (p50 / p99)", *names], rows))
    if not parts:
        return
    rows = []
    for size in SIZES:
        for name, flags in (("the whole frame", ()), ("the region", ("--code-region", "40,20,220x100"))):
            said = in_time(shown[size, True], parts, "--read-code", "serial", *flags)
            codes = said["codes"]
            share = codes["read"] / sum(codes.values())
            cells = f"{share:.0%}", str(codes["late"]), str(codes["dropped"] + codes["failed"]), f"{said['p50_ms']:.1f}"
            rows.append([f"{size[1]}×{size[0]}, {name}", *cells])
        without = in_time(shown[size, True], parts)
        rows.append([f"{size[1]}×{size[0]}, no reader", "", "", "", f"{without['p50_ms']:.1f}"])
    print(table(["frames, ten a second", "in the verdict", "late", "not read", "age of a verdict, p50 ms"], rows))


if __name__ == "__main__":
    run_app(app)
