"""Photographs and a table of labels in CSV: `images/` and `labels.csv`, with columns found by their names.

    DATA/images/*     the photographs, there or in other folders
    DATA/labels.csv   a row for each photograph; any name, or train.csv, val.csv and test.csv for the splits
    DATA/masks/*      masks of the photographs' stem, unless a column names them

One column names the file (file, image, path, filename ...), one the label (label, class, target ...), and optionally
one the split (split, set ...), the mask (mask, mask_path ...) and the kind of defect (defect, defect_type ...); further
columns are kept, such as part. A label is a word for good or bad, 0 for good or 1 for bad; any other word is a kind of
defect, if some rows are good. Several rows of one photograph are several defects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge.errors import DataError
from edge.photographs.accounting import MASK_FOLDERS
from edge.photographs.annotated import Contents, Missing, split_by_folders
from edge.photographs.drawn_mask import JoinedMasks
from edge.photographs.label_folders import say_labels
from edge.photographs.label_words import label_of, split_of
from edge.photographs.layouts.base import Listed, completed
from edge.photographs.masks import Mask
from edge.photographs.photograph import PARTS, Label, Parts, Photograph, files, labelled_file, masks_in
from edge.photographs.tables import Row, Table, read_header, read_table
from edge.validation import shown

NAME = "images/ and a CSV of labels"
SHAPE = "photographs and a CSV with columns such as file and label"
FILE = (
    *("file", "image", "path", "filename", "file_name", "image_path", "filepath", "file_path", "image_name"),
    *("image_file", "image_filename", "img", "img_path", "picture", "photograph", "image_id", "imageid", "id"),
)
LABEL = (
    *("label", "labels", "class", "target", "class_name", "category", "classification", "is_defective"),
    *("is_defect", "is_anomaly", "anomaly", "defective", "defect"),
)
SPLIT = ("split", "set", "subset", "partition", "phase")
MASK = ("mask", "mask_path", "mask_file", "mask_filename", "mask_name", "ground_truth", "segmentation")
KIND = ("defect", "defect_type", "kind", "defect_kind", "defect_class", "anomaly_type")
ZERO, ONE = ("0", "0.0", "false", "no", "none"), ("1", "1.0", "true", "yes")
NOTHING = ("", "-", "nan", "none", "null", "0")


@dataclass
class Described:
    """What the rows of one photograph say together; `place` is the first of them, for messages."""

    place: str
    label: Label
    split: str | None
    details: dict[str, str]
    kinds: list[str] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)


def signs(data: Path) -> list[str]:
    """The tables with a column for the file and one for the label."""
    return [] if say_labels(data) else [file.name for file in _tables(data)]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if a table names a picture that is not there, if a label or split has no meaning, if rows of one
    photograph contradict each other, or if several tables are not those of the splits.
    """
    tables, contents, missing = _tables(data), Contents(data), Missing(data)
    splits_of = {file: split_of(file.stem) for file in tables}
    if len(tables) > 1 and None in splits_of.values():
        raise DataError(f"{data}: {tables[0].name} and {tables[1].name} could both label the photographs: move one out")
    described: dict[Path, Described] = {}
    notes: list[str] = []
    read = [read_table(file) for file in tables]
    _check_labels(read)
    for file, table in zip(tables, read, strict=True):
        notes.append(_describe(table, contents, splits_of[file], described, missing))
    missing.refuse()
    beside = _masks_beside(data)
    splits: dict[str, list[Photograph]] = {}
    for path, one in described.items():
        split = split_by_folders(data, path) if one.split is None else one.split
        splits.setdefault(split, []).append(_photograph(data, path, one, rows, beside))
    return completed(data, splits, notes, tables)


def _tables(data: Path) -> list[Path]:
    found = []
    for file in files(data):
        if file.suffix.lower() in (".csv", ".tsv") and file.name != PARTS:
            try:
                header = read_header(file)
            except DataError:
                continue  # some other table
            if header.column(FILE) and header.column(LABEL):
                found.append(file)
    return found


def _describe(
    table: Table, contents: Contents, split: str | None, described: dict[Path, Described], missing: Missing
) -> str:
    """Add what the rows say to `described`; returns which columns were read, in a few words."""
    file, label = table.needed("the photograph", FILE), table.needed("the label", LABEL)
    place, mask, kind = (table.column(names) for names in (SPLIT, MASK, KIND))
    read = [column for column in (file, label, place, mask, None if kind == label else kind) if column]
    for row in table.rows:
        name = row.values.get(file, "")
        path = contents.find(name, contents.data) if name else None
        if path is None:
            missing.add(table.file, name or f"line {row.line} without a name")
            continue
        what, defect = _label(table, row, label)
        own = _split(table, row, place) if place else split
        details = {column.lower(): value for column, value in row.values.items() if column and column not in read}
        one = described.setdefault(path, Described(f"{table.file}, line {row.line}", what, own, details))
        if (one.label, one.split) != (what, own):
            raise DataError(f"{table.file}, line {row.line}: {name} has another label or split than in {one.place}")
        if kind in read:
            defect = row.values.get(kind or "") or defect
        if what == "bad" and defect and defect not in one.kinds:
            one.kinds.append(defect)
        masked = row.values.get(mask, "") if mask else ""
        if masked.lower() not in NOTHING:
            found = contents.find(masked, contents.data, is_mask=True)
            if found is None:
                missing.add(table.file, masked)
            elif found == path:
                raise DataError(f"{table.file}, line {row.line}: the mask {masked} is the photograph itself")
            elif found not in one.masks:
                one.masks.append(found)
    return f"{table.file.name} by its columns {', '.join(read)}"


def _check_labels(tables: Sequence[Table]) -> None:
    """Raise DataError unless one of the labels is good, so that the others can be kinds of defects, or all are bad."""
    labels = [(table, table.needed("the label", LABEL)) for table in tables]
    values = {row.values.get(label, "") for table, label in labels for row in table.rows} - {""}
    has_good = any(label_of(value) == "good" or value.lower() in ZERO for value in values)
    all_bad = all(label_of(value) == "bad" or value.lower() in ONE for value in values)
    if not (has_good or all_bad):
        few = ", ".join(shown(value) for value in sorted(values)[:5])
        raise DataError(
            f"{tables[0].file}: none of the labels in its column {labels[0][1]} says what is good ({few}): write good "
            "or ok and the kinds of defects, or 0 for good and 1 for bad"
        )


def _label(table: Table, row: Row, column: str) -> tuple[Label, str | None]:
    """The label of a row, and the kind of defect if it names one."""
    value = row.values.get(column, "")
    if not value:
        raise DataError(
            f"{table.file}, line {row.line}: its column {column} is empty: write good, bad or a kind of defect"
        )
    known = label_of(value)
    if known == "good" or value.lower() in ZERO:
        return "good", None
    return "bad", None if known == "bad" or value.lower() in ONE else value


def _split(table: Table, row: Row, column: str) -> str:
    value = row.values.get(column, "")
    split = split_of(value)
    if split is None:
        raise DataError(f"{table.file}, line {row.line}: {value!r} is no split; there are train, val and test")
    return split


def _masks_beside(data: Path) -> Mapping[str, Path]:
    """The masks in the first folder for them, by the stem of the photograph; empty without one."""
    return next((masks_in(data / name, "_mask") for name in MASK_FOLDERS if (data / name).is_dir()), {})


def _photograph(data: Path, path: Path, one: Described, rows: Parts, beside: Mapping[str, Path]) -> Photograph:
    masks = one.masks or [beside[stem] for stem in (path.stem,) if stem in beside]
    mask: Mask | None = JoinedMasks(tuple(masks)) if len(masks) > 1 else next(iter(masks), None)
    photograph = labelled_file(data, path, one.label, rows, mask, "+".join(sorted(one.kinds)) or None)
    return replace(photograph, details={**one.details, **photograph.details})
