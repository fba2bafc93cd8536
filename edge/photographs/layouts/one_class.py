"""The one-class layout `train/ proliv/ test/`: good photographs for training, spills, and held-back photographs.

    DATA/train/*      good photographs, to learn from: split train
    DATA/proliv/*     photographs of spilt metal (*proliv* is Russian for a spill): bad, of kind "proliv"
    DATA/test/*       photographs that were held back from training: split test
    DATA/test/*.txt   optional, one file, or DATA/test*.txt: a line for each photograph of test/, its name and 0 (good)
                      or 1 (bad, of kind "proliv")
    DATA/parts.csv    as in the layout good/ bad/ mask/

With the text file, proliv/ serves validation: the split val is proliv/ and `VALIDATION_SHARE` of train/, chosen by a
hash of the names, so that a photograph stays where it is when others are added. Without it, the photographs of test/
are good, those of proliv/ belong to the split test, and there is no validation split. `--group-by` divides proliv/ and
test/ between val and test and leaves train/ unchanged.

Only the photographs directly in these folders count; folders inside them are refused, because their names might
contradict the meaning above. There are no masks.
"""

import re
from dataclasses import replace
from pathlib import Path

from edge.errors import DataError
from edge.photographs.layouts.base import Listed, validating
from edge.photographs.photograph import Parts, Photograph, files, labelled, subfolders
from edge.text import reason_of

NAME = "one-class train/ proliv/ test/"
SHAPE = "train/ proliv/ test/ (proliv/ holds the bad ones) with photographs directly in them"
KIND = "proliv"


def signs(data: Path) -> list[str]:
    """Folders that only this layout has."""
    return ["proliv"] if (data / "proliv").is_dir() else []


def listing(data: Path, rows: Parts) -> Listed:
    """Photographs by split, good first.

    Raises DataError if train/, proliv/ or test/ contains a folder, or if the text file of labels does not give each
    photograph of test/ exactly one label.
    """
    for name in ("train", "proliv", "test"):
        for inner in subfolders(data / name):
            raise DataError(
                f"{data / name / inner} does not belong to the {NAME} layout, where photographs lie directly in "
                f"{name}/: move it out, or rename proliv/ to bad/ and use good/ bad/ mask/"
            )
    texts = label_files(data)
    held_back = [one for one in labelled(data, data / "test", "good", rows) if one.path not in texts]
    if texts:
        held_back = _relabelled(held_back, texts[0])
    spills = labelled(data, data / "proliv", "bad", rows, defect=KIND)
    good = labelled(data, data / "train", "good", rows)
    if not texts:
        return Listed({"train": good, "test": held_back + spills}, trains_apart=True)
    chosen = validating(good)
    splits = {
        "train": [one for one in good if one.name not in chosen],
        "val": [one for one in good if one.name in chosen] + spills,
        "test": held_back,
    }
    return Listed(splits, trains_apart=True, read=frozenset(texts))


def label_files(data: Path) -> list[Path]:
    """The text file that labels the photographs of test/, if any. Raises DataError if there are several."""
    texts = [path for path in files(data / "test") if path.suffix.lower() == ".txt"]
    texts += [path for path in files(data) if path.suffix.lower() == ".txt" and path.name.lower().startswith("test")]
    if len(texts) > 1:
        raise DataError(f"{texts[0]} and {texts[1]} could both label {data / 'test'}: move one of them out")
    return texts


def _relabelled(photographs: list[Photograph], text: Path) -> list[Photograph]:
    """These photographs, good first, with the labels of `text`."""
    labels = _labels(text)
    known = {photograph.path.name for photograph in photographs}
    for name in (name for name in labels if name not in known):
        raise DataError(f"{text} labels {name}, which is not in test/: add the photograph or remove the line")
    for name in (one.path.name for one in photographs if one.path.name not in labels):
        raise DataError(f"{text} does not label {name}: add a line with its name and 0 (good) or 1 (bad)")
    said = [
        replace(one, label="bad", defect=one.defect or KIND) if labels[one.path.name] else one for one in photographs
    ]
    return sorted(said, key=lambda one: one.is_bad)


def _labels(text: Path) -> dict[str, bool]:
    """Whether each photograph is bad, by its name. Raises DataError."""
    try:
        lines = text.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{text} cannot be read: {reason_of(error)}") from None
    labels: dict[str, bool] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"\s*(.*\S)[\s,;]+([01])\s*", line)
        if match is None:
            raise DataError(f"{text}, line {number}: {line.strip()[:60]!r} is no name followed by 0 (good) or 1 (bad)")
        name = re.split(r"[\\/]", match[1].rstrip(",;").strip("\"'"))[-1]
        if name in labels:
            raise DataError(f"{text}, line {number}: {name} has a label already: remove one of the lines")
        labels[name] = match[2] == "1"
    return labels
