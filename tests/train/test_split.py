"""No group is in two splits, and a recorded split is read back unchanged."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_parts import write

from edge.errors import DataError
from edge.photographs.groups import SHARES, assign_groups
from edge.photographs.photograph import SPLITS
from train.data.split import Division, SplitChoice, divide, read_split, write_split

GREY = np.full((8, 8, 3), 90, np.uint8)
MakeData = Callable[..., Path]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """30 good and 20 bad parts of two kinds, three photographs each, in good/ and bad/ without a split."""
    data = tmp_path / "data"
    rows = ["file,defect,part"]
    for part in range(50):
        label, defect = ("good", "") if part < 30 else ("bad", "crack" if part < 40 else "hole")
        for light in range(3):
            name = f"{label}/p{part:02}_light{light}.png"
            write(data / name, GREY)
            rows.append(f"{name},{defect},part-{part}")
    (data / "parts.csv").write_text("\n".join(rows) + "\n")
    return data


def names(division: Division) -> dict[str, list[str]]:
    return {split: [photograph.name for photograph in photographs] for split, photographs in division.splits.items()}


@given(
    photographs=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["good", "crack", "hole"])), min_size=1),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
def test_no_group_stands_in_two_splits_and_the_order_does_not_matter(
    photographs: list[tuple[int, str]], seed: int, order: object
) -> None:
    groups, strata = [str(group) for group, _ in photographs], [stratum for _, stratum in photographs]
    assigned = assign_groups(groups, strata, SHARES, seed)
    assert set(assigned) == set(groups)
    assert set(assigned.values()) <= set(SPLITS)
    order.shuffle(photographs)  # type: ignore[attr-defined]
    again = assign_groups([str(group) for group, _ in photographs], [s for _, s in photographs], SHARES, seed)
    assert again == assigned


@given(count=st.integers(3, 60), size=st.integers(1, 6), seed=st.integers(0, 3))
def test_every_split_gets_its_share_to_within_a_group(count: int, size: int, seed: int) -> None:
    groups = [str(group) for group in range(count) for _ in range(size)]
    held = Counter(assign_groups(groups, ["good"] * len(groups), SHARES, seed).values())
    for split, share in SHARES.items():
        assert held[split] >= 1
        assert abs(held[split] - share * count) <= 1


@pytest.mark.parametrize("group_by", ["part", r"/p(\d+)_"])
def test_groups_by_column_or_pattern_are_stratified_by_defect(parts: Path, group_by: str) -> None:
    division = divide(parts, SplitChoice(group_by))
    where: dict[str, set[str]] = {}
    for split, photographs in division.splits.items():
        for photograph in photographs:
            where.setdefault(photograph.details["part"], set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())
    held = {s: Counter(p.defect or p.label for p in photographs) for s, photographs in division.splits.items()}
    assert held == {
        "train": {"good": 54, "crack": 18, "hole": 18},
        "val": {"good": 18, "crack": 6, "hole": 6},
        "test": {"good": 18, "crack": 6, "hole": 6},
    }
    assert names(divide(parts, SplitChoice(group_by))) == names(division)
    assert names(divide(parts, SplitChoice(group_by, seed=1))) != names(division)


def test_photographs_without_a_split_are_split_by_part_if_each_has_one(parts: Path) -> None:
    assert divide(parts, SplitChoice()) == divide(parts, SplitChoice("part"))
    table = parts / "parts.csv"
    table.write_text(table.read_text().replace("part-7\n", "\n", 1))
    division = divide(parts, SplitChoice())
    assert division.said.startswith("each photograph by itself, seed 0; --group-by")
    held = {s: Counter(p.defect or p.label for p in photographs) for s, photographs in division.splits.items()}
    assert held["val"] == held["test"] == {"good": 18, "crack": 6, "hole": 6}
    assert names(divide(parts, SplitChoice())) == names(division)
    assert names(divide(parts, SplitChoice(seed=1))) != names(division)
    assert division.groups == {}


def test_layout_that_trains_apart_keeps_its_training_photographs(tmp_path: Path) -> None:
    for index in range(8):
        write(tmp_path / f"train/good/{index}.png", GREY)
        write(tmp_path / f"test/good/{index}.png", GREY)
        write(tmp_path / f"test/crack/{index}.png", GREY)
    held = names(divide(tmp_path, SplitChoice("(.+)")))
    unasked = divide(tmp_path, SplitChoice())
    assert names(unasked) == held
    assert unasked.said == (
        "each photograph by itself, seed 0, train/ as it is; --group-by COLUMN|REGEX keeps photographs of one part "
        "together"
    )
    assert held["train"] == [f"train/good/{index}.png" for index in range(8)]
    for split in ("val", "test"):
        assert Counter(name.split("/")[1] for name in held[split]) == {"good": 4, "crack": 4}
    with pytest.raises(DataError, match=r"group '\d' stands in train and in (val|test)"):
        divide(tmp_path, SplitChoice(r"/(\d)\.png"))


def test_split_is_written_and_read_again(parts: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    division = divide(parts, SplitChoice("part"))
    left_out = division.splits["train"][:2]
    division = replace(division, splits={**division.splits, "train": division.splits["train"][2:]}, unused=left_out)
    write_split(file, division)
    again = read_split(parts, file)
    assert again.splits == division.splits
    assert (again.groups, again.unused) == (division.groups, left_out)
    assert names(divide(parts, SplitChoice(file=file))) == names(division)
    write_split(file, division)
    with pytest.raises(DataError, match="says another split"):
        write_split(file, divide(parts, SplitChoice("part", seed=1)))


def test_hand_written_split_needs_two_columns(make_data: MakeData, tmp_path: Path) -> None:
    data = make_data(train=(3, 0))
    file = tmp_path / "mine.csv"
    file.write_text(
        "split,file\ntrain,train/good/part00.png\ntest,train/good/part01.png\nunused,train/good/part02.png\n"
    )
    assert names(divide(data, SplitChoice(file=file))) == {
        "train": ["train/good/part00.png"],
        "val": [],
        "test": ["train/good/part01.png"],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,split\n", r"has no column 'file'; a split file has file, split"),
        ("file,split\ntrain/good/part00.png,train\n", r"says nothing of 1 photograph, the first train/good/part01"),
        ("file,split\ntrain/good/part00.png,dev\n", r"has split 'dev'; there are train, val, test, unused"),
        ("file,split\na.png,train\na.png,val\n", r"names a\.png twice"),
        ("file,split\na.png,train\n", r"names 1 photograph that is not in the data, the first a\.png"),
        (
            "file,split,label\ntrain/good/part00.png,train,bad\ntrain/good/part01.png,val,good\n",
            r"calls train/good/part00\.png 'bad', its folder 'good'",
        ),
        (
            "file,split,group\ntrain/good/part00.png,train,g\ntrain/good/part01.png,val,g\n",
            r"group 'g' stands in train and in val",
        ),
    ],
)
def test_wrong_split_file_is_one_line(make_data: MakeData, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "split.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=message) as refusal:
        divide(make_data(train=(2, 0)), SplitChoice(file=file))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            SplitChoice("lot"),
            r"lot is no column \(parts\.csv has part\) and, as a regular expression, has no \(group\)",
        ),
        (SplitChoice("p(7"), r"no regular expression"),
        (SplitChoice("p(4.)"), r"gives no group to 120 photographs, the first bad/p30_light0\.png"),
        (SplitChoice(r"(good|bad)/"), r"makes 2 groups; 3 splits need as many"),
        (SplitChoice("part", file=Path("split.csv")), r"give one of them"),
        (SplitChoice(file=Path("nowhere.csv")), r"nowhere\.csv cannot be read: No such file"),
    ],
)
def test_wrong_grouping_is_one_line(parts: Path, choice: SplitChoice, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        divide(parts, choice)
    assert "\n" not in str(refusal.value)


def test_groups_of_a_pattern_are_parts_and_those_of_a_column_are_not(parts: Path, tmp_path: Path) -> None:
    """--group-by REGEX says which part a photograph shows; a column such as the lot says something else."""
    table = [line.split(",") for line in (parts / "parts.csv").read_text().splitlines()]
    lots = [[name, defect, f"lot-{int(part.split('-')[1]) // 5}"] for name, defect, part in table[1:]]
    for head, pattern, rows in (("lot", r"(p\d+)_", lots), ("lot", "lot", lots)):
        lines = [f"file,defect,{head}", *map(",".join, rows)]
        (parts / "parts.csv").write_text("\n".join(lines) + "\n")
        division = divide(parts, SplitChoice(pattern))
        photographs = [photograph for split in division.splits.values() for photograph in split]
        names_of_parts = {photograph.details.get("part") for photograph in photographs}
        assert names_of_parts == ({None} if pattern == "lot" else {f"p{part:02}" for part in range(50)})
        file = tmp_path / f"{len(names_of_parts)}.csv"
        write_split(file, division)
        assert read_split(parts, file).splits == division.splits


def test_parts_that_are_known_stay_whatever_the_groups(parts: Path) -> None:
    division = divide(parts, SplitChoice(r"(p\d)\d_"))
    assert all(photograph.details["part"].startswith("part-") for photograph in division.splits["train"])
    for photograph in divide(parts, SplitChoice(r"(.+)")).splits["val"]:
        assert photograph.details["part"].startswith("part-")
