"""Annotations of COCO: what each form means, one line for what is wrong, and which of several annotations is read."""

import json
import re
from typing import Any

import cv2
import numpy as np
import pytest
from support.annotated_plates import labels, named, one_of_each, refused, table, truth_of, write_coco
from support.drawn_parts import write
from support.photograph_layouts import HEIGHT, WIDTH, Plates, box_of, coco, drawn, yolo_line

from edge.errors import DataError
from edge.photographs.fingerprint import hash_photographs
from edge.photographs.listing import read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.survey import survey


def test_run_lengths_plain_and_compressed_mark_what_they_say(plates: Plates) -> None:
    left, top, width, height = box = one_of_each(plates)
    counts = [left * HEIGHT + top, height]
    for _ in range(width - 1):
        counts += [HEIGHT - height, height]
    counts.append(HEIGHT * WIDTH - sum(counts))
    write_coco(plates, box, segmentation={"counts": counts, "size": [HEIGHT, WIDTH]})
    assert box_of(truth_of(plates, "images/bad.png")) == box


def test_compressed_run_lengths_are_those_of_pycocotools(plates: Plates) -> None:
    """The text is `pycocotools.mask.encode` of the mask below, of version 2.0.11."""
    one_of_each(plates)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(truth, (60, 30), 9, 255, -1)
    write_coco(plates, (0, 0, 1, 1), segmentation={"counts": CIRCLE, "size": [HEIGHT, WIDTH]})
    np.testing.assert_array_equal(truth_of(plates, "images/bad.png"), truth)


CIRCLE = "fc31S28K2N2N2N2O00000O20N1000001N2N2N2N5HfQ4"


def test_several_annotations_and_polygons_of_a_photograph_are_one_truth(plates: Plates) -> None:
    one_of_each(plates)
    content = write_coco(plates, (4, 4, 10, 10), segmentation=[[1, 1, 5, 1, 5, 5, 1, 5], [8, 8, 9, 8, 9, 9, 8, 9]])
    content["categories"].append({"id": 2, "name": "hole"})
    content["annotations"].append({"id": 7, "image_id": 1, "category_id": 2, "bbox": [100, 60, 2, 3]})
    plates.json("annotations.json", content)
    truth = truth_of(plates, "images/bad.png")
    assert (truth > 0).sum() == 16 + 1 + 6
    assert labels(plates)["images/bad.png"] == ("bad", "hole+scratch")
    record = survey(read_listing(plates.folder).photographs).record(read_listing(plates.folder).splits)
    assert any(
        "rectangles of boxes, which mark more than the defects: 1 (images/bad.png)" in one for one in record.lines()
    )


def test_a_category_that_is_called_good_is_no_defect(plates: Plates) -> None:
    content = write_coco(plates, one_of_each(plates))
    content["categories"] += [{"id": 2, "name": "OK"}, {"id": 3, "name": "defect"}]
    content["annotations"].append({"id": 7, "image_id": 0, "category_id": 2, "bbox": [1, 1, 20, 30]})
    plates.json("annotations.json", content)
    assert labels(plates) == {"images/good.png": ("good", None), "images/bad.png": ("bad", "scratch")}
    content["annotations"][0]["category_id"] = 3
    plates.json("annotations.json", content)
    assert labels(plates)["images/bad.png"] == ("bad", None)


def test_a_name_that_splits_share_is_the_one_of_the_file_s_split(plates: Plates) -> None:
    for split in ("train", "val", "test"):
        plates.json(f"annotations/instances_{split}2017.json", coco(drawn(plates, f"images/{split}2017", 2)))
    listing = read_listing(plates.folder)
    assert listing.splits["val"][0].name == "images/val2017/000.png"
    assert {split: len(members) for split, members in listing.splits.items()} == {"train": 4, "val": 4, "test": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, r"annotations\.json, annotation 0: there is no image with the id 9"),
        ({"category_id": 9}, r"annotation 0: there is no category with the id 9"),
        ({"segmentation": [], "bbox": None}, r"annotation 0: it has neither a segmentation nor a bbox of 4 numbers"),
        ({"segmentation": [[1, 1, 5, 5]]}, r"annotation 0: it has a polygon of 4 numbers; it needs x and y of"),
        ({"segmentation": [1, 1, 5, 5]}, r"it has a segmentation that is no list of polygons"),
        ({"segmentation": {"counts": 3, "size": [72, 128]}}, r"it has run lengths whose counts are neither"),
        ({"segmentation": {"counts": [3]}}, r"it has run lengths without a size"),
        ({"segmentation": {"counts": [9, 9], "size": [72, 128]}}, r"the mark on bad\.png has run lengths of 18 pixels"),
        ({"segmentation": [], "bbox": [120, 5, 20, 10]},
         r"^1 of 2 .*annotation 0: the mark on bad\.png reaches from \(120, 5\) to \(140, 15\), outside the 128×72 "),
        ({"bbox": "wide"}, r"annotations\.json: annotations\.0\.bbox = 'wide': must be a list of values"),
    ],
)  # fmt: skip
def test_an_annotation_of_coco_that_cannot_be_is_refused_by_place(
    change: dict[str, Any], message: str, plates: Plates
) -> None:
    write_coco(plates, one_of_each(plates), **change)
    assert re.search(message, refused(plates))


def test_a_file_of_coco_that_is_cut_or_names_what_is_missing_is_refused(plates: Plates) -> None:
    content = write_coco(plates, one_of_each(plates))
    text = json.dumps(content)
    plates.text("annotations.json", text[: len(text) - 30])
    assert f"{plates.folder}/annotations.json is not JSON: EOF while parsing" in refused(plates)
    plates.json("annotations.json", {"images": [], "annotations": []})
    assert "annotations.json: categories is missing" in refused(plates)
    plates.json("annotations.json", content)
    (plates.folder / "images" / "bad.png").unlink()
    assert "annotations.json names 1 picture not in" in (said := refused(plates))
    assert "(bad.png): add what is missing, or take it out of the annotations" in said


def test_a_picture_that_coco_does_not_list_is_refused_and_not_called_good(plates: Plates) -> None:
    write_coco(plates, one_of_each(plates))
    plates.bad("images/other.png")
    assert "1 picture has no label in the layout COCO JSON (images/other.png)" in refused(plates)


def test_a_photograph_that_was_resized_or_turned_since_is_refused(plates: Plates) -> None:
    write_coco(plates, one_of_each(plates))
    picture = cv2.imread(str(plates.folder / "images/bad.png"))
    write(plates.folder / "images/bad.png", np.ascontiguousarray(picture.swapaxes(0, 1)))
    assert "annotates bad.png as 128×72 pixels, and it has 72×128; one of them is turned" in refused(plates)


def test_a_turned_jpeg_is_annotated_as_viewers_show_it(plates: Plates) -> None:
    from PIL import Image

    left, top, width, height = box = one_of_each(plates)
    write_coco(plates, box)
    file = plates.folder / "images" / "bad.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    stored = Image.open(file).transpose(Image.Transpose.ROTATE_90)
    stored.save(file, exif=exif)
    assert stored.size == (HEIGHT, WIDTH)
    assert box_of(truth_of(plates, "images/bad.png")) == (left, top, width, height)


def test_a_picture_that_two_files_annotate_is_refused(plates: Plates) -> None:
    plates.json("more.json", write_coco(plates, one_of_each(plates)))
    assert "images/good.png is annotated in" in (said := refused(plates))
    assert "annotations.json and again in" in said


def test_a_changed_shape_is_another_mask_and_a_changed_date_is_not(plates: Plates) -> None:
    content = write_coco(plates, box := one_of_each(plates))
    before = hash_photographs(read_listing(plates.folder).photographs)
    plates.json("annotations.json", content | {"info": {"date": "today"}})
    assert hash_photographs(read_listing(plates.folder).photographs) == before
    write_coco(plates, box, segmentation=[[1, 1, 9, 1, 9, 9]])
    after = hash_photographs(read_listing(plates.folder).photographs)
    assert after["images/bad.png"].mask != before["images/bad.png"].mask
    assert after["images/good.png"] == before["images/good.png"]


def test_a_meaning_of_masks_is_refused_where_annotations_draw_them(plates: Plates) -> None:
    write_coco(plates, one_of_each(plates))
    with pytest.raises(DataError, match=r"^--masks inverted: the masks of .* are drawn from annotations \(COCO JSON\)"):
        read_listing(plates.folder, MaskMeaning.INVERTED)


def test_of_two_annotations_the_first_in_order_is_read_and_the_other_named(plates: Plates) -> None:
    box = one_of_each(plates)
    plates.text("labels/bad.txt", yolo_line(box))
    table(plates, "file,label", "good.png,good", "bad.png,hole")
    write_coco(plates, box)
    assert read_listing(plates.folder).said == (
        "COCO JSON: 2 in no split; annotations in annotations.json; labels/bad.txt (YOLO txt) is not read; labels.csv "
        "(images/ and a CSV of labels) is not read"
    )
    assert labels(plates)["images/bad.png"] == ("bad", "scratch")


def test_folders_of_labels_go_before_annotations_in_them(plates: Plates) -> None:
    box = plates.bad("bad/1.png")
    plates.good("good/0.png")
    before = read_listing(plates.folder).said
    plates.json("annotations.json", coco({"0.png": box, "1.png": None}))
    table(plates, "file,label", "good/0.png,bad", "bad/1.png,good")
    listing = read_listing(plates.folder)
    assert listing.said == before == "good/ bad/: 2 in no split"
    assert [str(one) for one in listing.left_out] == ["files that are no pictures: 2 (annotations.json, labels.csv)"]


def test_parts_csv_goes_before_the_annotations(plates: Plates) -> None:
    write_coco(plates, one_of_each(plates))
    table(plates, "file,defect,part", "images/bad.png,hairline crack,p7", name="parts.csv")
    one = named(read_listing(plates.folder), "images/bad.png")
    assert (one.defect, one.details) == ("hairline crack", {"part": "p7"})


def test_a_box_around_everything_is_no_background(plates: Plates) -> None:
    write_coco(plates, one_of_each(plates), segmentation=[], bbox=[0, 0, WIDTH, HEIGHT])
    survey(read_listing(plates.folder).photographs)
    assert (truth_of(plates, "images/bad.png") == 255).all()
