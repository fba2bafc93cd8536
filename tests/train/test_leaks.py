"""The same part in two splits is found and refused; different parts are not confused, however similar they are."""

import csv
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from support.drawn_parts import part, seen_again, write

from edge.demo.line import DemoLine
from edge.errors import DataError
from edge.photographs.photograph import SPLITS
from edge.pictures import read_picture
from train.data.leaks import Leaks, find_leaks, settle_leaks, write_leaks
from train.data.likeness import SIDE, appearances, correlation, near_duplicates, thumbnail
from train.data.photographs import Survey, survey
from train.data.split import Division, SplitChoice, divide

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
}
"""Pairs of part numbers in different splits, the earlier split first, that show the same tile; checked by eye."""

OTHER_TILES = {
    "train/good/free_exp1_num_116949.jpg",
    "train/good/free_exp2_num_116971.jpg",
    "train/good/free_exp3_num_116991.jpg",
    "train/good/free_exp4_num_117012.jpg",
    "train/good/free_exp1_num_37243.jpg",
}
"""Photographs with one of these numbers that show another tile than the others with that number; checked by eye."""


def pairs(frames: Sequence[np.ndarray]) -> set[tuple[int, int]]:
    return {(a, b) for a, b, _ in near_duplicates(np.stack([thumbnail(frame) for frame in frames]))}


def survey_of(division: Division) -> Survey:
    return survey([p for photographs in division.splits.values() for p in photographs], masks_needed=False)


def test_part_seen_again_in_other_light_is_found_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    frames = [part(rng) for _ in range(60)]
    again = [seen_again(rng, frame) for frame in frames[:20]]
    assert pairs(frames + again) == {(index, 60 + index) for index in range(20)}


def test_parts_of_one_product_are_not_taken_for_the_same() -> None:
    rng = np.random.default_rng(1)
    print_on_all = part(rng)[..., 0].astype(np.float32)
    frames = [part(rng, print_on_all) for _ in range(60)]
    thumbnails = np.stack([thumbnail(frame) for frame in frames]).reshape(60, -1)
    assert np.corrcoef(thumbnails).min() > 0.9  # too similar to be distinguished by the correlation of pictures
    assert pairs(frames) == set()
    assert pairs([*frames, frames[7]]) == {(7, 60)}


def test_equal_pictures_are_alike_even_if_plain() -> None:
    plain = np.full((SIDE, SIDE), 90, np.uint8)
    assert [pair[:2] for pair in near_duplicates(np.stack([plain, plain]))] == [(0, 1)]
    assert near_duplicates(plain[None]) == []


def test_what_is_the_same_everywhere_is_like_nothing() -> None:
    marked = appearances(np.stack([thumbnail(part(np.random.default_rng(seed))) for seed in range(2)]))[0]
    plain = np.zeros_like(marked)
    assert correlation(marked, plain) == correlation(plain, marked) == 0
    assert correlation(marked, marked) > 0.999


def test_rendered_parts_that_lie_alike_are_not_taken_for_the_same_and_copies_are() -> None:
    line = DemoLine(5, (180, 320), 0.3)
    frames = [line.render(index).frame for index in range(60)]
    seen = appearances(np.stack([thumbnail(frame) for frame in frames]))
    likest = max(correlation(seen[a], seen[b]) for a in range(60) for b in range(a))
    assert likest > 0.8  # more than many photographs of one tile: only the data's own limit separates them
    assert pairs(frames) == set()
    darker = [(frame * 0.9 + 5).clip(0, 255).astype(np.uint8) for frame in frames[:5]]
    assert pairs(frames + darker) == {(index, 60 + index) for index in range(5)}


def test_thousand_photographs_take_seconds() -> None:
    rng = np.random.default_rng(2)
    thumbnails = np.stack([thumbnail(part(rng)) for _ in range(1000)])
    began = time.process_time()
    assert near_duplicates(thumbnails) == []
    assert time.process_time() - began < 10


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
    assert findings.warning is not None
    assert findings.warning == (
        "3 pairs of photographs in different splits look alike; if they show the same parts, figures on the later "
        "split are too good: look at run.leaks.png"
    )


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
def survey_tiles(tiles: Path) -> tuple[Division, Survey]:
    division = divide(tiles, SplitChoice())
    return division, survey_of(division)


def numbers(leaks: Leaks) -> list[tuple[str, str]]:
    return [(pair.first.details["part"], pair.second.details["part"]) for pair in leaks.across]


def test_magnetic_tiles_split_at_random_by_file_leak(tiles: Path) -> None:
    _, surveyed = survey_tiles(tiles)
    random = divide(tiles, SplitChoice("(.+)"))
    leaks = find_leaks(random.splits, surveyed.thumbnails)
    assert len(leaks.across) > 900
    found = numbers(leaks)
    assert sum(one == other for one, other in found) > 0.8 * len(found)


def test_magnetic_tiles_split_by_part_leak_only_where_one_tile_has_two_numbers(tiles: Path) -> None:
    division, surveyed = survey_tiles(tiles)
    began = time.process_time()
    leaks = find_leaks(division.splits, surveyed.thumbnails)
    assert time.process_time() - began < 10
    assert set(numbers(leaks)) == TWICE_NUMBERED


def test_magnetic_tiles_without_leaks_keep_the_test_split_and_no_tile_that_leaked(tiles: Path, tmp_path: Path) -> None:
    division, surveyed = survey_tiles(tiles)
    mended, _ = settle_leaks(division, find_leaks(division.splits, surveyed.thumbnails), "drop", tmp_path / "run")
    assert find_leaks(mended.splits, surveyed.thumbnails).across == []
    assert mended.splits["test"] == division.splits["test"]
    leaked = {earlier for earlier, _ in TWICE_NUMBERED}
    learnt = mended.splits["train"] + mended.splits["val"]
    assert {p.name for p in learnt if p.details["part"] in leaked} == OTHER_TILES
