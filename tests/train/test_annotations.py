"""Annotations of YOLO, Pascal VOC and LabelMe: what each form means, and one line for what is wrong in them."""

import json
from typing import Any

import numpy as np
import pytest
from support.annotated_plates import labels, one_of_each, refused, truth_of
from support.photograph_layouts import HEIGHT, WIDTH, Plates, box_of, labelme_json, voc_xml, yolo_line

from edge.photographs.listing import read_listing
from edge.photographs.survey import survey

# YOLO


def test_segments_boxes_and_empty_files_of_yolo(plates: Plates) -> None:
    box = one_of_each(plates)
    plates.good("images/other.png")
    left, top, width, height = (share / side for share, side in zip(box, (WIDTH, HEIGHT) * 2, strict=True))
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    plates.text("labels/bad.txt", f"1 {' '.join(map(str, corners))}\n\n0 0.5 0.5 0.1 0.1\n")
    plates.text("labels/good.txt", "")
    plates.text("classes.txt", "ok\nscratch\n")
    listing = read_listing(plates.folder)
    assert box_of(truth_of(plates, "images/bad.png")) == box, "the box of the class ok is no defect"
    assert labels(plates) == {
        "images/good.png": ("good", None), "images/other.png": ("good", None), "images/bad.png": ("bad", "scratch"),
    }  # fmt: skip
    assert listing.said == (
        "YOLO txt: 3 in no split; classes by classes.txt; 1 without annotation count as good (images/other.png)"
    )


def test_texts_of_yolo_may_lie_beside_their_photographs(plates: Plates) -> None:
    box = one_of_each(plates, ".")
    plates.text("bad.txt", yolo_line(box))
    assert box_of(truth_of(plates, "bad.png")) == box
    assert labels(plates) == {"good.png": ("good", None), "bad.png": ("bad", "class 0")}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "labels/bad.txt, line 1: it has 3 numbers after the class; a box has 4, a polygon at"),
        ("0 0.5 0.5 0.1 0.1 0.9", "line 1: it has a polygon of 5 numbers; it needs x and y of at least 3 points"),
        ("0 0.5 x 0.1 0.1", "line 1: '0 0.5 x 0.1 0.1' is not a class and numbers"),
        ("7 0.5 0.5 0.1 0.1", "line 1: class 7 has no name in"),
        ("0 1.5 0.5 0.1 0.1", "bad.txt, line 1: the mark on bad.png reaches from (185.6, 32.4) to (198.4, 39.6)"),
        ("0 300 200 40 40", "outside the 128×72 pixels of the photograph, as if that was resized or turned"),
    ],
)  # fmt: skip
def test_a_line_of_yolo_that_cannot_be_is_refused_by_number(line: str, message: str, plates: Plates) -> None:
    one_of_each(plates)
    plates.text("labels/bad.txt", f"{line}\n")
    plates.text("data.yaml", "names: [scratch]\n")
    assert message in refused(plates)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [scratch\n", "data.yaml is not YAML: "),
        ("names: scratch\n", "data.yaml: 'names' must be a list of the classes' names"),
        ("names: {1: scratch}\n", "data.yaml: 'names' must be a list of the classes' names, or a table from 0 on"),
    ],
)
def test_a_table_of_classes_that_cannot_be_is_refused(text: str, message: str, plates: Plates) -> None:
    plates.text("labels/bad.txt", yolo_line(one_of_each(plates)))
    plates.text("data.yaml", text)
    assert message in refused(plates)


def test_a_text_of_yolo_without_its_photograph_is_refused(plates: Plates) -> None:
    plates.text("labels/bad.txt", yolo_line(one_of_each(plates)))
    plates.text("labels/gone.txt", yolo_line((4, 4, 9, 9)))
    assert "labels/gone.txt names 1 picture not in" in refused(plates)


# Pascal VOC


def test_boxes_of_voc_count_pixels_from_one(plates: Plates) -> None:
    box = one_of_each(plates)
    plates.text("annotations/bad.xml", voc_xml("another-name.png", box))
    assert box_of(truth_of(plates, "images/bad.png")) == box
    assert labels(plates) == {"images/good.png": ("good", None), "images/bad.png": ("bad", "scratch")}


def test_xml_beside_photographs_in_splits_as_roboflow_exports_it(plates: Plates) -> None:
    for split in ("train", "valid"):
        plates.text(f"{split}/bad.xml", voc_xml("bad.png", one_of_each(plates, split)))
    assert {split: len(members) for split, members in read_listing(plates.folder).splits.items()} == {
        "train": 2,
        "val": 2,
    }


def test_photographs_in_no_list_of_voc_and_masks_of_classes_are_left_out_by_name(plates: Plates) -> None:
    plates.text("Annotations/bad.xml", voc_xml("bad.png", one_of_each(plates, "JPEGImages")))
    plates.good("JPEGImages/more.png")
    plates.good("SegmentationClass/bad.png")
    plates.text("ImageSets/Main/train.txt", "good\n")
    plates.text("ImageSets/Main/test.txt", "bad\n")
    listing = read_listing(plates.folder)
    assert [str(one) for one in listing.left_out] == [
        "masks of classes, which are not read: 1 (SegmentationClass/bad.png)",
        "photographs that ImageSets/Main does not name: 1 (JPEGImages/more.png)",
    ]
    assert {split: len(members) for split, members in listing.splits.items()} == {"train": 1, "test": 1}
    plates.text("ImageSets/Main/test.txt", "bad\ngood\n")
    assert "test.txt names good, which is in train.txt too: a photograph has one split" in refused(plates)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "Annotations/bad.xml is not XML: no element found"),
        ("<xmin>", "<left>", "Annotations/bad.xml is not XML: mismatched tag"),
        ("bndbox", "polygon", "Annotations/bad.xml, object 1: it has no bndbox with xmin, ymin, xmax, ymax"),
        ("<width>128", "<width>640", "annotates bad.png as 640×72 pixels, and it has 128×72"),
        ("<xmax>", "<xmax>9", "Annotations/bad.xml, object 1: the mark on bad.png reaches from"),
        ("<width>128", "<width>wide", "its size is no width and height in pixels"),
    ],
)
def test_xml_that_cannot_be_is_refused_by_place(old: str, new: str, message: str, plates: Plates) -> None:
    plates.text("Annotations/bad.xml", voc_xml("bad.png", one_of_each(plates, "JPEGImages")).replace(old, new))
    assert message in refused(plates)


def test_xml_without_its_photograph_is_refused(plates: Plates) -> None:
    one_of_each(plates, "JPEGImages")
    plates.text("Annotations/gone.xml", voc_xml("gone.png", (3, 3, 9, 9)))
    assert "Annotations/gone.xml names 1 picture not in" in refused(plates)


# LabelMe


@pytest.mark.parametrize("kind", ["polygon", "rectangle"])
def test_polygons_and_rectangles_of_labelme(kind: str, plates: Plates) -> None:
    box = one_of_each(plates, ".")
    plates.json("bad.json", labelme_json("bad.png", box, kind))
    assert box_of(truth_of(plates, "bad.png")) == box
    listing = read_listing(plates.folder)
    lines = survey(listing.photographs).record(listing.splits).lines()
    assert any("rectangles of boxes" in line for line in lines) == (kind == "rectangle")


def test_a_circle_of_labelme_marks_its_area(plates: Plates) -> None:
    content = labelme_json("..\\images\\bad.png", one_of_each(plates))
    content["shapes"] = [{"label": "hole", "points": [[60, 30], [70, 30]], "shape_type": "circle"}]
    plates.json("marks/1.json", content)
    assert (truth_of(plates, "images/bad.png") > 0).sum() == pytest.approx(np.pi * 100, rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape_type": "line", "points": [[1, 1], [9, 9]]}, "bad.json, shape 1 (scratch): it is a line of 2 points; "),
        ({"points": [[1, 1], [9, 9]]}, "it is a polygon of 2 points"),
        ({"points": [[1, 1], [9, 9], [200, 10]]}, "shape 1: the mark on bad.png reaches from (1, 1) to (200, 10)"),
        ({"points": 7}, "bad.json: shapes.0.points = 7: must be a list of values"),
    ],
)  # fmt: skip
def test_a_shape_of_labelme_that_cannot_be_is_refused_by_place(
    change: dict[str, Any], message: str, plates: Plates
) -> None:
    content = labelme_json("bad.png", one_of_each(plates, "."))
    shapes: Any = content["shapes"]
    shapes[0] |= change
    plates.json("bad.json", content)
    assert message in refused(plates)


def test_json_of_labelme_that_is_cut_or_lacks_its_photograph_is_refused(plates: Plates) -> None:
    content = labelme_json("bad.png", one_of_each(plates, "."))
    plates.text("bad.json", json.dumps(content)[:40])
    assert "bad.json is not JSON: EOF while parsing" in refused(plates)
    plates.json("bad.json", content)
    plates.json("gone.json", labelme_json("gone.png", (3, 3, 9, 9)))
    assert "gone.json names 1 picture not in" in refused(plates)
