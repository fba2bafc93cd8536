"""docs/reports/damage.md: the fate of damaged files."""

from typing import Any

from benchmarks.damage.trial import KINDS, MOST_BYTES, SAME
from benchmarks.markdown import machine_words, paragraph, table

HEAD = """\
# Damaged pictures

Written by `python -m benchmarks.damage --docs docs/reports`; no figure on this page was typed by a person.

"""

RULES = """\
What each format can prove:

| format | proof | what it cannot see |
| --- | --- | --- |
| PNG | a CRC of every chunk | nothing that concerns pixels |
| TIFF, Deflate | a checksum of every strip | changes of its directory that still make sense |
| FFV1 | a CRC of every slice | – |
| JPEG, MJPEG | libjpeg's warnings: a code that does not exist, data that ends early, bytes left over; missing scans | changes after which as many blocks decode as before: mostly stretches of a few bytes |
| H.264 | FFmpeg's error detection, gaps of time stamps and counts; until the next key frame all is unknown | changes that still decode |
| WebP, BMP | the length that the header says; in WebP holes of zeros | changes that leave the length |
| TIFF, LZW, uncompressed | libtiff's errors: strips that end early or do not decode | changes that still decode |

Use PNG, TIFF with Deflate or FFV1 where a disk or network may damage pictures. How all of them are read:
[pictures.md](../guide/pictures.md).
"""  # noqa: E501


def render(
    result: dict[str, Any],
    files: int,
    size: tuple[int, int],
    cost: dict[str, dict[str, float]],
    machine: dict[str, Any],
) -> str:
    """The page."""
    height, width = size
    rows = [_row(name, form) for name, form in result.items()]
    head = ("format", "checksum", "frames", "unknown", "unharmed", "slipped", "left out")
    kinds = table(("slipped, of frames", *KINDS), [_by_kind(name, form) for name, form in result.items()])
    return HEAD + "\n".join(
        (
            paragraph(
                f"{files:,} files of rendered parts of {width}×{height} pixels, each damaged once: up to "
                f"{MOST_BYTES:,} bytes are cut out or made zero, two such stretches change places, or the file ends at "
                "some byte. A station's source reads each. A frame is unknown, with its reason, or it is judged. It is "
                f"unharmed if no pixel differs from that of the whole file by more than {SAME} grey levels, and has "
                "slipped through if one does. It is left out if the container promises it and nothing is said of it. "
                "In a video one damage leaves most frames as they were. An MPEG transport stream promises no "
                "number of frames: one that is gone altogether at its end leaves no trace."
            ),
            table(head, rows, words=2),
            paragraph("Frames that slipped through, by what was done to the file:"),
            kinds,
            RULES,
            "## What it costs\n",
            paragraph(
                f"Median time of a frame of 1920×1080 pixels, read by a station's source and by OpenCV alone "
                f"(imdecode, VideoCapture), in turns, on {machine_words(machine)}:"
            ),
            table(("format", "ours, ms", "OpenCV, ms", "ratio"), [_cost(*one) for one in cost.items()]),
        )
    )


def _row(name: str, form: dict[str, Any]) -> tuple[str, ...]:
    count = {outcome: sum(form[kind][outcome] for kind in KINDS) for outcome in form[KINDS[0]]}
    total = sum(count.values())
    slipped = f"{count['slipped']} ({count['slipped'] / total:.1%})"
    has = "yes" if form["has_checksum"] else "no"
    return (name, has, str(total), str(count["unknown"]), str(count["unharmed"]), slipped, str(count["left out"]))


def _by_kind(name: str, form: dict[str, Any]) -> tuple[str, ...]:
    return (name, *(f"{form[kind]['slipped']} of {sum(form[kind].values())}" for kind in KINDS))


def _cost(name: str, times: dict[str, float]) -> tuple[str, ...]:
    ours, theirs = times["ours_ms"], times["opencv_ms"]
    return (name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}")
