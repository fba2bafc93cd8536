"""Stored pictures: a damaged, ambiguous, empty or multi-page file gives no frame; every other picture gives one."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from support.line import running_line

from edge.demo.line import DemoLine
from edge.errors import DataError
from edge.pictures import decode_picture, decode_unchanged, read_picture
from edge.pictures.bits import to_8_bits
from edge.pictures.blank import blank_fault
from edge.pictures.jpeg import decode_jpeg
from edge.sources import Capture, SourceRequest, open_source
from edge.sources import folder as folder_source
from edge.verdict import Outcome, Reason, Verdict

PART = DemoLine(size=(180, 320)).render(2).frame
"""A part of the demonstration line."""

NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def encoded(suffix: str, pixels: np.ndarray, *parameters: int) -> bytes:
    done, data = cv2.imencode(suffix, pixels, parameters)
    assert done
    return data.tobytes()


def saved(form: str, *pictures: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    further = {"save_all": True, "append_images": pictures[1:]} if pictures[1:] else {}
    pictures[0].save(file, form, **further, **options)  # type: ignore[arg-type]
    return file.getvalue()


def refusal(data: bytes, bits: int | None = None) -> str:
    with pytest.raises(DataError) as refused:
        decode_picture(data, bits)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# ---- damage


def test_a_jpeg_without_some_of_its_bytes_is_refused_without_a_temporary_file(tmp_path: Path) -> None:
    """In an earlier version a full or missing TMPDIR caused a damaged picture to be accepted."""
    whole = encoded(".jpg", PART)
    path = tmp_path / "damaged.jpg"
    path.write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 200 :])
    said = subprocess.run(
        [sys.executable, "-c", f"from edge.pictures import read_picture; read_picture({str(path)!r})"],
        env=os.environ | {"TMPDIR": str(tmp_path / "missing"), "TMP": "/proc/none", "TEMP": "/proc/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "DataError" in said.stderr
    assert "is damaged" in said.stderr


def test_zero_bytes_before_the_end_marker_are_padding_and_other_bytes_are_damage() -> None:
    whole = encoded(".jpg", PART)
    frame = decode_jpeg(whole)
    for count in (1, 8, 64, 500):
        assert np.array_equal(decode_jpeg(whole[:-2] + bytes(count) + whole[-2:]), frame)
    assert "extraneous" in refusal(whole[:-2] + b"\x12\x34\x56\x78" * 8 + whole[-2:])


def test_zeros_in_place_of_coded_pixels_are_no_padding() -> None:
    whole = encoded(".jpg", PART)
    for count in (20, 100, 300):
        assert "damaged" in refusal(whole[: -2 - count] + bytes(count) + whole[-2:])


@pytest.mark.parametrize(
    ("form", "parameters"),
    [(".png", ()), (".tif", (cv2.IMWRITE_TIFF_COMPRESSION, 8))],
)
def test_no_damage_passes_in_formats_with_a_checksum(form: str, parameters: tuple[int, ...]) -> None:
    whole = encoded(form, PART, *parameters)
    frame, rng = decode_picture(whole), np.random.default_rng(1)
    for position in rng.integers(0, len(whole), 150):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            judged = decode_picture(bytes(damaged))
        except DataError:
            continue
        assert np.array_equal(judged, frame), f"byte {position}"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_a_picture_cut_short_anywhere_is_refused(suffix: str) -> None:
    whole = encoded(suffix, PART)
    for end in np.random.default_rng(2).integers(1, len(whole) - 2, 60):
        refusal(whole[:end])


@pytest.mark.parametrize(
    ("suffix", "parameters"),
    [
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
        (".webp", (cv2.IMWRITE_WEBP_QUALITY, 95)),
    ],
    ids=["lossless", "lossy"],
)
def test_a_hole_of_zeros_in_a_webp_is_damage(suffix: str, parameters: tuple[int, ...]) -> None:
    """As after a full disk or an interrupted copy: the length is correct, and a piece consists of zeros."""
    whole = encoded(suffix, NOISE, *parameters)
    for start in (len(whole) // 3, len(whole) // 2, len(whole) - 600):
        assert "damaged" in refusal(whole[:start] + bytes(512) + whole[start + 512 :])
    assert "damaged" in refusal(whole[: len(whole) // 3] + bytes(len(whole) - len(whole) // 3))


@pytest.mark.parametrize("shown", [np.zeros((600, 800, 3), np.uint8), np.full((600, 800, 3), 255, np.uint8)])
def test_dark_and_light_grounds_are_no_holes(shown: np.ndarray) -> None:
    shown = shown.copy()
    shown[280:320, 350:450] = PART[:40, :100]
    for suffix, parameters in ((".jpg", ()), (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)), (".webp", ())):
        assert decode_picture(encoded(suffix, shown, *parameters)).shape == shown.shape
    assert decode_picture(encoded(".webp", shown, cv2.IMWRITE_WEBP_QUALITY, 101)).shape == shown.shape


def test_a_progressive_jpeg_without_its_later_scans_is_damaged() -> None:
    whole = encoded(".jpg", PART, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    scans = [at for at in range(len(whole)) if whole.startswith(b"\xff\xda", at)]
    assert len(scans) > 3
    for cut in scans[1:]:
        assert "scans of the progressive JPEG are missing" in refusal(whole[:cut] + b"\xff\xd9")
        assert "damaged" in refusal(whole[:cut] + bytes(100) + b"\xff\xd9")
    assert decode_picture(whole).shape == PART.shape


def test_two_pictures_in_one_file_are_refused() -> None:
    for suffix in (".jpg", ".png", ".bmp", ".webp"):
        assert "followed by other data" in refusal(encoded(suffix, PART) + b"\n" + encoded(suffix, NOISE))
        assert decode_picture(encoded(suffix, PART) + bytes(100)).shape == PART.shape, "zeros are padding"


def test_an_exif_thumbnail_is_no_second_picture() -> None:
    thumbnail = saved("JPEG", Image.new("RGB", (32, 32)))
    block = b"Exif\0\0" + thumbnail
    jpeg = encoded(".jpg", PART)
    assert (
        decode_picture(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]).shape
        == PART.shape
    )


# ---- size and memory


def png_header(width: int, height: int) -> bytes:
    """The header of a PNG with this size and one bit per pixel, without picture data."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [body, data, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


@pytest.mark.parametrize(("width", "height"), [(32_000, 32_000), (2**31 - 1, 2**31 - 1), (9000, 6000), (10_000, 100)])
def test_a_picture_larger_than_a_frame_is_refused_by_its_header(width: int, height: int) -> None:
    assert "at most" in refusal(png_header(width, height))


def test_a_picture_smaller_than_a_frame_is_refused() -> None:
    assert "12×12" in refusal(encoded(".png", np.zeros((12, 12, 3), np.uint8)))


# ---- pages


@pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "MPO"])
def test_a_file_of_several_pages_is_refused_and_not_judged_by_its_first(form: str) -> None:
    first, second = Image.fromarray(PART), Image.fromarray(PART[::-1].copy())
    assert "2 pages" in refusal(saved(form, first, second))


# ---- orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_in_every_format_as_viewers_do(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    file = io.BytesIO()
    Image.fromarray(NOISE[:40, :60]).save(file, form, exif=exif, **options)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue()))).convert("RGB")
    assert np.array_equal(decode_picture(file.getvalue()), np.asarray(shown)[..., ::-1])


def test_a_mask_is_turned_as_its_photograph_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE[:40, :60, 0]).save(tmp_path / "mask.png", exif=exif)
    assert decode_unchanged((tmp_path / "mask.png").read_bytes()).shape == (60, 40)


# ---- bits


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixels", [PART, PART[..., 1]], ids=["colour", "grey"])
def test_pictures_of_more_bits_become_the_same_eight(bits: int, suffix: str, pixels: np.ndarray) -> None:
    lower = np.random.default_rng(3).integers(0, 1 << (bits - 8), pixels.shape)
    stored = (pixels.astype(np.uint16) << (bits - 8)) + lower.astype(np.uint16)
    eight = decode_picture(encoded(".png", pixels))
    assert np.array_equal(decode_picture(encoded(suffix, stored), bits), eight)


def test_sixteen_bits_that_are_not_filled_are_refused_until_somebody_says_how_many_there_are() -> None:
    stored = encoded(".png", PART.astype(np.uint16) << 4)
    assert "bits 10, 12, 14 or 16" in refusal(stored)
    assert "more than 10 bits" in refusal(stored, 10)
    assert decode_picture(stored, 12).max() > 60
    assert "too dark for 14" in refusal(stored, 14), "told wrongly"
    assert "too dark for 16" in refusal(stored, 16)
    hot = PART.astype(np.uint16) << 4
    hot[5, 5] = 65535
    assert "too dark for 16" in refusal(encoded(".png", hot)), "one hot pixel proves nothing"


def test_sixteen_bits_that_are_filled_need_not_be_told() -> None:
    assert np.array_equal(decode_picture(encoded(".tif", PART.astype(np.uint16) * 257)), PART)


def packed_tiff(pixels: np.ndarray, bits: int) -> bytes:
    """A TIFF of grey samples with `bits` bits each, packed without gaps (TIFF 6.0, BitsPerSample)."""
    height, width = pixels.shape
    rows = ["".join(f"{int(value) << (bits - 8):0{bits}b}" for value in row) for row in pixels]
    strip = b"".join(int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big") for row in rows)
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 200), (277, 1), (278, height)]
    tags += [(279, len(strip))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + strip


@pytest.mark.parametrize("told", [None, 12, 16])
def test_a_file_that_says_its_bits_itself_needs_nobody_to_say_them(told: int | None) -> None:
    grey = PART[:40, :64, 1]
    assert np.array_equal(decode_picture(packed_tiff(grey, 12), told)[..., 1], grey)


def test_bits_are_scaled_as_a_camera_scales_them() -> None:
    samples = np.array([[0, 15, 16, 4095]], np.uint16)
    assert to_8_bits(samples, 12).tolist() == [[0, 0, 1, 255]]


def test_transparent_places_and_floating_point_are_refused() -> None:
    clear = np.dstack([PART, np.full(PART.shape[:2], 255, np.uint8)])
    assert np.array_equal(decode_picture(encoded(".png", clear)), PART)
    clear[5, 5, 3] = 0
    assert "transparent" in refusal(encoded(".png", clear))
    assert "float32" in refusal(encoded(".tif", NOISE[..., 0].astype(np.float32)))
    assert "CMYK" in refusal(saved("JPEG", Image.new("CMYK", (64, 64))))


# ---- blank pictures


@pytest.mark.parametrize(
    ("value", "reason"), [(0, "black"), (255, "saturated"), (128, "sharpness"), ((40, 90, 200), "sharpness")]
)
def test_a_stored_picture_of_nothing_is_unknown(tmp_path: Path, value: object, reason: str) -> None:
    nothing = np.full((180, 320, 3), value, np.uint8)
    assert str(blank_fault(nothing)).startswith(reason)
    for suffix in ("png", "jpg"):
        cv2.imwrite(str(tmp_path / f"{suffix}.{suffix}"), nothing)
    cv2.imwrite(str(tmp_path / "z.png"), PART)
    with running_line("--source", tmp_path) as line:
        assert line.to_the_end() == 0, line.stderr
    assert [(v.verdict, v.reason) for v in line.verdicts[:2]] == [(Outcome.UNKNOWN, Reason(reason))] * 2
    assert line.verdicts[2].score is not None


def test_the_cases_that_were_once_judged_wrongly(tmp_path: Path) -> None:
    whole = DemoLine(size=(360, 640)).render(8).frame
    jpeg = encoded(".jpg", whole)
    files = {
        "a.jpg": jpeg,
        "b.jpg": jpeg[: len(jpeg) // 2] + jpeg[len(jpeg) // 2 + 200 :],
        "c.png": encoded(".png", whole.astype(np.uint16) * 257),
        "d.png": encoded(".png", whole.astype(np.uint16) << 4),
        "e.tif": saved("TIFF", Image.fromarray(whole), Image.fromarray(whole)),
        "f.png": encoded(".png", np.zeros_like(whole)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with running_line("--source", tmp_path) as line:
        line.to_the_end()
    assert [(v.part, v.reason) for v in line.verdicts if v.score is None] == [
        ("b.jpg", Reason.CORRUPT), ("d.png", Reason.CORRUPT), ("e.tif", Reason.CORRUPT), ("f.png", Reason.BLACK)
    ]  # fmt: skip
    with running_line("--source", tmp_path / "d.png", "--bits", 12) as line:
        assert line.to_the_end() == 0, line.stderr
    assert line.verdicts[0].score is not None


# ---- a folder that is watched


def shown_until(captures: object, count: int, patience: int = 100) -> list[Capture]:
    found: list[Capture] = []
    for _ in range(patience):
        capture = next(captures)  # type: ignore[call-overload]
        found += [capture] if capture is not None else []
        if len(found) == count:
            break
    return found


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(folder_source, "WATCH_S", 0.05)
    return tmp_path


def test_a_file_that_is_overwritten_is_shown_again_and_one_that_is_renamed_is_not(watched: Path) -> None:
    captures = open_source(SourceRequest(str(watched), watch=True)).captures()
    (watched / "a.png").write_bytes(encoded(".png", PART))
    assert [c.name for c in shown_until(captures, 1)] == ["a.png"]
    (watched / "a.png").write_bytes(encoded(".png", PART[::-1].copy()))
    again = shown_until(captures, 1)[0]
    assert np.array_equal(again.frame, PART[::-1]), "overwritten in place"
    (watched / "new").write_bytes(encoded(".png", NOISE))
    (watched / "new").rename(watched / "a.png")
    assert np.array_equal(shown_until(captures, 1)[0].frame, NOISE), "renamed over it"
    (watched / "a.png").rename(watched / "done.png")
    (watched / "b.png").write_bytes(encoded(".png", PART))
    assert [c.name for c in shown_until(captures, 2, patience=12)] == ["b.png"]


def test_another_picture_that_looks_as_the_one_before_is_shown(watched: Path) -> None:
    """Inodes of deleted files are reused, and programs that copy files set their times: only the content distinguishes
    them.
    """
    captures = open_source(SourceRequest(str(watched), watch=True)).captures()
    path = watched / "a.bmp"
    for number, pixels in enumerate((PART, PART[::-1].copy(), PART[:, ::-1].copy())):
        data = encoded(".bmp", pixels)
        with path.open("r+b" if path.exists() else "wb") as file:  # the same inode, the same length
            file.write(data)
        os.utime(path, ns=(10**18, 10**18))
        shown = shown_until(captures, 1, patience=12)
        assert len(shown) == 1, f"write {number} is not shown"
        assert np.array_equal(shown[0].frame, pixels)
    path.chmod(0o600)
    assert shown_until(captures, 1, patience=8) == [], "the same content under a new time of change is no new write"


def test_a_picture_that_is_overwritten_before_its_turn_is_judged_as_it_is_then(watched: Path) -> None:
    captures = open_source(SourceRequest(str(watched), watch=True)).captures()
    for name in ("a.bmp", "b.bmp"):
        (watched / name).write_bytes(encoded(".bmp", PART))
    first = shown_until(captures, 1)
    slow = (watched / "b.bmp").open("r+b")
    slow.write(encoded(".bmp", NOISE)[:1000])
    slow.flush()
    assert first[0].name == "a.bmp"
    assert shown_until(captures, 1, patience=8) == [], "half of it is another picture"
    slow.write(encoded(".bmp", PART)[1000:])
    slow.close()
    assert [c.name for c in shown_until(captures, 1)] == ["b.bmp"]


def test_a_file_that_a_program_has_open_to_write_is_not_complete_however_long_it_rests(watched: Path) -> None:
    captures = open_source(SourceRequest(str(watched), watch=True)).captures()
    data = encoded(".png", PART)
    with (watched / "a.png").open("wb") as slow:
        slow.write(data[:100])
        slow.flush()
        assert shown_until(captures, 1, patience=8) == []
        slow.write(data[100:])
    assert shown_until(captures, 1)[0].fault is None


def test_a_process_that_takes_over_shows_what_came_meanwhile_and_nothing_twice(watched: Path) -> None:
    for name in ("a", "b", "c"):
        (watched / f"{name}.png").write_bytes(encoded(".png", PART))
    captures = open_source(SourceRequest(str(watched), watch=True)).captures()
    first = shown_until(captures, 3)
    (watched / "a.png").unlink()
    (watched / "d.png").write_bytes(encoded(".png", PART))
    request = SourceRequest(str(watched), start=3, after=first[-1].mark, watch=True)
    later = shown_until(open_source(request).captures(), 2, patience=12)
    assert [(c.index, c.name) for c in later] == [(3, "d.png")]
    request = SourceRequest(str(watched), start=4, after=first[-1].mark, watch=True)
    (watched / "e.png").write_bytes(encoded(".png", PART))
    after_poison = shown_until(open_source(request).captures(), 2, patience=12)
    assert [(c.index, c.name) for c in after_poison] == [(4, "e.png")], "the process died on d.png, which was given up"


def test_a_station_whose_capture_process_is_killed_judges_each_write_of_a_watched_folder_once(tmp_path: Path) -> None:
    with running_line("--source", tmp_path, "--watch") as line:
        for number in range(4):
            (tmp_path / f"{number}.new").write_bytes(encoded(".png", PART))
            (tmp_path / f"{number}.new").rename(tmp_path / f"{number}.png")
        line.until(4)
        os.kill(line.child("edge-capture"), 9)
        (tmp_path / "0.png").unlink()
        (tmp_path / "new").write_bytes(encoded(".png", PART))
        (tmp_path / "new").rename(tmp_path / "4.png")
        line.until(5)
        line.process.terminate()
        line.to_the_end()
    assert [verdict.part for verdict in line.verdicts] == [f"{number}.png" for number in range(5)]
    assert all(isinstance(verdict, Verdict) and verdict.score is not None for verdict in line.verdicts)


def test_read_picture_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(encoded(".png", PART)[:-30])
    with pytest.raises(DataError, match=str(path)):
        read_picture(path)
