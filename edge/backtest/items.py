"""What is judged again: each kept image of a record with the verdict that it got then, or each labelled photograph."""

import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from edge.errors import DataError, RecordsError
from edge.photographs.listing import read_listing
from edge.records.journal import JOURNAL, open_to_read, unread
from edge.records.stored_verdicts import gaps, select
from edge.records.tables import RUNS
from edge.records.verdict_blocks import as_said
from edge.review import Choice, Reviews
from edge.review.record import Record
from edge.text import counted


class Item(NamedTuple):
    """One stored frame. Texts are empty and numbers NaN where nothing is known.

    `path` is relative to `folder`; `sha256` is that of the image in the journal. `said` is the verdict then, with its
    `score_said` by the bundle with the label `bundle_said`; `truth` is good or bad, by people or by the label of a
    photograph.
    """

    folder: str
    path: str
    sha256: str
    station: str
    epoch: str
    seq: int
    part: str
    time: str
    said: str
    score_said: float
    bundle_said: str
    truth: str


NAN = float("nan")


def read_items(folders: Sequence[Path], say: Callable[[str], object] = lambda line: None) -> list[Item]:
    """The frames of these folders, in the order of the folders and of publication. A folder with a journal is a record,
    any other one has labelled photographs. `say` is called with a line about images that are left out.

    Raises RecordsError if a record cannot be read, DataError if a folder has no photographs in a known layout, or if
    there is nothing to judge.
    """
    for first, second in itertools.combinations([folder.resolve() for folder in folders], 2):
        if first == second:
            raise DataError(f"{first} is given twice")
    items = [item for folder in folders for item in _of(folder.absolute(), say)]
    if not items:
        raise DataError(f"{', '.join(map(str, folders))}: no image is kept there; edge-run --keep-goods keeps more")
    return items


def _of(folder: Path, say: Callable[[str], object]) -> Iterator[Item]:
    if (folder / JOURNAL).exists():
        yield from _of_record(folder, say)
        return
    for photograph in read_listing(folder).photographs:
        part = photograph.details.get("part", "")
        yield Item(
            str(folder), photograph.name, "", "", "", 0, part, "", "", NAN, "", photograph.label
        )  # fmt: skip


def _of_record(folder: Path, say: Callable[[str], object]) -> Iterator[Item]:
    _check_regions(folder)
    with Record(folder) as record:
        pictures = dict(record.every_picture())
    truths = {
        key: standing.choice.value
        for key, standing in Reviews(folder).current().items()
        if standing.choice in (Choice.BAD, Choice.GOOD)
    }
    try:
        with closing(open_to_read(folder)) as journal:
            for stored in select(journal):
                key = stored.epoch, stored.seq
                said = as_said(stored.text)
                if said is None or (picture := pictures.pop(key, None)) is None:
                    continue
                score = NAN if said.score is None else float(said.score)
                yield Item(
                    str(folder), picture.path, picture.sha256, said.station, *key, said.part, said.time, said.verdict,
                    score, said.bundle, truths.get(key, ""),
                )  # fmt: skip
            for gap in gaps(journal):
                say(f"{folder}: {gap}")
    except sqlite3.Error as error:
        raise unread(folder, error) from error
    if pictures:
        say(f"{folder}: {counted(len(pictures), 'image')} left out, whose verdicts have expired or cannot be read")


def _check_regions(folder: Path) -> None:
    """Raise RecordsError if a run judged regions of its frames: the images show whole frames."""
    try:
        with closing(open_to_read(folder)) as journal:
            for run in RUNS.read(journal):
                config = json.loads(run["config"])
                if isinstance(config, dict) and config.get("regions"):
                    raise RecordsError(
                        f"{folder}: run {run['epoch']} judged regions of its frames (--region), which cannot be judged "
                        "again; leave its record out"
                    )
    except (sqlite3.Error, ValueError) as error:
        raise unread(folder, error) from error
