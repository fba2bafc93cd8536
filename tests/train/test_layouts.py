"""Detection of a layout of photographs from its files: exact, and with a refusal if it is ambiguous."""

from pathlib import Path

import numpy as np
import pytest
from support.drawn_parts import write

from edge.errors import DataError
from edge.photographs.listing import read_listing
from edge.photographs.photograph import Photograph
from train.data.split import SplitChoice, divide

GREY = np.full((8, 8, 3), 90, np.uint8)


def lay(folder: Path, *names: str) -> Path:
    for name in names:
        write(folder / name, GREY)
    return folder


def told(photographs: list[Photograph]) -> list[tuple[str, str, str | None]]:
    return [(photograph.name, photograph.label, photograph.defect) for photograph in photographs]


def test_good_bad_mask_with_splits(tmp_path: Path) -> None:
    data = lay(tmp_path, "train/good/a.png", "train/bad/b.png", "train/mask/b.png", "test/good/c.png")
    listing = read_listing(data)
    assert told(listing.splits["train"]) == [("train/good/a.png", "good", None), ("train/bad/b.png", "bad", None)]
    assert listing.splits["train"][1].mask == data / "train/mask/b.png"
    assert set(listing.splits) == {"train", "test"}
    assert listing.said == "good/ bad/ mask/: 2 train, 1 test"
    assert not listing.trains_apart


def test_a_layout_without_masks_is_not_said_to_have_them(tmp_path: Path) -> None:
    assert read_listing(lay(tmp_path / "none", "good/a.png", "bad/b.png")).said == "good/ bad/: 2 in no split"
    data = lay(tmp_path / "one", "good/a.png", "bad/b.png", "bad/c.png", "mask/c.png")
    assert read_listing(data).said == "good/ bad/ mask/: 3 in no split"


def test_folders_below_that_have_a_layout_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "mono/good/a.png", "notes/b.png")
    with pytest.raises(DataError) as refusal:
        read_listing(tmp_path)
    assert str(refusal.value).endswith(
        f"no photographs in a layout known here, but {tmp_path}/mono does: give that one"
    )
    lay(tmp_path, "poly/train/good/a.png", "poly/val/bad/b.png")
    with pytest.raises(DataError, match=rf"but {tmp_path}/mono and {tmp_path}/poly do: give one of them"):
        read_listing(tmp_path)
    lay(tmp_path, "thin/good/a.png", "wide/good/a.png")
    with pytest.raises(DataError, match=rf"{tmp_path}/poly, {tmp_path}/thin and 1 more do: give one of them"):
        read_listing(tmp_path)


def test_good_bad_mask_without_splits(tmp_path: Path) -> None:
    data = lay(tmp_path, "good/a.png", "bad/b.png", "mask/b.png")
    listing = read_listing(data)
    assert told(listing.splits[""]) == [("good/a.png", "good", None), ("bad/b.png", "bad", None)]
    assert listing.splits[""][1].mask == data / "mask/b.png"


def test_one_class_learns_from_train_and_holds_back_test_and_proliv(tmp_path: Path) -> None:
    data = lay(tmp_path, "train/a.png", "proliv/b.png", "test/c.png")
    listing = read_listing(data)
    assert told(listing.splits["train"]) == [("train/a.png", "good", None)]
    assert told(listing.splits["test"]) == [("test/c.png", "good", None), ("proliv/b.png", "bad", "proliv")]
    assert listing.trains_apart


def test_one_class_with_labels_validates_on_proliv_and_a_fifth_of_train(tmp_path: Path) -> None:
    goods = [f"train/{index:04}.png" for index in range(400)]
    data = lay(tmp_path, *goods, "proliv/b.png", "test/c.png", "test/d.png")
    (data / "test.txt").write_text("c.png 0\nd.png 1\n")
    splits = read_listing(data).splits
    learnt, validating = ([one.name for one in splits[split] if not one.is_bad] for split in ("train", "val"))
    assert sorted(learnt + validating) == goods
    assert 60 < len(validating) < 100  # a fifth of these names is 80
    assert told([one for one in splits["val"] if one.is_bad]) == [("proliv/b.png", "bad", "proliv")]
    assert told(splits["test"]) == [("test/c.png", "good", None), ("test/d.png", "bad", "proliv")]
    lay(data, *(f"train/more{index}.png" for index in range(50)))
    again = read_listing(data).splits
    assert set(validating) <= {one.name for one in again["val"]}, "photographs stay where they were"
    assert set(learnt) <= {one.name for one in again["train"]}


def test_one_class_with_labels_has_a_good_validation_photograph_from_two_on(tmp_path: Path) -> None:
    data = lay(tmp_path, "train/a.png", "proliv/b.png", "test/c.png")
    (data / "test.txt").write_text("c.png 0\n")
    assert [one.name for one in read_listing(data).splits["train"]] == ["train/a.png"]
    lay(data, "train/e.png")
    assert [len(read_listing(data).splits[split]) for split in ("train", "val", "test")] == [1, 2, 1]


def test_one_class_with_labels_and_groups_keeps_all_of_train(tmp_path: Path) -> None:
    data = lay(tmp_path, *(f"train/{index}.png" for index in range(20)), "proliv/b.png", "test/c.png", "test/d.png")
    (data / "test.txt").write_text("c.png 0\nd.png 1\n")
    splits = divide(data, SplitChoice("(.+)")).splits
    assert [one.name for one in splits["train"]] == sorted(f"train/{index}.png" for index in range(20))
    assert sorted(one.name for split in ("val", "test") for one in splits[split]) == [
        "proliv/b.png", "test/c.png", "test/d.png",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["", "train/"])
def test_masks_may_lie_in_a_folder_called_masks(place: str, tmp_path: Path) -> None:
    data = lay(tmp_path, *(f"{place}{name}" for name in ("good/a.png", "bad/b.png", "masks/b.png")))
    (photographs,) = read_listing(data).splits.values()
    assert [one.mask for one in photographs] == [None, data / f"{place}masks/b.png"]
    lay(data, f"{place}mask/b.png")
    with pytest.raises(DataError, match=r"mask and .*masks both hold masks: move all masks into one of them"):
        read_listing(data)


def test_mvtec_takes_defects_from_folders_and_masks_from_ground_truth(tmp_path: Path) -> None:
    data = lay(
        tmp_path,
        *("train/good/000.png", "test/good/000.png", "test/crack/000.png", "test/hole/000.png"),
        *("ground_truth/crack/000_mask.png", "ground_truth/hole/000_mask.png"),
    )
    listing = read_listing(data)
    assert told(listing.splits["train"]) == [("train/good/000.png", "good", None)]
    assert told(listing.splits["test"]) == [
        ("test/good/000.png", "good", None),
        ("test/crack/000.png", "bad", "crack"),
        ("test/hole/000.png", "bad", "hole"),
    ]
    crack, hole = listing.splits["test"][1:]
    assert crack.mask == data / "ground_truth/crack/000_mask.png"
    assert hole.mask == data / "ground_truth/hole/000_mask.png"


def test_a_defect_that_is_called_bad_is_still_mvtec(tmp_path: Path) -> None:
    data = lay(tmp_path, "train/good/0.png", "test/good/0.png", "test/bad/0.png", "ground_truth/bad/0_mask.png")
    assert told(read_listing(data).splits["test"])[1] == ("test/bad/0.png", "bad", "bad")


def test_parts_csv_goes_before_the_folder(tmp_path: Path) -> None:
    data = lay(tmp_path, "train/good/0.png", "test/crack/0.png")
    (data / "parts.csv").write_text("file,defect,part\ntest/crack/0.png,hairline crack,p7\n")
    (photograph,) = read_listing(data).splits["test"]
    assert (photograph.defect, photograph.details) == ("hairline crack", {"part": "p7"})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/bad/a.png", "proliv/b.png"], r"in 2 layouts at once, by train/bad/ \(good/.* and proliv/ \(one-class"),
        (["val/good/a.png", "ground_truth/x/b_mask.png"], r"in 2 layouts at once.*move out"),
        (["good/a.png", "train/good/b.png"], r"holds both good/ and train/"),
        (["train/good/a.png", "train/scratch/b.png"], r"train/scratch is no part of the layout"),
        (["train/a.png", "proliv/b.png", "train/odd/c.png"], r"train/odd does not belong to the one-class"),
        (["train/good/a.png", "train/crack/a.png", "test/crack/b.png"], r"train/crack does not belong to the MVTec"),
        (["train/good/a.png", "test/good/b.png", "ground_truth/x/c_mask.png"], r"ground_truth/x does not belong"),
        (["photos/a.png"], r"in no layout known here, which are good/ bad/ mask/.*; train/ proliv/ test/"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused_in_one_line(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        read_listing(lay(tmp_path, *names))
    assert "\n" not in str(refusal.value)


def test_folders_in_bad_name_the_kind_and_their_masks_lie_beside_or_apart(tmp_path: Path) -> None:
    names = ["good/a.png", "bad/scratch/b.png", "bad/hole/b.png", "mask/scratch/b.png", "mask/b.png"]
    data = lay(tmp_path, *names)
    bad = [one for one in read_listing(data).splits[""] if one.is_bad]
    assert told(bad) == [("bad/hole/b.png", "bad", "hole"), ("bad/scratch/b.png", "bad", "scratch")]
    assert [one.mask for one in bad] == [data / "mask/b.png", data / "mask/scratch/b.png"]


def test_a_folder_in_good_is_refused_by_name(tmp_path: Path) -> None:
    data = lay(tmp_path, "good/a.png", "good/more/c.png")
    with pytest.raises(DataError, match="good/more is no part of the layout"):
        read_listing(data)
