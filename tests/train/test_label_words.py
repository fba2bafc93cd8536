"""Words for good and bad in the names of folders, classes and tables."""

import pytest

from edge.photographs.label_words import label_at_end, label_of, split_of


@pytest.mark.parametrize("name", ["ok", "OK", "Good", "pass", "PASSED", "normal", "i.O.", "no_defect", "Defect-free"])
def test_words_for_good(name: str) -> None:
    assert label_of(name) == "good"


@pytest.mark.parametrize(
    "name", ["ng", "NOK", "ko", "n.i.O.", "not ok", "fail", "anomaly", "Abnormal", "defect", "def"]
)
def test_words_for_bad(name: str) -> None:
    assert label_of(name) == "bad"


@pytest.mark.parametrize("name", ["", "scratch", "goods", "okra", "train", "positive", "0", "no", "not"])
def test_other_words_say_nothing(name: str) -> None:
    assert label_of(name) is None


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("ok_front", "good"), ("def_front", "bad"), ("Casting-OK", "good"), ("cable not ok", "bad"),
        ("not_ok_cable", "bad"), ("no_defect_left", "good"), ("left_no_defect", "good"),
        ("ok", None), ("not_ok", None), ("ok_or_ng", None), ("never_good", "good"), ("not_that_good", None),
        ("cable", None), ("cookie_front", None), ("test_set", None),
    ],
)  # fmt: skip
def test_a_word_at_an_end_of_a_name_is_a_label_unless_in_doubt(name: str, label: str | None) -> None:
    assert label_at_end(name) == label


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Valid", "val"), ("validation", "val"), ("train2017", "train"), ("test_1", "test"),
     ("images", None), ("trainer", None), ("2017", None)],
)  # fmt: skip
def test_words_for_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split
