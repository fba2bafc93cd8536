"""Small sets in every layout that people have: read, surveyed, and trained on."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.drawn_parts import write
from support.photograph_layouts import EVERY, Plates, box_of, labelled, mvtec_loco, visa

import train.cli
from edge.errors import DataError
from edge.photographs.fingerprint import hash_photographs
from edge.photographs.listing import Listing, read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.photograph import mask_as_file, read_truth
from edge.photographs.survey import survey
from train.data.split import SplitChoice, divide

Laid = Callable[[str], Path]


@pytest.fixture
def laid(tmp_path: Path) -> Laid:
    """Writes the set of this name, in a folder of this name."""

    def lay(name: str) -> Path:
        folder = tmp_path / name
        EVERY[name](folder)
        return folder

    return lay


SAID = {
    "visa": "VisA: 8 train, 16 test; split by 1cls.csv",
    "mvtec_loco": "MVTec LOCO: 8 train, 4 val, 12 test",
    "mvtec_ad2": "MVTec AD 2: 8 train, 4 val, 8 test",
    "btad": "BTAD: 8 train, 16 test",
    "ok_ng": "ok/ ng/: 16 in no split; OK/ good, NG/ bad",
    "ok_ng_in_splits": "ok/ ng/: 16 train, 16 val, 16 test; pass/ good, fail/ bad",
    "castings": "NAME_ok/ NAME_ng/: 10 train, 6 val, 16 test; ok_front/ good, def_front/ bad; val is a fifth of train, "
    "by a hash of the names",
    "labels_csv": "images/ and a CSV of labels: 16 train, 16 val, 16 test; labels.csv by its columns image, label, "
    "split, mask",
    "coco_json": "COCO JSON: 16 train, 16 val, 16 test; annotations in annotations/instances_test.json, "
    "annotations/instances_train.json, annotations/instances_val.json",
    "roboflow_coco": "COCO JSON: 16 train, 16 val, 16 test; annotations in test/_annotations.coco.json, "
    "train/_annotations.coco.json, valid/_annotations.coco.json",
    "yolo": "YOLO txt: 16 train, 16 val, 16 test; classes by data.yaml",
    "roboflow_yolo": "YOLO txt: 16 train, 16 val, 16 test; classes by data.yaml",
    "voc": "Pascal VOC XML: 16 train, 16 val, 16 test; split by ImageSets/Main",
    "labelme": "LabelMe JSON: 16 train, 16 val, 16 test; 24 without annotation count as good (test/000.png, "
    "test/001.png, test/002.png, …)",
}
KINDS = {
    "visa": {"chunk missing"},
    "mvtec_loco": {"logical_anomalies", "structural_anomalies"},
    "labels_csv": {"scratch"},
    **{name: {"scratch"} for name in ("coco_json", "roboflow_coco", "yolo", "roboflow_yolo", "voc", "labelme")},
}
WITHOUT_MASKS = {"castings"}
IN_BOXES = {"roboflow_coco", "yolo", "roboflow_yolo", "voc"}


@pytest.mark.parametrize("name", EVERY)
def test_a_layout_is_recognised_and_every_photograph_has_split_label_kind_and_mask(name: str, laid: Laid) -> None:
    listing = read_listing(laid(name))
    assert listing.said == SAID[name]
    bad = [one for one in listing.photographs if one.is_bad]
    assert len(bad) >= 4
    assert {one.defect for one in bad} == KINDS.get(name, {None})
    assert all((one.mask is None) == (name in WITHOUT_MASKS) for one in bad)
    assert not any(one.mask for one in listing.photographs if not one.is_bad)
    for split, members in listing.splits.items():
        assert [one.is_bad for one in members] == sorted(one.is_bad for one in members), f"{split}: good first"


@pytest.mark.parametrize("name", EVERY)
def test_the_survey_reads_every_mask_and_says_what_boxes_mark(name: str, laid: Laid) -> None:
    listing = read_listing(laid(name))
    found = survey(listing.photographs, left_out=listing.left_out)
    record = found.record(listing.splits)
    lines = record.lines()
    bad = sum(one.is_bad for one in listing.photographs)
    if name not in WITHOUT_MASKS:
        assert sum(split.masks for split in record.splits.values()) == bad
    boxes = [line for line in lines if line.startswith("warning: masks are the rectangles of boxes")]
    assert len(boxes) == (name in IN_BOXES)
    if boxes:
        assert f"which mark more than the defects: {bad} (" in boxes[0]
    drawn = name in {*IN_BOXES, "coco_json", "labelme"}
    assert (f"masks: what annotations mark is defect ({bad} masks drawn from them)" in lines) == drawn
    assert bool(record.masks and record.masks.drawn) == drawn
    assert ("drawn" in record.model_dump_json()) == drawn, "the record of other layouts is as it was"


@pytest.mark.parametrize("name", sorted({*EVERY} - WITHOUT_MASKS))
def test_the_truth_of_a_photograph_is_where_its_blot_is(name: str, laid: Laid) -> None:
    for one in read_listing(laid(name)).photographs:
        truth = read_truth(one)
        assert (truth is None) != one.is_bad
        if truth is None or one.name.startswith("test/logical_anomalies/000"):
            continue
        left, top, width, height = box_of(truth)
        assert (width, height) == (12, 10)
        grey = cv2.imread(str(one.path), cv2.IMREAD_GRAYSCALE).astype(float)
        inside = grey[top : top + height, left : left + width].mean()
        assert inside > grey[truth == 0].mean() + 80


@pytest.mark.parametrize("name", EVERY)
def test_reading_a_set_writes_nothing_into_it(name: str, laid: Laid) -> None:
    folder = laid(name)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    listing = read_listing(folder)
    survey(listing.photographs)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", EVERY)
def test_edge_train_trains_on_a_set_of_each_layout(
    name: str, laid: Laid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = laid(name), tmp_path / "run"
    learns_bad = any(one.is_bad and one.mask for one in read_listing(folder).splits.get("train", []))
    small = ["--set", "train.epochs=1", "--set", "train.batch=4", "--set", "letterbox.side=64"]
    recipe = ["demo-line", *small, "--set", "train.crop=32"] if learns_bad else ["autoencoder-gelu", *small[:4]]
    arguments = ["edge-train", *recipe, "--data", str(folder), "--out", str(out), "--drop-leaks"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        train.cli.main()
    said = capfd.readouterr().err
    assert not left.value.code, said
    assert SAID[name] in said
    record = json.loads((out / "run.json").read_text())
    assert record["finished"]
    assert record["data"]["layout"] == SAID[name]


def truth_of(listing: Listing, name: str) -> np.ndarray:
    truth = read_truth(next(one for one in listing.photographs if one.name == name))
    assert truth is not None
    return truth


def test_several_masks_of_a_photograph_are_one_truth(tmp_path: Path) -> None:
    folder = tmp_path / "loco"
    mvtec_loco(folder)
    first = folder / "ground_truth/logical_anomalies/000/000.png"
    before = cv2.imread(str(first), cv2.IMREAD_GRAYSCALE)
    listing = read_listing(folder)
    truth = truth_of(listing, "test/logical_anomalies/000.png")
    second = np.zeros((72, 128), bool)
    second[60:66, 100:110] = True
    np.testing.assert_array_equal(truth > 0, (before > 0) | second)
    one = next(one for one in listing.photographs if one.name == "test/logical_anomalies/000.png")
    hashed = hash_photographs([one])[one.name].mask
    write(folder / "ground_truth/logical_anomalies/000/001.png", np.full((72, 128), 0, np.uint8))
    assert hash_photographs([one])[one.name].mask != hashed
    write(folder / "ground_truth/logical_anomalies/000/001.png", np.zeros((70, 128), np.uint8))
    with pytest.raises(DataError, match=r"1 of 24 .*the masks in .*logical_anomalies/000 differ in size or depth"):
        survey(read_listing(folder).photographs)


def test_several_inverted_masks_of_a_photograph_are_one_truth(tmp_path: Path) -> None:
    mvtec_loco(tmp_path)
    for mask in (tmp_path / "ground_truth").rglob("*.png"):
        write(mask, (cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) == 0).astype(np.uint8) * 255)
    listing = read_listing(tmp_path, MaskMeaning.INVERTED)
    truth = truth_of(listing, "test/logical_anomalies/000.png")
    assert (truth > 0).sum() == 120 + 60
    assert (truth[60:66, 100:110] == 255).all()


def test_a_table_of_visa_that_contradicts_a_folder_is_refused(tmp_path: Path) -> None:
    visa(tmp_path / "candle")
    file = tmp_path / "candle" / "image_anno.csv"
    file.write_text(file.read_text().replace("Normal/003.JPG,normal", "Normal/003.JPG,melt"))
    with pytest.raises(DataError, match=r"line 5: Normal/003\.JPG is called 'melt', which contradicts its folder"):
        read_listing(tmp_path / "candle")


def test_photographs_without_public_labels_are_left_out_by_name(laid: Laid) -> None:
    assert [str(one) for one in read_listing(laid("mvtec_ad2")).left_out] == [
        "photographs without a label: 2 (test_private/000.png, test_private/001.png)"
    ]


def test_visa_without_its_split_file_is_divided(tmp_path: Path) -> None:
    folder = tmp_path / "candle"
    visa(folder)
    (tmp_path / "split_csv" / "1cls.csv").unlink()
    assert read_listing(folder).said == "VisA: 24 in no split; no split_csv/1cls.csv beside it"
    assert [len(members) for members in divide(folder, SplitChoice()).splits.values()] == [14, 5, 5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "candle,train",
            "pcb,train",
            r"1cls\.csv gives no split to 8 photographs of .*, the first Data/Images/Normal/000",
        ),
        ("candle", "pcb", r"1cls\.csv splits no photograph of an object 'candle': name the folder as it does"),
        (",train,", ",tune,", r"1cls\.csv, line 2: 'tune' is no split; there are train, val and test"),
        ("015.JPG", "99.JPG", r"1cls\.csv names 1 photograph not in .*candle, the first Data/Images/Normal/99\.JPG"),
    ],
)
def test_a_split_file_of_visa_that_does_not_fit_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    visa(tmp_path / "candle")
    file = tmp_path / "split_csv" / "1cls.csv"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        read_listing(tmp_path / "candle")


def test_good_training_photographs_stay_apart_whatever_their_folder_is_called(laid: Laid) -> None:
    division = divide(laid("visa"), SplitChoice("(.+)"))
    assert [len(division.splits[split]) for split in ("train", "val", "test")] == [8, 8, 8]
    assert all(one.label == "good" for one in division.splits["train"])
    assert division.said.endswith("train/ as it is")


def test_the_root_of_a_collection_names_the_products(tmp_path: Path) -> None:
    for name in ("candle", "pcb1"):
        Plates(tmp_path / name).good("Data/Images/Normal/0.JPG")
    with pytest.raises(DataError, match=r"candle and .*pcb1 do: give one of them"):
        read_listing(tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Data/Images/Normal/0.png", "Data/Images/Odd/0.png"], r"Images/Odd does not belong to the VisA layout"),
        (["test_public/good/0.png", "test_public/dust/0.png"], r"test_public/dust does not belong to the MVTec AD 2"),
        (["validation/good/0.png", "test/logical_anomalies/0.png", "train/bad/0.png"], r"train/bad does not belong to"),
        (["train/ok/0.png", "test/ok/1.png", "test/dent/2.png", "ground_truth/ko/3.png"], r"test/dent is no part of"),
        (["train/ok/0.png", "test/ko/2.png", "ground_truth/ko/3.png"], r"1 mask has no photograph of the same name"),
        (["OK/0.png", "ng/1.png", "nok/2.png"], r"holds both ng/ and nok/, which have one label: join them"),
        (["ok/0.png", "ng/1.png", "train/ok/2.png"], r"train/ok/2\.png has the split train and ok/0\.png has none"),
        (["train/ok/0.png", "train/ng/1.png", "train/odd/2.png"], r"train/odd is no part of the layout ok/ ng/"),
        (["val/ok/0.png", "val/ng/1.png", "valid/ok/2.png"], r"val and .*valid are both the split val: join them"),
        (["ok/0.png", "ng/1.png", "loose.png"], r"1 picture has no label in the layout ok/ ng/ \(loose\.png\)"),
        (["train/ok_a/0.png", "train/ng_a/1.png", "train/a/2.png"], r"train/a neither begins nor ends with a word"),
        (["ok/0.png", "scratch/1.png"], r"holds 1 picture in ok/ and 1 picture in scratch/, in no layout known here, "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(names: list[str], message: str, tmp_path: Path) -> None:
    for name in names:
        write(tmp_path / name, np.full((16, 16, 3), 90, np.uint8))
    with pytest.raises(DataError, match=message) as refusal:
        read_listing(tmp_path)
    assert "\n" not in str(refusal.value)


def test_the_line_about_an_unknown_folder_says_what_is_there_and_what_would_be_understood(tmp_path: Path) -> None:
    plates = Plates(tmp_path)
    for name in ("photos/a.png", "photos/b.png", "new/c.png", "d.png"):
        plates.good(name)
    plates.text("notes.md", "mine\n")
    with pytest.raises(DataError) as refusal:
        read_listing(tmp_path)
    said = str(refusal.value)
    assert f"{tmp_path} holds 2 pictures in photos/, 1 picture" in said
    assert " and 1 .md file, in no layout known here, which are " in said
    for known in (
        "(VisA)",
        "(MVTec LOCO)",
        "(MVTec AD 2)",
        "(BTAD)",
        "ok/ ng/",
        "ok_front/",
        "CSV",
        "COCO",
        "YOLO",
        "VOC",
    ):
        assert known in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("good", "bad"),
    [("good", "defect"), ("ok", "nok"), ("Pass", "Fail"), ("normal", "abnormal"), ("normal", "anomaly")],
)
def test_words_for_the_labels_are_read_alone_and_in_splits(good: str, bad: str, tmp_path: Path) -> None:
    for name, splits in (("alone", ("",)), ("apart", ("train", "val", "test"))):
        labelled(tmp_path / name, good, bad, splits)
        listing = read_listing(tmp_path / name)
        assert listing.said.startswith("ok/ ng/: ")
        assert sum(one.is_bad for one in listing.photographs) == 8 * len(splits)


def test_mvtec_keeps_a_defect_that_is_called_defective(tmp_path: Path) -> None:
    plates = Plates(tmp_path)
    plates.good("train/good/0.png")
    plates.good("test/good/1.png")
    plates.bad("test/defective/2.png", "ground_truth/defective/2_mask.png")
    assert read_listing(tmp_path).said == "MVTec: 1 train, 2 test"


def test_good_and_bad_with_a_folder_valid_are_read(tmp_path: Path) -> None:
    labelled(tmp_path, "good", "bad", ("train", "valid"), "mask")
    listing = read_listing(tmp_path)
    assert listing.said == "ok/ ng/: 16 train, 16 val; good/ good, bad/ bad"
    assert all(one.mask for one in listing.photographs if one.is_bad)


def test_kinds_of_defects_are_folders_also_below_other_words(tmp_path: Path) -> None:
    plates = Plates(tmp_path)
    plates.good("ok/0.png")
    plates.bad("ng/scratch/1.png", "mask/scratch/1.png")
    plates.bad("ng/2.png", "mask/ng/2.png")
    bad = [(one.name, one.defect, one.mask is not None) for one in read_listing(tmp_path).photographs if one.is_bad]
    assert bad == [("ng/2.png", None, True), ("ng/scratch/1.png", "scratch", True)]


def test_photographs_in_train_alone_have_no_split(tmp_path: Path) -> None:
    labelled(tmp_path, "ok", "ng", ("train",))
    assert re.search(r"16 in no split; .*train is the only split, so all are divided", read_listing(tmp_path).said)
    assert [len(members) for members in divide(tmp_path, SplitChoice()).splits.values()] == [8, 4, 4]


def test_a_fifth_of_train_validates_and_stays_when_photographs_are_added(tmp_path: Path) -> None:
    plates = Plates(tmp_path)
    for index in range(100):
        plates.good(f"train/ok_a/{index}.png")
        plates.good(f"train/def_a/{index}d.png")
    plates.good("test/ok_a/x.png")
    before = {one.name for one in read_listing(tmp_path).splits["val"]}
    assert 24 < len(before) < 56
    for index in range(100, 120):
        plates.good(f"train/ok_a/{index}.png")
    assert before <= {one.name for one in read_listing(tmp_path).splits["val"]}


def test_a_drawn_mask_is_copied_as_a_picture(laid: Laid) -> None:
    one = next(one for one in read_listing(laid("coco_json")).photographs if one.is_bad)
    suffix, content = mask_as_file(one) or ("", b"")
    assert suffix == ".png"
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), read_truth(one))
