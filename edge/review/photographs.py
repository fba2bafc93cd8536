"""Reviewed parts as labelled photographs for training: which, in which split, and as copies of the stored images.

    OUT/{train,val,test}/{good,bad}/STATION-EPOCH-SEQ.png   OUT/parts.csv

Parts that were inspected in the same minute by one station, or that have the same id, are a group, and a group is never
in two splits. The splits of an earlier run hold: what was in its test part never comes into another.
"""

import csv
import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from edge.errors import DataError
from edge.files import read_regular
from edge.photographs.groups import SHARES, assign_groups, joined
from edge.photographs.listing import read_listing
from edge.photographs.photograph import PARTS, SPLITS, Photograph, mask_as_file
from edge.records.retention import IMAGES, MOST_IMAGE_BYTES, misplaced
from edge.review.decisions import Choice, Decision, ReviewError, Standing
from edge.review.record import Picture, Record
from edge.review.reviews import Reviews
from edge.text import reason_of

SPLIT_FILE = "split.csv"
COLUMNS = ("file", "defect", "part", "station", "epoch", "seq", "id", "time", "sha256")
"""Columns of parts.csv: `part` is the group, `id` the part's id, `sha256` that of the stored image."""

_FRAME_NUMBER = re.compile(r"frame \d+")
"""Ids that number the frames of one run and name no part."""

_NAME = re.compile(r"[\w.-]+")
"""Stations and runs that may be in the name of a file."""


@dataclass(frozen=True)
class Item:
    """A reviewed part whose stored image goes to training."""

    folder: Path
    decision: Decision
    is_bad: bool
    picture: Picture

    @property
    def name(self) -> str:
        """Name of the file: a verdict has one."""
        return name_of(self.decision)

    @property
    def label(self) -> str:
        """Folder of its label."""
        return "bad" if self.is_bad else "good"


def name_of(decision: Decision) -> str:
    """Name of the file of a verdict. Raises ReviewError if its station or its run is no name of a file."""
    for what, value in (("station", decision.station), ("run", decision.epoch)):
        if not _NAME.fullmatch(value) or value.startswith("."):
            raise ReviewError(
                f"decision {decision.id} is on a {what} {value!r}, which is no name; reviews.db was changed"
            )
    return f"{decision.station}-{decision.epoch}-{decision.seq:08}.png"


def keys_of(decision: Decision) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a verdict shares with the others of its group: the minute at its station, and the part."""
    run = (decision.epoch,) if _FRAME_NUMBER.fullmatch(decision.part) else ()
    return ("minute", decision.station, decision.judged.time[:16]), ("part", *run, decision.part)


@dataclass(frozen=True)
class LeftOut:
    """A part that is not exported: its id, and why, in words."""

    part: str
    why: str


@dataclass
class Plan:
    """What is exported: the items by split, the group of each by its name, and the parts that are left out."""

    splits: dict[str, list[Item]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    groups: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    def counts(self) -> dict[str, dict[str, int]]:
        """Numbers of photographs by split and label."""
        return {split: dict(Counter(item.label for item in items)) for split, items in self.splits.items() if items}


def read_items(folders: Sequence[Path]) -> tuple[list[Item], list[LeftOut]]:
    """The parts of these records that people are sure of and whose picture is kept, and those that are left out.

    Raises RecordsError if a journal cannot be read, ReviewError if the decisions cannot.
    """
    items, left_out = [], []
    for folder in folders:
        current = Reviews(folder).current()
        with Record(folder) as record:
            pictures = record.every_picture()
        contradicting = _contradicting(current.values())
        for key, standing in sorted(current.items(), key=lambda entry: entry[1].decisions[0].id):
            decision, picture = standing.decisions[0], pictures.get(key)
            why = None
            if standing.is_contradicting:
                why = "two people contradict each other"
            elif standing.choice is Choice.UNSURE:
                why = "nobody is sure"
            elif _same_part(decision) in contradicting:
                why = "decisions on two of its verdicts contradict each other"
            elif picture is None:
                why = "its picture is not kept"
            if why is not None:
                left_out.append(LeftOut(decision.part, why))
            elif picture is not None:
                items.append(Item(folder, decision, standing.choice is Choice.BAD, picture))
    return items, left_out


def read_decided(folders: Sequence[Path]) -> list[Decision]:
    """The first decision on each verdict of these records that anybody ever decided, also if it was taken back.

    Raises ReviewError if the decisions cannot be read.
    """
    first: dict[tuple[Path, str, int], Decision] = {}
    for folder in folders:
        for row in Reviews(folder).log():
            first.setdefault((folder, *row.key), row)
    return [*first.values()]


def _same_part(decision: Decision) -> tuple[str, str, str]:
    """Within a run, one id is one part."""
    return decision.station, decision.epoch, decision.part


def _contradicting(standings: Iterable[Standing]) -> set[tuple[str, str, str]]:
    """Parts of a run that are called bad at one verdict and good at another."""
    said: dict[tuple[str, str, str], set[Choice | None]] = defaultdict(set)
    for standing in standings:
        said[_same_part(standing.decisions[0])].add(standing.choice)
    return {part for part, choices in said.items() if {Choice.BAD, Choice.GOOD} <= choices}


class EarlierSplit:
    """The split of an earlier run: of its photographs by file name, and of its groups."""

    def __init__(self, rows: Mapping[str, Mapping[str, str]]) -> None:
        """`rows` are those of split.csv by file."""
        self.rows = rows
        self._by_name: dict[str, set[str]] = defaultdict(set)
        for file, row in rows.items():
            if row["split"] in SPLITS:
                names = {PurePosixPath(file).name, file, row.get("group") or file}
                for name in names:
                    self._by_name[name].add(row["split"])

    def of(self, part: str) -> set[str]:
        """The splits of photographs of the part with this id; empty if the run knew none."""
        return self._by_name.get(part, set()) | self._by_name.get(PurePosixPath(part).name, set())

    def of_name(self, name: str) -> set[str]:
        """The split of a photograph that was exported earlier under this name; empty if it was not."""
        return self._by_name.get(name, set())


def read_earlier(run: Path) -> EarlierSplit:
    """The split of a run's folder, or of a split file. Raises DataError if it cannot be read."""
    file = run / SPLIT_FILE if run.is_dir() else run
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = {row["file"]: row for row in csv.DictReader(lines, restval="") if row["split"] is not None}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--like {run}: {file} cannot be read: {reason_of(error)}") from None
    except KeyError as error:
        raise DataError(f"--like {run}: {file} has no column {error}; give a run, or its {SPLIT_FILE}") from None
    return EarlierSplit(rows)


def plan(
    items: Sequence[Item],
    left_out: Sequence[LeftOut],
    earlier: EarlierSplit | None,
    seed: int = 0,
    decided: Sequence[Decision] = (),
) -> Plan:
    """Assign the items to splits by groups. `decided` are decisions on all verdicts, see `read_decided`: a part that is
    no item any more still ties its minute and its id to the split where it was.

    A group that the earlier run has in one split goes there. Photographs of a group that it has in two splits stay
    where they were, and new ones of it are left out. Other groups share the splits as a training does.
    """
    made = Plan(left_out=[*left_out])
    everyone = [*decided, *(item.decision for item in items)]
    numbers = joined([keys_of(decision) for decision in everyone])
    names: dict[int, str] = {}
    found: dict[int, set[str]] = defaultdict(set)
    for number, decision in zip(numbers, everyone, strict=True):
        names.setdefault(number, PurePosixPath(name_of(decision)).stem)
        found[number] |= _known(decision, earlier)
    free: list[Item] = []
    for number, item in zip(numbers[len(decided) :], items, strict=True):
        made.groups[item.name] = names[number]
        own = _known(item.decision, earlier)
        if not found[number]:
            free.append(item)
        elif len(found[number]) == 1:
            made.splits[next(iter(found[number]))].append(item)
        elif len(own) == 1:
            made.splits[next(iter(own))].append(item)
        else:
            why = f"its group stands in {' and '.join(sorted(found[number]))} of the earlier run"
            made.left_out.append(LeftOut(item.decision.part, why))
    assigned = assign_groups([made.groups[item.name] for item in free], [item.label for item in free], SHARES, seed)
    for item in free:
        made.splits[assigned[made.groups[item.name]]].append(item)
    return made


def without_bad(made: Plan) -> Plan:
    """The same plan without the bad parts: the others stay in their splits."""
    return replace(made, splits={name: [one for one in items if not one.is_bad] for name, items in made.splits.items()})


def _known(decision: Decision, earlier: EarlierSplit | None) -> set[str]:
    return set() if earlier is None else earlier.of_name(name_of(decision)) or earlier.of(decision.part)


def write(
    made: Plan, out: Path, added: Sequence[tuple[str, Photograph]] = (), advance: Callable[[], None] = lambda: None
) -> None:
    """Write the photographs into the folder `out`, as a whole or not at all.

    `added` are photographs of an earlier training with their splits, which are copied with their masks. Raises
    ReviewError if `out` is not empty, if there is nothing to write, or if an image is not the one that was stored.
    """
    if not any(made.splits.values()):
        raise ReviewError("no reviewed part can be exported; edge-review stats shows what is decided")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ReviewError(f"--out {out} is not an empty folder; give a new one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        try:
            rows = [_copy_item(work, split, item, made) for split, items in made.splits.items() for item in items]
            for split, photograph in added:
                rows.append(_copy_photograph(work, split, photograph))
                advance()
            _write_parts(work / PARTS, rows)
            work.chmod(0o755)
            if out.exists():
                out.rmdir()
            os.replace(work, out)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise ReviewError(f"{error.filename or out} cannot be written: {error.strerror or error}") from error


def read_added(
    data: Path, earlier: EarlierSplit | None, decided: Iterable[Decision] = ()
) -> list[tuple[str, Photograph]]:
    """The photographs of an earlier training with their splits: those of `earlier`, else those of their folders.

    Copies of verdicts in `decided`, which an earlier export wrote, are left out: the decisions of today count for them.

    Raises DataError if the folder cannot be read, has no splits and none are given, or if one photograph has none.
    """
    listing, names = read_listing(data), {name_of(decision) for decision in decided}
    if earlier is None:
        if "" in listing.splits:
            raise DataError(f"--with {data} has no splits; give the run that split it as --like")
        rows = [(split, photograph) for split, members in listing.splits.items() for photograph in members]
        return [row for row in rows if PurePosixPath(row[1].name).name not in names]
    unknown = [one.name for one in listing.photographs if one.name not in earlier.rows]
    if unknown:
        raise DataError(f"--with {data}: the run of --like knows no {unknown[0]}; give the photographs of that run")
    rows = [(earlier.rows[one.name]["split"], one) for one in listing.photographs]
    return [row for row in rows if row[0] in SPLITS and PurePosixPath(row[1].name).name not in names]


def _copy_item(work: Path, split: str, item: Item, made: Plan) -> dict[str, str]:
    decision, file = item.decision, f"{split}/{item.label}/{item.name}"
    _put(work / file, _stored(item))
    return {
        "file": file, "part": made.groups[item.name], "station": decision.station, "epoch": decision.epoch,
        "seq": str(decision.seq), "id": decision.part, "time": decision.judged.time, "sha256": item.picture.sha256,
    }  # fmt: skip


def _stored(item: Item) -> bytes:
    """The stored image, byte for byte. Raises ReviewError if it is not the one that the journal names."""
    path = item.picture.path
    fault = misplaced(item.folder, path)
    if fault is None:
        try:
            name = PurePosixPath(path).relative_to(IMAGES).as_posix()
            data = read_regular((item.folder / IMAGES).resolve(), name, MOST_IMAGE_BYTES)
        except OSError as error:
            fault = f"cannot be read: {error.strerror}"
        else:
            if hashlib.sha256(data).hexdigest() == item.picture.sha256:
                return data
            fault = "is not the image that was stored"
    raise ReviewError(f"{item.folder / path} {fault}; edge-audit {item.folder} tells more")


def _copy_photograph(work: Path, split: str, photograph: Photograph) -> dict[str, str]:
    name = PurePosixPath(photograph.name).name
    if (work / split / photograph.label / name).exists():
        name = photograph.name.replace("/", "-")
    file = f"{split}/{photograph.label}/{name}"
    _put(work / file, photograph.path.read_bytes())
    if (mask := mask_as_file(photograph)) is not None:
        suffix, content = mask
        _put(work / f"{split}/mask/{PurePosixPath(name).stem}{suffix}", content)
    part = photograph.details.get("part") or photograph.name
    return {"file": file, "defect": photograph.defect or "", "part": part}


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)


def _write_parts(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
