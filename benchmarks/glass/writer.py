"""`python -m benchmarks.glass.writer FOLDER RATE WIDTH HEIGHT`: a program that fills a folder with pictures.

Each shows the microsecond of its creation and is renamed into place when it is complete. Runs until it is killed.
"""

import sys
import time
from itertools import count
from pathlib import Path

import cv2

from edge.demo.clock import draw, now_us
from edge.demo.line import DemoLine

PICTURES = 16


def write(folder: Path, rate: float, size: tuple[int, int]) -> None:
    """Write `rate` JPEG pictures of `size` (height, width) per second."""
    line = DemoLine(size=size)
    stock = [line.render(index).frame for index in range(PICTURES)]
    began = time.monotonic()
    for number in count():
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        picture = stock[number % PICTURES]
        draw(picture, now_us())
        unfinished, path = folder / f".{number:06}.jpg", folder / f"{number:06}.jpg"
        unfinished.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
        unfinished.rename(path)


if __name__ == "__main__":
    folder, rate, width, height = sys.argv[1:]
    write(Path(folder), float(rate), (int(height), int(width)))
