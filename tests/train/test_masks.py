"""Masks are read correctly, whatever their encoding; a mask that cannot be ground truth is refused by name."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.drawn_parts import write

from edge.errors import DataError
from edge.letterbox.contract import LetterboxContract
from edge.photographs.listing import read_listing
from edge.photographs.mask_meaning import MaskMeaning
from edge.photographs.photograph import read_truth
from edge.photographs.survey import Survey, survey

Draw = Callable[[np.ndarray], np.ndarray]
SHAPE = (72, 96)


def boxes(count: int = 6) -> list[np.ndarray]:
    """The place of the defect: bool [72, 96], a box of 20×24 pixels at a different position in each picture."""
    found = []
    for index in range(count):
        truth = np.zeros(SHAPE, bool)
        truth[10 + 3 * index : 30 + 3 * index, 20 + 5 * index : 44 + 5 * index] = True
        found.append(truth)
    return found


def lay(folder: Path, masks: list[np.ndarray], suffix: str = ".png") -> Path:
    """Write one good photograph, and a bad one for each mask."""
    rng = np.random.default_rng(0)
    write(folder / "good" / "a.png", rng.integers(0, 255, (*SHAPE, 3), np.uint8))
    for index, mask in enumerate(masks):
        write(folder / "bad" / f"{index}.png", rng.integers(0, 255, (*SHAPE, 3), np.uint8))
        write(folder / "mask" / f"{index}{suffix}", mask)
    return folder


def surveyed(data: Path, meaning: MaskMeaning | None = None) -> Survey:
    return survey(read_listing(data, meaning).photographs, LetterboxContract(side=48))


def truths(data: Path, meaning: MaskMeaning | None = None) -> list[np.ndarray]:
    surveyed(data, meaning)
    found = [read_truth(one) for one in read_listing(data, meaning).photographs if one.is_bad]
    assert all(truth.dtype == np.uint8 and set(np.unique(truth)) <= {0, 255} for truth in found)
    return [truth > 0 for truth in found]


def in_colour(colour: tuple[int, int, int]) -> Draw:
    return lambda truth: np.where(truth[:, :, None], np.array(colour, np.uint8), 0).astype(np.uint8)


def halves(low: int, high: int, dtype: type = np.uint8) -> Draw:
    """The left half of the defect has one value, the right half another."""

    def draw(truth: np.ndarray) -> np.ndarray:
        columns = np.flatnonzero(truth.any(axis=0))
        mask = truth.astype(dtype) * low
        mask[:, columns[len(columns) // 2] :] = mask[:, columns[len(columns) // 2] :] // low * high
        return mask

    return draw


def with_alpha(truth: np.ndarray) -> np.ndarray:
    """A mask in the alpha channel: white, and transparent outside the defect."""
    return np.dstack([np.full((*SHAPE, 3), 255, np.uint8), truth.astype(np.uint8) * 255])


def opaque(truth: np.ndarray) -> np.ndarray:
    return np.dstack([in_colour((255, 255, 255))(truth), np.full(SHAPE, 255, np.uint8)])


@pytest.mark.parametrize(
    "draw",
    [
        lambda truth: truth.astype(np.uint8),
        lambda truth: truth.astype(np.uint8) * 255,
        in_colour((0, 0, 255)),
        in_colour((128, 0, 0)),
        halves(1, 3),
        halves(100, 200),
        lambda truth: truth.astype(np.uint16) * 65535,
        halves(1, 2, np.uint16),
        halves(256, 512, np.uint16),
        with_alpha,
        opaque,
        lambda truth: np.dstack([np.zeros((*SHAPE, 3), np.uint8), truth.astype(np.uint8) * 255]),
    ],
    ids=[
        "0/1",
        "0/255",
        "red",
        "dark-blue",
        "classes",
        "two-greys",
        "16-bit",
        "16-bit-classes",
        "16-bit-low",
        "white-alpha",
        "opaque",
        "alpha",
    ],
)
def test_exact_masks_mark_every_value_but_the_background(draw: Draw, tmp_path: Path) -> None:
    data = lay(tmp_path, [draw(truth) for truth in boxes()])
    for found, true in zip(truths(data), boxes(), strict=True):
        np.testing.assert_array_equal(found, true)


def test_a_palette_is_read_by_its_colours(tmp_path: Path) -> None:
    from PIL import Image

    data = lay(tmp_path, [truth.astype(np.uint8) for truth in boxes()])
    for index, truth in enumerate(boxes()):
        indexed = Image.fromarray(truth.astype(np.uint8) * 2, "P")
        indexed.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
        indexed.save(data / "mask" / f"{index}.png")
    for found, true in zip(truths(data), boxes(), strict=True):
        np.testing.assert_array_equal(found, true)


def test_many_classes_are_codes_and_no_grey(tmp_path: Path) -> None:
    masks = [truth.astype(np.uint8) * (1 + index) for index, truth in enumerate(boxes(8) + boxes(8) + boxes(8))]
    for found, mask in zip(truths(lay(tmp_path, masks)), sorted_as_text(masks), strict=True):
        np.testing.assert_array_equal(found, mask > 0)


def sorted_as_text(masks: list[np.ndarray]) -> list[np.ndarray]:
    return [masks[index] for index in sorted(range(len(masks)), key=str)]


def test_a_continuous_grey_marks_above_half_of_its_range(tmp_path: Path) -> None:
    blurred = [cv2.GaussianBlur(truth.astype(np.uint8) * 255, (0, 0), 2) for truth in boxes()]
    data = lay(tmp_path, blurred)
    for found, mask in zip(truths(data), blurred, strict=True):
        np.testing.assert_array_equal(found, mask > 127)
    assert surveyed(data).reading.meaning is MaskMeaning.HALF


def test_a_small_antialiased_defect_is_no_set_of_classes(tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    cv2.circle(mask, (40, 40), 3, 255, -1, cv2.LINE_AA)
    assert 4 < len(np.unique(mask)) <= 16
    np.testing.assert_array_equal(truths(lay(tmp_path, [mask]))[0], mask > 127)


def test_jpeg_masks_are_continuous_though_they_have_few_values(tmp_path: Path) -> None:
    data = lay(tmp_path, [truth.astype(np.uint8) * 255 for truth in boxes()], ".jpg")
    for found, true in zip(truths(data), boxes(), strict=True):
        assert (found != true).mean() < 0.01


@pytest.mark.parametrize(
    ("masks", "suffix", "message"),
    [
        (
            lambda t: [t[0] * 1, t[1] * 255],
            ".png",
            r"different meanings in one folder: 1, such as .*0\.png, have no value",
        ),
        (lambda t: [t[0].astype(np.uint16) * 65535, t[1] * 255], ".png", r"masks of 8 and of 16 bits in one folder"),
        (lambda t: [t[0] * 2, cv2.GaussianBlur(t[1] * 255, (0, 0), 2)], ".png", r"different meanings in one folder"),
        (lambda t: [one * 3 for one in t], ".jpg", r"lossy format .*no value above"),
        (
            lambda t: [cv2.GaussianBlur(t[0] * 255, (0, 0), 2), np.maximum(t[1] * 100, t[2] * 255)],
            ".png",
            r"1\.png has \d+ pixels in even areas of a grey between 31 and 127",
        ),
    ],
)
def test_masks_that_contradict_each_other_are_refused_by_name(
    masks: Callable[[list[np.ndarray]], list[np.ndarray]], suffix: str, message: str, tmp_path: Path
) -> None:
    data = lay(tmp_path, masks([truth.astype(np.uint8) for truth in boxes()]), suffix)
    with pytest.raises(DataError, match=message) as refusal:
        surveyed(data)
    assert "--masks" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    surveyed(data, MaskMeaning.NONZERO)


def inverted(truth: np.ndarray) -> np.ndarray:
    return np.where(truth, 0, 255).astype(np.uint8)


def half_covered(truth: np.ndarray) -> np.ndarray:
    """An inverted mask of a large defect, in which little more than half is marked."""
    mask = np.full(SHAPE, 255, np.uint8)
    mask[5:60, 5:60] = 0
    return mask


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda truth: np.zeros(SHAPE, np.uint8), r"^6 of 7 .*bad/0\.png \(its mask 0\.png marks nothing"),
        (inverted, r"^6 of 7 .*bad/0\.png \(its mask 0\.png marks 93% of it.*--masks"),
        (half_covered, r"^6 of 7 .*its mask 0\.png marks 56% of it"),
        (lambda truth: np.full((*SHAPE, 4), 255, np.uint8), r"^6 of 7 .*its mask 0\.png marks 100% of it"),
    ],
)
def test_a_mask_of_nothing_or_of_the_background_is_refused_by_name(draw: Draw, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        surveyed(lay(tmp_path, [draw(truth) for truth in boxes()]))


def test_one_inverted_mask_among_others_is_refused_by_name(tmp_path: Path) -> None:
    masks = [truth.astype(np.uint8) * 255 for truth in boxes()]
    masks[3] = inverted(boxes()[3])
    with pytest.raises(DataError, match=r"^1 of 7 .*bad/3\.png \(its mask 3\.png marks 93% of it"):
        surveyed(lay(tmp_path, masks))


def test_a_declared_meaning_is_what_is_read(tmp_path: Path) -> None:
    data = lay(tmp_path, [inverted(truth) for truth in boxes()])
    for found, true in zip(truths(data, MaskMeaning.INVERTED), boxes(), strict=True):
        np.testing.assert_array_equal(found, true)
    reading = surveyed(data, MaskMeaning.INVERTED).reading
    assert reading.declared
    assert str(reading) == "a value up to 127 of uint8 is defect (as --masks says)"


def test_one_split_is_read_as_the_whole_folder_says(tmp_path: Path) -> None:
    """From the masks of val/ alone, exact masks would be assumed."""
    lay(tmp_path / "train", [cv2.GaussianBlur(truth.astype(np.uint8) * 255, (0, 0), 2) for truth in boxes()])
    faint = np.where(boxes()[0], 255, 0).astype(np.uint8)
    faint[0, 0] = 20
    lay(tmp_path / "val", [faint])
    val = read_listing(tmp_path).splits["val"]
    assert survey(val).reading.meaning is MaskMeaning.HALF
    truth = next(read_truth(one) for one in val if one.is_bad)
    np.testing.assert_array_equal(truth > 0, boxes()[0])


def test_a_mask_of_floats_and_one_cut_short_are_refused_by_name(tmp_path: Path) -> None:
    data = lay(tmp_path, [truth.astype(np.uint8) for truth in boxes()])
    (data / "mask" / "0.png").unlink()
    cv2.imwrite(str(data / "mask" / "0.tif"), boxes()[0].astype(np.float32))
    whole = (data / "mask" / "1.png").read_bytes()
    (data / "mask" / "1.png").write_bytes(whole[: len(whole) // 2])
    noise = np.random.default_rng(0).integers(0, 255, SHAPE, np.uint8)
    (data / "mask" / "2.png").write_bytes(cv2.imencode(".jpg", noise)[1].tobytes()[:-600])
    with pytest.raises(DataError, match=r"^3 of 7 .*0\.tif: has samples of type float32; save it.*1\.png.*2\.png: "):
        surveyed(data)


def test_the_photograph_itself_is_no_mask(tmp_path: Path) -> None:
    data = lay(tmp_path, [truth.astype(np.uint8) for truth in boxes()])
    (data / "mask" / "0.png").write_bytes((data / "bad" / "0.png").read_bytes())
    with pytest.raises(DataError, match=r"0\.png"):
        surveyed(data)
    with pytest.raises(DataError, match=r"bad/0\.png \(its mask is the photograph itself: draw the mask"):
        surveyed(data, MaskMeaning.NONZERO)


def test_the_magnetic_tiles_read_as_grey_above_127(tiles: Path) -> None:
    masks = [one for one in read_listing(tiles).photographs if one.mask]
    assert len(masks) == 332
    for one in masks:
        grey = cv2.imread(str(one.mask), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(read_truth(one), np.where(grey > 127, 255, 0))
