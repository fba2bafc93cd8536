"""Writes the pictures of parts, with the boxes of their defects drawn in, for edge-audit."""

from pathlib import Path

import cv2

from edge.errors import RecordsError
from edge.files import written_whole
from edge.records.part_history import Story
from edge.records.part_image import read_image
from edge.records.part_story import box_text, caption
from edge.records.retention import IMAGES
from edge.report.verdict_drawing import Marked, drawn
from edge.verdict import Verdict


def draw_parts(records: Path, told: list[Story], draw: Path) -> dict[int, Path]:
    """Draw the parts that have a stored image, into the file `draw` or into files of the folder `draw`. Returns the
    files by the index of the story.

    Raises RecordsError, before anything is written, if `draw` is no suitable place, or if it lies in the records, which
    are evidence and must not be changed.
    """
    from rich.progress import track

    from edge.terminal.console import Console

    files = _files(records, told, draw)
    console = Console(stderr=True)
    for number in track(files, "drawing", console=console, transient=True, disable=not console.is_terminal):
        _draw(records, told[number], files[number])
    return files


def _files(records: Path, told: list[Story], draw: Path) -> dict[int, Path]:
    pictured = [number for number, story in enumerate(told) if story.image.path is not None]
    own = records.resolve(), (records / IMAGES).resolve()  # the folder of images may be a link to another disk
    if any(draw.resolve().is_relative_to(folder) for folder in own):
        raise RecordsError(f"--draw {draw} lies in the records, to which nothing is added; give a place elsewhere")
    if draw.is_dir():
        return {number: draw / _name(told[number].verdict) for number in pictured}
    if draw.suffix.lower() != ".png":
        raise RecordsError(f"--draw {draw}: no folder, and no name that ends in .png; give one of them")
    if len(pictured) > 1:
        raise RecordsError(f"--draw {draw} takes one picture, and there are {len(pictured)}; give a folder")
    return dict.fromkeys(pictured, draw)


def _name(v: Verdict) -> str:
    """Name of the file for a verdict. The part's id is left out, because it may contain any characters."""
    return f"{v.epoch}-{v.seq:08}-{v.verdict}.png"


def _draw(records: Path, story: Story, file: Path) -> None:
    defects = story.verdict.defects or ()
    boxes = []
    for number, defect in enumerate(defects, 1):
        box, nth = defect.box, f"{number}: " if len(defects) > 1 else ""
        boxes.append(Marked(box.x, box.y, box.width, box.height, nth + box_text(box)))
    picture = drawn(read_image(records, story.image), caption(story.verdict), boxes)
    try:
        with written_whole(file) as part:
            part.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    except OSError as error:
        raise RecordsError(f"--draw {file} cannot be written: {error.strerror}") from error
