"""Tables of labels: columns found by their names, photographs by theirs, and one line for what is wrong."""

import numpy as np
import pytest
from support.annotated_plates import labels, named, one_of_each, refused, table, truth_of
from support.drawn_parts import write
from support.photograph_layouts import HEIGHT, WIDTH, Plates, box_of

from edge.photographs.listing import read_listing
from edge.photographs.photograph import read_truth


@pytest.mark.parametrize(
    ("header", "good", "bad", "kind"),
    [
        ("file,label", "images/good.png,good", "images/bad.png,bad", None),
        ("Filename;Class", "good.png;ok", "bad.png;scratch", "scratch"),
        ("image_id\ttarget", "good\t0", "bad\t1", None),
        ("path,is_defective", "C:\\set\\images\\good.png,False", "C:\\set\\images\\bad.png,True", None),
        ("image,label,defect_type", "good.png,normal,", "bad.png,anomaly,hole", "hole"),
        ("id,category,note", "good,0,a", "bad,3,b", "3"),
    ],
)
def test_columns_are_found_by_their_names_and_photographs_by_theirs(
    header: str, good: str, bad: str, kind: str | None, plates: Plates
) -> None:
    one_of_each(plates)
    table(plates, header, good, bad)
    assert labels(plates) == {"images/good.png": ("good", None), "images/bad.png": ("bad", kind)}


def test_a_table_gives_splits_masks_and_further_columns(plates: Plates) -> None:
    plates.good("images/1.png")
    plates.bad("images/2.png", "masks/2.png")
    plates.bad("images/3.png", "truth/3.png")
    write(plates.folder / "truth/3b.png", np.eye(HEIGHT, WIDTH, dtype=np.uint8) * 255)
    table(plates, "file,label,set,mask,part", "1.png,ok,training,,p1", "2.png,hole,Test,masks/2.png,p2",
          "3.png,hole,valid,truth/3.png,p3", "3.png,dent,valid,3b.png,p3")  # fmt: skip
    listing = read_listing(plates.folder)
    assert {split: [one.name for one in members] for split, members in listing.splits.items()} == {
        "train": ["images/1.png"], "val": ["images/3.png"], "test": ["images/2.png"],
    }  # fmt: skip
    three = named(listing, "images/3.png")
    assert (three.defect, three.details) == ("dent+hole", {"part": "p3"})
    truth = read_truth(three)
    assert truth is not None
    assert truth[40, 40] == 255
    assert (truth > 0).sum() > 120


def test_tables_that_are_named_as_splits_are_read_together(plates: Plates) -> None:
    for split in ("train", "valid", "test"):
        one_of_each(plates, f"images/{split}")
        table(plates, "file,label", f"images/{split}/good.png,0", f"images/{split}/bad.png,1", name=f"{split}.csv")
    assert {split: len(members) for split, members in read_listing(plates.folder).splits.items()} == {
        "train": 2, "val": 2, "test": 2,
    }  # fmt: skip
    table(plates, "file,label", name="more.csv")
    assert "more.csv and test.csv could both label the photographs: move one out" in refused(plates)


def test_masks_beside_a_table_are_found_by_their_names(plates: Plates) -> None:
    plates.good("images/1.png")
    box = plates.bad("images/2.png", "masks/2_mask.png")
    table(plates, "file,label", "1.png,0", "2.png,1")
    assert box_of(truth_of(plates, "images/2.png")) == box


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("file,label", "good.png,good", "bad.png,"), "labels.csv, line 3: its column label is empty: write good"),
        (("file,label", "good.png,A", "bad.png,B"), "none of the labels in its column label says what is good ('A'"),
        (("file,label", "good.png,1", "bad.png,-1"), "none of the labels in its column label says what is good"),
        (("file,label", "good.png,ok", "no.png,ng"), "labels.csv names 1 picture not in"),
        (("file,label", "good.png,ok"), "no label in the layout images/ and a CSV of labels (images/bad.png)"),
        (("file,label", "good.png,ok", "bad.png,ng", "bad.png,ok"), "line 4: bad.png has another label or split than"),
        (("file,label,split", "good.png,ok,tune", "bad.png,ng,test"), "line 2: 'tune' is no split; there are train"),
        (("file,label,mask", "good.png,ok,", "bad.png,ng,x.png"), "labels.csv names 1 picture not in"),
        (("file,label,mask", "good.png,ok,", "bad.png,ng,bad.png"), "line 3: the mask bad.png is the photograph"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused_by_line(lines: tuple[str, ...], message: str, plates: Plates) -> None:
    one_of_each(plates)
    table(plates, *lines)
    assert message in refused(plates)
