"""The same part in two splits is found and refused, a doubtful pair is shown; test_likeness says what is the same."""

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.drawn_parts import part, seen_again, write

from edge.errors import DataError
from edge.photographs.photograph import SPLITS, Photograph
from edge.pictures import read_picture
from train.data.leaks import LeakFindings, Leaks, find_leaks, settle_leaks, write_leaks
from train.data.likeness import Limits, near_duplicates
from train.data.photographs import Survey, survey
from train.data.split import Division, LeakPolicy, SplitChoice, divide

TWICE_NUMBERED = {
    ("crack-86828", "crack-85602"),
    ("crack-88149", "crack-85602"),
    ("fray-77531", "break-77583"),
    ("fray-797", "blowhole-853"),
    ("free-743", "blowhole-853"),
    ("free-933", "blowhole-853"),
    ("free-933", "free-964"),
    ("free-116949", "break-116934"),
    ("free-320808", "free-320895"),
    ("free-358102", "free-355636"),
    ("free-37056", "free-37556"),
    ("free-5874", "free-13526"),
    ("free-65001", "free-53011"),
    ("free-309352", "free-306586"),
}
"""Pairs of part numbers in different splits, the earlier split first, that show the same tile; checked by eye."""

BY_ANOTHER = {("free-743", "free-964")}
"""Such a pair that follows from two others, as both show the tile free-933."""

OTHER_TILES = {
    "train/good/free_exp1_num_116949.jpg",
    "train/good/free_exp2_num_116971.jpg",
    "train/good/free_exp3_num_116991.jpg",
    "train/good/free_exp4_num_117012.jpg",
    "train/good/free_exp1_num_37243.jpg",
}
"""Photographs with one of these numbers that show another tile than the others with that number; checked by eye."""


def survey_of(division: Division) -> Survey:
    return survey([p for photographs in division.splits.values() for p in photographs], masks_needed=False)


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """24 parts in three splits; part 0 of train is photographed again in train and in val, part 1 in test."""
    rng = np.random.default_rng(3)
    frames = [part(rng) for _ in range(24)]
    for index, frame in enumerate(frames):
        split = SPLITS[0 if index < 12 else 1 if index < 18 else 2]
        write(tmp_path / "data" / split / "good" / f"part{index:02}.png", frame)
    for split, index in (("train", 0), ("val", 0), ("test", 1)):
        write(tmp_path / "data" / split / "good" / f"again{index}.png", seen_again(rng, frames[index]))
    return tmp_path / "data"


def leaks_of(data: Path) -> tuple[Division, Leaks]:
    division = divide(data, SplitChoice())
    return division, find_leaks(division.splits, survey_of(division).thumbnails)


def test_leak_is_refused_with_a_list_and_a_sheet_and_no_run_folder(leaking: Path, tmp_path: Path) -> None:
    division, leaks = leaks_of(leaking)
    assert len(leaks.within) == 1
    run = tmp_path / "runs" / "one"
    with pytest.raises(DataError, match=r"^3 pairs .* listed in .*one\.leaks\.csv; .*\(--allow-leaks\)$") as refusal:
        settle_leaks(division, leaks, "refuse", run)
    assert "\n" not in str(refusal.value)
    assert not run.exists()
    with (tmp_path / "runs" / "one.leaks.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert {(row["file"], row["other file"]) for row in rows} == {
        ("train/good/part00.png", "val/good/again0.png"),
        ("train/good/again0.png", "val/good/again0.png"),
        ("train/good/part01.png", "test/good/again1.png"),
    }
    assert [float(row["correlation"]) for row in rows] == sorted(float(row["correlation"]) for row in rows)[::-1]
    height, width, _ = read_picture(tmp_path / "runs" / "one.leaks.png").shape
    assert width > height > 200  # two pairs side by side: a photograph is shown once


def test_allowed_leak_is_a_warning_in_the_record(leaking: Path, tmp_path: Path) -> None:
    division, leaks = leaks_of(leaking)
    same, findings = settle_leaks(division, leaks, "allow", tmp_path / "run")
    assert same == division
    assert (findings.pairs_across, findings.pairs_within) == (3, 1)
    assert str(findings) == findings.warning
    assert findings.warning == (
        "3 pairs of photographs in different splits look alike as only the same parts do, so that figures on the later "
        "split are too good: look at run.leaks.png"
    )


@pytest.mark.parametrize("policy", ["refuse", "allow"])
def test_a_pair_that_is_not_certain_is_never_refused_and_only_to_be_looked_at(
    leaking: Path, tmp_path: Path, policy: LeakPolicy
) -> None:
    division, leaks = leaks_of(leaking)
    doubtful = Leaks([replace(leaks.across[0], is_certain=False)], [], Limits(alike=1.0, certain=2.0, expected=0.9))
    same, findings = settle_leaks(division, doubtful, policy, tmp_path / "run")
    assert same == division
    assert findings.warning is None
    assert str(findings) == findings.remark
    assert findings.remark == (
        "1 pair of photographs in different splits look alike: look at run.leaks.png and decide whether they show the "
        "same parts; different parts of this product give about 0.9 such pairs by chance"
    )
    with (tmp_path / "run.leaks.csv").open() as lines:
        assert [row["certain"] for row in csv.DictReader(lines)] == ["no"]
    assert (tmp_path / "run.leaks.png").is_file()


def test_a_certain_pair_is_refused_and_told_from_doubtful_ones(leaking: Path, tmp_path: Path) -> None:
    division, leaks = leaks_of(leaking)
    first, *others = leaks.across
    mixed = replace(leaks, across=[first, *(replace(pair, is_certain=False) for pair in others)])
    with pytest.raises(DataError, match=r"^1 pair of photographs"):
        settle_leaks(division, mixed, "refuse", tmp_path / "run")
    warning = settle_leaks(division, mixed, "allow", tmp_path / "run")[1].warning
    assert warning is not None
    assert warning.startswith("1 pair ")
    mended, findings = settle_leaks(division, mixed, "drop", tmp_path / "run")
    assert findings.left_out == 3
    assert find_leaks(mended.splits, survey_of(mended).thumbnails).across == []


def test_a_record_from_before_certainty_is_read() -> None:
    old = LeakFindings.model_validate({"pairs_across": 2, "pairs_within": 0, "warning": "2 pairs look alike"})
    assert str(old) == "2 pairs look alike"
    assert (old.remark, old.limits) == (None, None)


def test_dropped_leak_leaves_the_later_split_as_it_is(leaking: Path, tmp_path: Path) -> None:
    division, leaks = leaks_of(leaking)
    mended, findings = settle_leaks(division, leaks, "drop", tmp_path / "run")
    out = ["train/good/again0.png", "train/good/part00.png", "train/good/part01.png"]
    assert sorted(photograph.name for photograph in mended.unused) == out
    assert (mended.splits["val"], mended.splits["test"]) == (division.splits["val"], division.splits["test"])
    assert (findings.left_out, findings.warning) == (3, None)
    assert find_leaks(mended.splits, survey_of(mended).thumbnails).across == []


def test_without_leaks_nothing_is_written(leaking: Path, tmp_path: Path) -> None:
    division, _ = leaks_of(leaking)
    train = replace(division, splits={"train": division.splits["train"], "val": [], "test": []})
    leaks = find_leaks(train.splits, survey_of(train).thumbnails)
    assert settle_leaks(train, leaks, "refuse", tmp_path / "run")[1].pairs_within == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_long_list_of_leaks_still_gives_a_small_sheet(leaking: Path, tmp_path: Path) -> None:
    _, leaks = leaks_of(leaking)
    many = [replace(leaks.across[0], second=replace(leaks.across[0].second, name=f"{i}.png")) for i in range(400)]
    table, sheet = write_leaks(Leaks(many, []), tmp_path / "run")
    assert len(table.read_text().splitlines()) == 401
    assert read_picture(sheet).shape[0] < 400


@cache
def tiles_by_part(tiles: Path) -> tuple[Division, Leaks]:
    division = divide(tiles, SplitChoice())
    return division, find_leaks(division.splits, survey_of(division).thumbnails)


@cache
def tiles_at_random(tiles: Path) -> tuple[list[tuple[Photograph, str]], Survey]:
    """A third of the tiles' photographs, all of each tile, in splits at random by file."""
    division = divide(tiles, SplitChoice("(.+)"))
    names = sorted({p.details["part"] for photographs in division.splits.values() for p in photographs})
    splits = {
        split: [p for p in photographs if p.details["part"] in names[::3]]
        for split, photographs in division.splits.items()
    }
    placed = [(photograph, split) for split, photographs in splits.items() for photograph in photographs]
    return placed, survey_of(replace(division, splits=splits))


def numbers(leaks: Leaks) -> list[tuple[str, str]]:
    return [(pair.first.details["part"], pair.second.details["part"]) for pair in leaks.across]


@pytest.mark.parametrize("knows_parts", [True, False])
def test_magnetic_tiles_split_at_random_by_file_leak_whether_part_numbers_are_known_or_not(
    tiles: Path, knows_parts: bool
) -> None:
    placed, surveyed = tiles_at_random(tiles)
    parts = [photograph.details["part"] for photograph, _ in placed]
    pictures, splits = [surveyed.thumbnails[p.name] for p, _ in placed], [split for _, split in placed]
    found, limits = near_duplicates(pictures, splits, parts if knows_parts else None)
    assert (limits.expected is not None) == knows_parts
    across = [pair for pair in found if splits[pair.first] != splits[pair.second]]
    assert sum(pair.is_certain for pair in across) > 0.5 * len(placed)
    assert sum(parts[pair.first] == parts[pair.second] for pair in across) > 0.9 * len(across)


def test_magnetic_tiles_split_by_part_leak_only_where_one_tile_has_two_numbers(tiles: Path) -> None:
    _, leaks = tiles_by_part(tiles)
    assert TWICE_NUMBERED <= set(numbers(leaks)) <= TWICE_NUMBERED | BY_ANOTHER
    assert len(leaks.certain) > 50
    assert leaks.limits is not None
    assert leaks.limits.expected is not None
    assert leaks.limits.expected < 0.1


def test_magnetic_tiles_without_leaks_keep_the_test_split_and_no_tile_that_leaked(tiles: Path, tmp_path: Path) -> None:
    division, leaks = tiles_by_part(tiles)
    mended, _ = settle_leaks(division, leaks, "drop", tmp_path / "run")
    kept = {p.name for photographs in mended.splits.values() for p in photographs}
    assert not [pair for pair in leaks.across if {pair.first.name, pair.second.name} <= kept]
    assert mended.splits["test"] == division.splits["test"]
    leaked = {earlier for earlier, _ in TWICE_NUMBERED}
    learnt = mended.splits["train"] + mended.splits["val"]
    assert {p.name for p in learnt if p.details["part"] in leaked} == OTHER_TILES


@pytest.mark.parametrize("kind", ["mono", "poly"])
def test_solar_cells_of_one_design_are_not_taken_for_the_same(tiles: Path, kind: str) -> None:
    cells = tiles.parent / "solar-cell" / kind
    if not cells.is_dir():
        pytest.skip(f"the photographs of solar cells are not at {cells}")
    division = divide(cells, SplitChoice())
    leaks = find_leaks(division.splits, survey_of(division).thumbnails)
    assert len(leaks.across) <= 3
    assert leaks.certain == []
