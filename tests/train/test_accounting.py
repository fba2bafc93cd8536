"""Every file in a data folder is used, listed by name as unused, or refused with the remedy."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.drawn_parts import write

import train.cli
from edge.errors import DataError
from edge.photographs.listing import read_listing
from edge.photographs.survey import survey

MakeData = Callable[..., Path]


def lay(folder: Path, *names: str) -> Path:
    """Write different pictures with these names; masks mark a box."""
    for index, name in enumerate(names):
        picture = np.random.default_rng(index).integers(0, 255, (32, 40, 3), np.uint8)
        if {"mask", "ground_truth"} & {*Path(name).parts}:
            picture = np.zeros((32, 40), np.uint8)
            picture[8:16, 8:20] = 255
        write(folder / name, picture)
    return folder


GOOD_BAD = ("train/good/a.png", "train/bad/b.png", "train/mask/b.png", "val/good/c.png")
NO_SPLIT = ("good/a.png", "bad/b.png", "mask/b.png")
ONE_CLASS = ("train/a.png", "proliv/b.png", "test/c.png", "test/d.png")
MVTEC = ("train/good/0.png", "test/good/1.png", "test/crack/2.png", "ground_truth/crack/2_mask.png")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((*NO_SPLIT, "loose.jpg"), r"1 picture has no label in the layout good/ bad/ mask/ \(loose\.jpg\): move"),
        ((*GOOD_BAD, "train/loose.png"), r"1 picture has no label .*\(train/loose\.png\)"),
        ((*GOOD_BAD, "holdout/1.png", "holdout/good/2.png"), r"2 pictures have no label .*\(holdout/1\.png, holdout/g"),
        ((*NO_SPLIT, "bad/a/b/1.png"), r"bad/a/b is no part of the layout"),
        ((*NO_SPLIT, "overlays/b.png"), r"1 picture has no label .*\(overlays/b\.png\)"),
        ((*NO_SPLIT, "mask/other.png"), r"1 mask has no photograph of the same name \(mask/other\.png\)"),
        ((*NO_SPLIT, "mask/b_mask.png"), r"1 mask has no photograph of the same name"),
        ((*NO_SPLIT, "mask/scratch/b.png"), r"1 mask has no photograph of the same name"),
        ((*NO_SPLIT, "mask/b.bmp"), r"mask/b\.bmp and b\.png are both the mask of one photograph: remove one"),
        ((*NO_SPLIT, "bad/b.jpg"), r"mask/b\.png would be the mask of both bad/b\.jpg and bad/b\.png: rename one"),
        ((*NO_SPLIT, "bad/x/b.png"), r"mask/b\.png would be the mask of both bad/b\.png and bad/x/b\.png"),
        (("GOOD/a.png", "BAD/b.png"), r"BAD is not read under this name: rename it to bad"),
        ((*GOOD_BAD, "Test/good/1.png"), r"Test is not read under this name: rename it to test"),
        ((*GOOD_BAD, "test/Good/1.png"), r"test/Good is not read under this name: rename it to good"),
        ((*ONE_CLASS, "loose.png"), r"1 picture has no label in the layout one-class .*\(loose\.png\)"),
        ((*ONE_CLASS, "val/1.png"), r"1 picture has no label in the layout one-class .*\(val/1\.png\)"),
        ((*MVTEC, "test/loose.png"), r"1 picture has no label in the layout MVTec"),
        ((*MVTEC, "test/GOOD/1.png"), r"test/GOOD is not read under this name: rename it to good"),
        ((*MVTEC, "test/crack/deep/1.png"), r"test/crack/deep does not belong to the MVTec layout"),
        ((*MVTEC, "ground_truth/crack/2.png"), r"2\.png and 2_mask\.png are both the mask of one photograph"),
        ((*MVTEC, "ground_truth/crack/7_mask.png"), r"1 mask has no photograph of the same name"),
    ],
)
def test_what_has_no_label_or_two_meanings_is_refused_by_name(
    names: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        read_listing(lay(tmp_path, *names))
    assert "\n" not in str(refusal.value)


def test_a_link_that_leads_nowhere_is_refused_by_name(tmp_path: Path) -> None:
    (lay(tmp_path, *NO_SPLIT) / "good" / "gone.png").symlink_to("/nowhere/gone.png")
    with pytest.raises(DataError, match=r"good/gone\.png leads nowhere: mend or remove it"):
        read_listing(tmp_path)


def test_links_that_lead_round_in_a_circle_end(tmp_path: Path) -> None:
    (lay(tmp_path, *NO_SPLIT) / "notes").mkdir()
    (tmp_path / "notes" / "again").symlink_to(tmp_path)
    assert len(read_listing(tmp_path).photographs) == 2


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    data = lay(tmp_path, *NO_SPLIT)
    for name in ("good/._a.png", ".DS_Store", "bad/Thumbs.db"):
        (data / name).write_bytes(b"\0")
    (data / "README.md").write_text("mine\n")
    (data / "run").mkdir()
    (data / "run" / "run.json").write_text("{}")
    lay(data, "run/augmentation.png", "run.leaks.png", ".cache/x.png")
    said = {one.what: (one.count, one.first) for one in read_listing(data).left_out}
    assert said == {
        "hidden files": (4, [".cache", ".DS_Store", "bad/Thumbs.db"]),
        "runs and bundles of this program": (2, ["run", "run.leaks.png"]),
        "files that are no pictures": (1, ["README.md"]),
    }


def test_rows_of_parts_csv_are_found_by_backslash_and_other_case(tmp_path: Path) -> None:
    data = lay(tmp_path, *NO_SPLIT)
    (data / "parts.csv").write_text("file,defect,part\ngood\\a.png,,p1\n./BAD/B.PNG,scratch,p2\nbad/gone.png,x,p3\n")
    listing = read_listing(data)
    assert [(one.defect, one.details["part"]) for one in listing.photographs] == [(None, "p1"), ("scratch", "p2")]
    assert [str(one) for one in listing.left_out] == ["rows of parts.csv that name no photograph: 1 (bad/gone.png)"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["good/a.png,x", "good\\a.png,y"], r"parts\.csv names good/a\.png twice: remove one of the rows"),
        (["a.png,x", "b.png,y"], r"none of its 2 rows names a photograph, the first 'a\.png': .*, such as good/a\.png"),
    ],
)
def test_a_parts_csv_that_contradicts_itself_or_fits_nothing_is_refused(
    rows: list[str], message: str, tmp_path: Path
) -> None:
    (lay(tmp_path, *NO_SPLIT) / "parts.csv").write_text("\n".join(["file,part", *rows]) + "\n")
    with pytest.raises(DataError, match=message):
        read_listing(tmp_path)


def test_photographs_that_parts_csv_does_not_name_are_counted(tmp_path: Path) -> None:
    (lay(tmp_path, *NO_SPLIT) / "parts.csv").write_text("file,part\ngood/a.png,p\n")
    assert [str(one) for one in read_listing(tmp_path).left_out] == [
        "photographs that parts.csv does not name: 1 (bad/b.png)"
    ]


@pytest.mark.parametrize(("names", "mask"), [(NO_SPLIT, "mask/a.png"), (MVTEC, "ground_truth/good/1_mask.png")])
def test_the_mask_of_a_good_photograph_marks_nothing_or_is_refused(
    names: tuple[str, ...], mask: str, tmp_path: Path
) -> None:
    data = lay(tmp_path, *names)
    write(data / mask, np.zeros((32, 40), np.uint8))
    found = survey(read_listing(data).photographs)
    assert found.empty_masks == []
    lay(data, mask)
    with pytest.raises(DataError, match=r"labelled good, and its mask .* marks a defect: move the photograph to bad/"):
        survey(read_listing(data).photographs)


def test_one_picture_under_both_labels_is_refused_though_its_bytes_differ(tmp_path: Path) -> None:
    data = lay(tmp_path, "good/a.png", "good/c.png", "bad/b.png")
    same = cv2.imread(str(data / "good" / "a.png"))
    write(data / "bad" / "b.bmp", same)
    with pytest.raises(DataError, match=r"^1 picture has both labels \(good/a\.png and bad/b\.bmp\): remove the one"):
        survey(read_listing(data).photographs)
    (data / "bad" / "b.bmp").unlink()
    write(data / "good" / "copy.bmp", same)
    remarks = survey(read_listing(data).photographs).record({"": read_listing(data).photographs}).remarks
    assert [str(one) for one in remarks] == ["photographs are copies of others: 1 (good/copy.bmp)"]


@pytest.mark.parametrize("shape", [(15, 40), (40, 8193)])
def test_a_size_that_the_line_refuses_is_refused_before_training(shape: tuple[int, int], tmp_path: Path) -> None:
    write(lay(tmp_path, *NO_SPLIT) / "good" / "odd.png", np.zeros((*shape, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"^1 of 3 .*good/odd\.png: has \d+×\d+ pixels; a frame has at (least 16|most 8192) a side"
    ):
        survey(read_listing(tmp_path).photographs)


@pytest.mark.parametrize("suffix", [".ppm", ".jp2"])
def test_a_format_that_the_line_does_not_read_is_refused_before_training(suffix: str, tmp_path: Path) -> None:
    lay(tmp_path, *NO_SPLIT, f"good/odd{suffix}")
    with pytest.raises(DataError, match=rf"^1 of 3 .*good/odd\{suffix}: its name ends with none of \.bmp"):
        survey(read_listing(tmp_path).photographs)


def test_a_mask_that_was_turned_is_refused_by_name(tmp_path: Path) -> None:
    write(lay(tmp_path, *NO_SPLIT) / "mask" / "b.png", np.eye(40, 32, dtype=np.uint8) * 255)
    with pytest.raises(DataError, match=r"bad/b\.png \(mask is 32×40, photograph 40×32; one of them is turned\)"):
        survey(read_listing(tmp_path).photographs)


@pytest.mark.parametrize("place", ["test/labels.txt", "test.txt", "test_labels.txt"])
@pytest.mark.parametrize("lines", ["c.png 0\nd.png 1\n", "test/c.png,0\r\n\r\ntest\\d.png,1\r\n", "d.png\t1\nc.png;0"])
def test_a_text_file_labels_the_test_part_of_the_one_class_layout(place: str, lines: str, tmp_path: Path) -> None:
    (lay(tmp_path, *ONE_CLASS) / place).write_text(lines)
    listing = read_listing(tmp_path)
    assert [(one.name, one.label, one.defect) for one in listing.splits["test"]] == [
        ("test/c.png", "good", None),
        ("test/d.png", "bad", "proliv"),
    ]
    assert [(one.name, one.label, one.defect) for one in listing.splits["val"]] == [("proliv/b.png", "bad", "proliv")]
    assert listing.left_out == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("c.png 0\n", r"labels\.txt does not label d\.png: add a line"),
        ("c.png 0\nd.png 1\ne.png 0\n", r"labels\.txt labels e\.png, which is not in test/"),
        ("c.png 0\nd.png 1\nc.png 1\n", r"labels\.txt, line 3: c\.png has a label already"),
        ("c.png 0\nd.png bad\n", r"labels\.txt, line 2: 'd\.png bad' is no name followed by 0 \(good\) or 1 \(bad\)"),
    ],
)
def test_a_text_file_that_does_not_label_each_once_is_refused(lines: str, message: str, tmp_path: Path) -> None:
    (lay(tmp_path, *ONE_CLASS) / "test" / "labels.txt").write_text(lines)
    with pytest.raises(DataError, match=message):
        read_listing(tmp_path)


def test_the_survey_is_printed_before_the_first_epoch_and_kept_in_the_run(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def edge_train(*arguments: object) -> tuple[int | str, str]:
        """Exit code and standard error."""
        monkeypatch.setattr(sys, "argv", ["edge-train", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            train.cli.main()
        return left.value.code or 0, capfd.readouterr().err

    data, out = make_data(train=(8, 4), val=(4, 4)), tmp_path / "run"
    (data / "notes.txt").write_text("mine\n")
    for mask in data.rglob("mask/*.png"):
        cv2.imwrite(str(mask), cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) // 255)
    recipe = ["autoencoder-gelu", "--data", data, "--set", "train.epochs=1", "--set", "train.batch=4"]
    code, said = edge_train(*recipe, "--out", out)
    assert code == 0, said
    before = said.partition("epoch 1/1")[0].splitlines()
    assert any(line.startswith("train: 8 good, 4 bad, 4 masks, 1.30% of a photograph marked") for line in before)
    assert "masks: every value but 0 is defect (found from 8 masks)" in before
    assert "left out: files that are no pictures: 1 (notes.txt)" in before
    record = json.loads((out / "run.json").read_text())["data"]["survey"]
    assert record["splits"]["val"] == record["splits"]["val"] | {"good": 4, "bad": 4, "masks": 4, "empty_masks": 0}
    assert record["splits"]["train"]["smallest_defect"] == pytest.approx(120 / 9216 * 32 * 18, rel=0.02)
    assert record["masks"]["meaning"] == "nonzero"
    page = (out / "report.html").read_text()
    assert "every value but 0 is defect (found from 8 masks)" in page
    assert "notes.txt" in page
    code, said = edge_train(*recipe, "--out", tmp_path / "other", "--masks", "inverted")
    assert code == 2
    reading, error = said.splitlines()
    assert reading.startswith("reading 20 photographs")
    assert re.match(r"error: 8 of 20 photographs cannot be used: .*its mask part00\.png marks 99% of it", error)
    assert not (tmp_path / "other").exists()


def test_a_run_from_before_the_survey_reads_masks_as_it_did(make_data: MakeData, tmp_path: Path) -> None:
    from train.fit import fit
    from train.recipe import load_recipe
    from train.run import load_run, read_record, write_record

    data = make_data(train=(8, 4), val=(4, 4))
    run = fit(
        "autoencoder-gelu",
        load_recipe("autoencoder-gelu", ["train.epochs=1", "train.batch=4"]),
        data,
        tmp_path / "run",
    )
    content = json.loads((run.path / "run.json").read_text())
    del content["data"]["survey"]
    (run.path / "run.json").write_text(json.dumps(content))
    old = load_run(run.path)
    assert old.record.data.survey is None
    masks = next(one.masks for one in old.photographs("val") if one.mask)
    assert masks.reading.half == {"uint8": 127, "uint16": 32767}
    write_record(run.path, read_record(run.path))
