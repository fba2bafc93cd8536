"""The layout of the VisA data (Zou et al., ECCV 2022), for one product.

    DATA/Data/Images/Normal/*      good
    DATA/Data/Images/Anomaly/*     bad
    DATA/Data/Masks/Anomaly/*      the masks of Images/Anomaly/, of the same stem and size; or in Data/Masks/ itself
    DATA/image_anno.csv            optional: columns image and label, the kind of each defect
    DATA/../split_csv/1cls.csv     optional: columns split and image, and object with the name of DATA

The split file may also lie in DATA or DATA/split_csv. 1cls.csv goes before 2cls_highshot.csv and 2cls_fewshot.csv; with
1cls.csv the photographs of train are good ones, and training divides those of test between val and test. Without a
split file the photographs have no split.
"""

from collections.abc import Mapping
from pathlib import Path

from edge.errors import DataError
from edge.photographs.label_words import label_of, split_of
from edge.photographs.layouts.base import Listed, completed
from edge.photographs.photograph import Parts, Photograph, files, labelled_file, masks_in, subfolders
from edge.photographs.tables import Table, read_table
from edge.text import counted

NAME = "VisA"
SHAPE = "Data/Images/Normal Data/Images/Anomaly Data/Masks (VisA)"
IMAGES = "Data/Images"
LABELS = {"Normal": "good", "Anomaly": "bad"}
SPLIT_FILES = ("1cls.csv", "2cls_highshot.csv", "2cls_fewshot.csv")
KINDS_FILE = "image_anno.csv"


def signs(data: Path) -> list[str]:
    """The folders of normal and anomalous photographs."""
    return [f"{IMAGES}/{name}" for name in LABELS if (data / IMAGES / name).is_dir()]


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if there are other folders, if image_anno.csv contradicts a folder, or if the split file does not
    give each photograph one split.
    """
    for name in subfolders(data / IMAGES):
        if name not in LABELS:
            raise DataError(f"{data / IMAGES / name} does not belong to the {NAME} layout ({SHAPE}): move it out")
    kinds = _kinds(data)
    masks = masks_in(data / "Data" / "Masks") | masks_in(data / "Data" / "Masks" / "Anomaly")
    found = [labelled_file(data, path, "good", rows) for path in files(data / IMAGES / "Normal")]
    for path in files(data / IMAGES / "Anomaly"):
        kind = kinds.get(f"Anomaly/{path.name}")
        found.append(labelled_file(data, path, "bad", rows, masks.get(path.stem), kind))
    read = [data / KINDS_FILE]
    split_file = _split_file(data)
    if split_file is None:
        return completed(data, {"": found}, ["no split_csv/1cls.csv beside it"], read)
    splits = _split(data, split_file, found)
    notes = [f"split by {split_file.name}"]
    return completed(data, splits, notes, [*read, split_file])


def _kinds(data: Path) -> dict[str, str]:
    """The kinds of defects by the last two parts of a photograph's path; empty without the table."""
    if not (data / KINDS_FILE).is_file():
        return {}
    table = read_table(data / KINDS_FILE)
    image, label = table.needed("the photograph", ("image",)), table.needed("the kind", ("label",))
    kinds = {}
    for row in table.rows:
        name = "/".join(row.values.get(image, "").replace("\\", "/").split("/")[-2:])
        kind = row.values.get(label, "")
        is_good = label_of(kind) == "good"
        if is_good != name.startswith("Normal/"):
            raise DataError(f"{table.file}, line {row.line}: {name} is called {kind!r}, which contradicts its folder")
        kinds[name] = kind
    return {name: kind for name, kind in kinds.items() if label_of(kind) is None}


def _split_file(data: Path) -> Path | None:
    whole = data.resolve()
    places = (data / "split_csv", data, whole.parent / "split_csv")
    return next((place / name for name in SPLIT_FILES for place in places if (place / name).is_file()), None)


def _split(data: Path, file: Path, found: list[Photograph]) -> dict[str, list[Photograph]]:
    table = read_table(file)
    places = _places(table, data.resolve().name)
    if not places:
        raise DataError(f"{file} splits no photograph of an object {data.resolve().name!r}: name the folder as it does")
    known = {photograph.name: photograph for photograph in found}
    gone = [name for name in places if name not in known]
    if gone:
        raise DataError(f"{file} names {counted(len(gone), 'photograph')} not in {data}, the first {gone[0]}")
    unnamed = [name for name in known if name not in places]
    if unnamed:
        raise DataError(
            f"{file} gives no split to {counted(len(unnamed), 'photograph')} of {data}, the first {unnamed[0]}"
        )
    splits: dict[str, list[Photograph]] = {}
    for name, photograph in known.items():
        splits.setdefault(places[name], []).append(photograph)
    return splits


def _places(table: Table, name: str) -> Mapping[str, str]:
    """The split of each photograph of this object, by its path from the data folder."""
    image, split = table.needed("the photograph", ("image",)), table.needed("the split", ("split",))
    owner = table.column(("object",))
    places: dict[str, str] = {}
    for row in table.rows:
        if owner and row.values.get(owner) != name:
            continue
        path = row.values.get(image, "").replace("\\", "/")
        inner = f"{IMAGES}/{path.partition(f'{IMAGES}/')[2]}"
        place = split_of(row.values.get(split, ""))
        if place is None:
            said = row.values.get(split, "")
            raise DataError(f"{table.file}, line {row.line}: {said!r} is no split; there are train, val and test")
        if places.setdefault(inner, place) != place:
            raise DataError(f"{table.file}, line {row.line}: {inner} has the split {places[inner]} already")
    return places
