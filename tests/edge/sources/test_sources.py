"""Sources on real files: order, numbers, faults and times of captures."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.line import running_line

from edge.demo.line import DemoLine
from edge.demo.line_names import LineName
from edge.demo.lines import open_line
from edge.errors import DataError, SourceError
from edge.pictures import read_picture
from edge.sources import Capture, Source, SourceRequest, kind_of, known_size, list_sources, open_source
from edge.sources import folder as folder_source
from edge.verdict import Reason, State

BLUE, ORANGE = (200, 40, 20), (30, 120, 240)


def taken(source: Source) -> list[Capture]:
    captures = list(source.captures())
    source.close()
    source.close()
    return captures


def captures_of(name: str | Path, **options: object) -> list[Capture]:
    return taken(open_source(SourceRequest(str(name), **options)))  # type: ignore[arg-type]


def picture(width: int = 48, height: int = 32, colour: tuple[int, int, int] = BLUE) -> np.ndarray:
    frame = np.full((height, width, 3), colour, np.uint8)
    frame[: height // 2, : width // 2] = ORANGE
    return frame


def noisy_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


# ---- pictures


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".bmp", ".tif", ".TIFF", ".webp"])
def test_every_kind_of_picture_becomes_a_bgr_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"one{suffix}"
    path.write_bytes(cv2.imencode(suffix.lower(), picture())[1].tobytes())
    frame = read_picture(path)
    assert frame.shape == (32, 48, 3)
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert np.abs(frame[28, 40].astype(int) - BLUE).max() < 12


def test_grey_sixteen_bits_and_alpha_become_three_channels_of_eight_bits(tmp_path: Path) -> None:
    grey = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    stored = {
        "grey.png": grey,
        "grey16.png": grey.astype(np.uint16) * 257,
        "colour16.tif": np.dstack([grey] * 3).astype(np.uint16) * 257,
        "opaque.png": np.dstack([grey, grey, grey, np.full_like(grey, 255)]),
    }
    for name, pixels in stored.items():
        cv2.imwrite(str(tmp_path / name), pixels)
        assert np.array_equal(read_picture(tmp_path / name), np.dstack([grey] * 3)), name


def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path: Path) -> None:
    quarter_turn = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = cv2.imencode(".jpg", picture())[1].tobytes()
    tagged = jpeg[:2] + b"\xff\xe1" + (len(quarter_turn) + 2).to_bytes(2, "big") + quarter_turn + jpeg[2:]
    path = tmp_path / "turned.jpg"
    path.write_bytes(tagged)
    stored = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(read_picture(path), cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE))


def flipped(data: bytes) -> bytes:
    damaged = bytearray(data)
    for position in np.random.default_rng(0).integers(len(data) // 3, len(data) - 10, 20):
        damaged[position] ^= 0x55
    return bytes(damaged)


CORRUPT = {
    "text.jpg": b"this is a text file\n" * 50,
    "empty.png": b"",
    "half.jpg": noisy_jpeg()[: len(noisy_jpeg()) // 2],
    "almost.jpg": noisy_jpeg()[:-2],
    "flipped.jpg": flipped(noisy_jpeg()),
    "half.png": cv2.imencode(".png", picture())[1].tobytes()[:-30],
    "half.bmp": cv2.imencode(".bmp", picture())[1].tobytes()[:-300],
    "half.tif": cv2.imencode(".tif", picture())[1].tobytes()[:-300],
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_picture_is_one_clear_line_and_no_noise(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(CORRUPT[name])
    with pytest.raises(DataError) as refusal:
        read_picture(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


# ---- folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten pictures in several folders, among files that are not pictures."""
    folder = tmp_path / "photos"
    counted = [
        "b/2.png",
        "b/10.JPG",
        "a.jpg",
        "a/c.bmp",
        "z.webp",
        "b/deep/er/x.tif",
        "B.jpeg",
        "m.PNG",
        "n.Tiff",
        "é.jpg",
    ]
    others = ["mask/a.png", "b/masks/2.png", "b/ground_truth/2.png", ".hidden.jpg", ".cache/x.jpg", "b/.x.png"]
    for number, name in enumerate(counted + others):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix.lower(), picture(40 + number, 30))[1].tobytes())
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_a_folder_gives_its_pictures_sorted_and_nothing_else(photos: Path) -> None:
    source = open_source(SourceRequest(str(photos)))
    assert (source.length, source.shape, source.live, source.simulated) == (10, None, False, False)
    captures = taken(source)
    names = [capture.name for capture in captures]
    assert names == sorted(names)
    assert set(names) == {
        "b/2.png", "b/10.JPG", "a.jpg", "a/c.bmp", "z.webp", "b/deep/er/x.tif", "B.jpeg", "m.PNG", "n.Tiff", "é.jpg",
    }  # fmt: skip
    assert [capture.index for capture in captures] == list(range(10))
    assert all(capture.frame is not None and capture.fault is None for capture in captures)
    assert all(capture.captured_ns is None and capture.truth is None for capture in captures)
    assert {capture.name: capture.frame.shape[1] for capture in captures}["b/deep/er/x.tif"] == 45


def test_a_corrupt_picture_is_a_fault_and_the_folder_goes_on(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, data in CORRUPT.items():
        (photos / name).write_bytes(data)
    (photos / "gone.jpg").symlink_to(photos / "nowhere")
    captures = captures_of(photos)
    assert len(captures) == 10 + len(CORRUPT) + 1
    for capture in captures:
        is_corrupt = capture.name in CORRUPT or capture.name == "gone.jpg"
        assert (capture.frame is None) == is_corrupt
        assert (capture.fault is not None) == is_corrupt
        if capture.fault is not None:
            assert capture.fault.reason is Reason.CORRUPT
            assert "\n" not in capture.fault.detail
    assert capfd.readouterr().err == ""


def test_a_single_picture_is_a_source_of_one(photos: Path) -> None:
    [capture] = captures_of(photos / "b" / "10.JPG")
    assert capture.name == "10.JPG"
    assert capture.frame is not None


@pytest.mark.parametrize("fill", [[], ["notes.txt", "mask/a.png"]])
def test_a_folder_without_pictures_is_refused(tmp_path: Path, fill: list[str]) -> None:
    for name in fill:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(SourceError, match=rf"no pictures in folder {tmp_path}.*jpg"):
        open_source(SourceRequest(str(tmp_path)))


def test_start_limit_and_loop_of_a_folder_are_exact(photos: Path) -> None:
    everything = [capture.name for capture in captures_of(photos)]
    middle = captures_of(photos, start=3, limit=7)
    assert [(c.index, c.name) for c in middle] == list(enumerate(everything))[3:7]
    looped = captures_of(photos, start=8, limit=23, loop=True)
    assert [(c.index, c.name) for c in looped] == [(i, everything[i % 10]) for i in range(8, 23)]
    for options, length in [
        ({"start": 3, "limit": 7}, 4),
        ({"start": 3}, 7),
        ({"limit": 50}, 10),
        ({"start": 12}, 0),
        ({"limit": 50, "loop": True}, 50),
        ({"loop": True}, None),
        ({"limit": 0}, 0),
    ]:
        source = open_source(SourceRequest(str(photos), **options))
        assert source.length == length, options
        if length is not None:
            assert len(taken(source)) == length, options


# ---- video


def write_video(path: Path, codec: str, frames: int = 12, rate: float = 25) -> Path:
    """Frame k is grey with level 20·k."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (64, 48))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    writer.release()
    return path


def frame_numbers(captures: list[Capture]) -> list[int]:
    return [round(float(capture.frame.mean()) / 20) for capture in captures if capture.frame is not None]


@pytest.mark.parametrize(
    ("name", "codec"), [("v.mp4", "mp4v"), ("v.avi", "MJPG"), ("v.mkv", "mp4v"), ("v.mov", "mp4v")]
)
def test_a_video_gives_every_frame_in_order(tmp_path: Path, name: str, codec: str) -> None:
    source = open_source(SourceRequest(str(write_video(tmp_path / name, codec))))
    assert (source.length, source.shape, source.live, source.simulated) == (12, (48, 64), False, False)
    captures = taken(source)
    assert frame_numbers(captures) == list(range(12))
    assert [capture.index for capture in captures] == list(range(12))
    assert all(capture.frame is not None and capture.frame.flags.c_contiguous for capture in captures)


def test_a_video_is_decoded_where_there_is_room_for_it(tmp_path: Path) -> None:
    path = write_video(tmp_path / "line.avi", "MJPG")
    plain, roomy = open_source(SourceRequest(str(path))), open_source(SourceRequest(str(path)))
    room = np.zeros((48, 64, 3), np.uint8)
    roomy.room = room  # type: ignore[attr-defined]
    for own, lent in zip(plain.captures(), roomy.captures(), strict=True):
        assert own is not None
        assert lent is not None
        assert lent.frame is not None
        assert lent.frame.ctypes.data == room.ctypes.data
        assert np.array_equal(own.frame, room)  # type: ignore[arg-type]


def test_start_limit_and_loop_of_a_video_are_exact(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", "mp4v")
    middle = captures_of(video, start=5, limit=9)
    assert [capture.index for capture in middle] == frame_numbers(middle) == [5, 6, 7, 8]
    looped = captures_of(video, start=10, limit=27, loop=True)
    assert [capture.index for capture in looped] == list(range(10, 27))
    assert frame_numbers(looped) == [index % 12 for index in range(10, 27)]
    assert captures_of(video, start=30) == []


def test_a_video_can_be_read_again_and_ends_when_closed(tmp_path: Path) -> None:
    source = open_source(SourceRequest(str(write_video(tmp_path / "v.mp4", "mp4v")), loop=True))
    captures = source.captures()
    assert frame_numbers([next(captures), next(captures)]) == [0, 1]
    source.close()
    assert list(captures) == []


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 100, None])
def test_a_file_that_is_no_video_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(write_video(tmp_path / "v.mp4", "mp4v").read_bytes()[:-500] if content is None else content)
    capfd.readouterr()
    with pytest.raises(SourceError, match=rf"^{path}: no video"):
        open_source(SourceRequest(str(path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("rate", [10, 40])
def test_a_video_at_the_rate_of_its_file_is_as_fast_as_its_container_says(tmp_path: Path, rate: int) -> None:
    video = write_video(tmp_path / "v.mp4", "mp4v", frames=6, rate=rate)
    source = open_source(SourceRequest(str(video), rate="file"))
    assert source.live
    stamps = [capture.captured_ns for capture in taken(source)]
    took_s = (stamps[-1] - stamps[0]) / 1e9  # type: ignore[operator]
    assert 5 / rate - 0.01 < took_s < 5 / rate + 0.5
    assert not open_source(SourceRequest(str(video))).live, "unless that is asked for, frames wait"


@pytest.mark.parametrize("name", ["demo", "replay", "."])
def test_what_has_no_rate_of_its_own_says_so_in_one_line(photos: Path, name: str) -> None:
    where = str(photos) if name == "." else name
    with pytest.raises(SourceError, match=rf"^{where} says no rate of its own; give --rate pictures a second"):
        open_source(SourceRequest(where, rate="file"))


# ---- demo


def test_the_demo_line_tells_the_truth_of_each_part() -> None:
    source = open_source(SourceRequest("demo", size=(64, 96), limit=40))
    assert (source.length, source.shape, source.live, source.simulated) == (40, (64, 96), False, True)
    captures = taken(source)
    assert {capture.truth for capture in captures} == {"good", "bad"}
    for capture in captures:
        assert capture.captured_ns is None, "a part that waits until it is taken has no moment of exposure"
        assert capture.details["code"] == capture.name
        assert ("defect" in capture.details) == (capture.truth == "bad")


def test_a_restarted_demo_line_goes_on_where_it_stopped() -> None:
    whole = captures_of("demo", size=(64, 96), limit=6, seed=3)
    rest = captures_of("demo", size=(64, 96), limit=6, seed=3, start=4)
    assert [capture.index for capture in rest] == [4, 5]
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(whole[4:], rest, strict=True))  # type: ignore[arg-type]


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(DataError, match=r"empty\.jpg: the file is empty"):
        read_picture(tmp_path / "empty.jpg")


def test_the_demo_line_is_endless_and_as_large_as_a_camera_by_default() -> None:
    source = open_source(SourceRequest("demo"))
    assert source.length is None
    assert source.shape == (720, 1280)


@pytest.mark.parametrize("name", ["codes", "pour"])
def test_the_demo_source_shows_the_line_that_it_is_asked_for(name: LineName) -> None:
    source = open_source(SourceRequest("demo", line=name, seed=6, limit=12))
    assert (source.shape, source.simulated, source.length) == (None, True, 12)
    line = open_line(name, 6)
    for index, capture in enumerate(taken(source)):
        photograph = line.render(index)
        assert (capture.index, capture.name, capture.truth) == (index, photograph.part.code, photograph.part.truth)
        assert np.array_equal(capture.frame, photograph.frame)
        assert ("defect" in capture.details) == (capture.truth == "bad")
    assert known_size(SourceRequest("demo", line=name)) is None
    assert known_size(SourceRequest("demo")) == (720, 1280)


@pytest.mark.parametrize("name", ["codes", "pour"])
def test_a_station_judges_the_rendered_line_with_its_truth(name: LineName) -> None:
    with running_line("--source", "demo", "--line", name, "--limit", 8) as line:
        assert line.to_the_end() == 0, line.stderr
    parts = [open_line(name).part(index) for index in range(8)]
    assert [(v.part, v.truth) for v in line.verdicts] == [(part.code, part.truth) for part in parts]
    assert all(v.score is not None and v.simulated for v in line.verdicts)


@pytest.mark.parametrize("kind", ["demo", "folder", "video"])
def test_a_given_rate_is_kept_without_drift_whatever_the_reader_does(tmp_path: Path, photos: Path, kind: str) -> None:
    name = {"demo": "demo", "folder": str(photos), "video": str(tmp_path / "v.mp4")}[kind]
    write_video(tmp_path / "v.mp4", "mp4v")
    source = open_source(SourceRequest(name, rate=50.0, size=(64, 96) if kind == "demo" else None, loop=True))
    assert source.live
    captures: Iterator[Capture] = source.captures()
    stamps = []
    for _ in range(20):
        capture = next(captures)
        assert capture.captured_ns is not None
        assert capture.captured_ns <= time.monotonic_ns()
        stamps.append(capture.captured_ns)
        time.sleep(0.010)  # half a period: delays would accumulate if deadlines followed from the last frame
    early_ms = [(20.0 * k - (stamp - stamps[0]) / 1e6) for k, stamp in enumerate(stamps)]
    assert max(early_ms) < 15, "no frame comes before its time"
    assert (stamps[-1] - stamps[0]) / 1e6 < 1.25 * 380


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"rate": 0.0}, "rate 0"),
        ({"rate": -3.0}, "rate -3"),
        ({"start": -1}, "start -1"),
        ({"limit": -1}, "limit -1"),
        ({"size": (8, 8)}, "8x8"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_an_impossible_request_is_refused(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        open_source(SourceRequest("demo", **options))  # type: ignore[arg-type]


def test_a_picture_that_is_still_being_written_is_not_shown_because_another_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_source, "WATCH_S", 1.0)
    whole = cv2.imencode(".png", picture())[1].tobytes()
    (tmp_path / "a.png").write_bytes(whole)
    captures = open_source(SourceRequest(str(tmp_path), watch=True)).captures()
    assert next(captures) is None
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    first = next(capture for capture in captures if capture is not None)
    assert next(captures) is None
    (tmp_path / "b.png").write_bytes(whole)
    second = next(capture for capture in captures if capture is not None)
    assert [(c.name, c.fault) for c in (first, second)] == [("a.png", None), ("b.png", None)]


# ---- names of sources


def test_every_kind_claims_the_names_that_it_says_are_its(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photographs").mkdir()
    for name in ("one.png", "line.mp4", "line.avi", "line.mkv"):
        (tmp_path / name).touch()
    for listed in list_sources():
        assert listed.written
        for name in (name.removesuffix("…") + "x" * name.endswith("…") for name in listed.written):
            assert kind_of(name) is import_module(f"edge.sources.{listed.kind}").KIND, name


def test_what_always_works_lacks_nothing() -> None:
    missing = {listed.kind: listed.missing for listed in list_sources()}
    assert [missing[kind] for kind in ("demo", "belt", "replay", "clock", "folder")] == [None] * 5


def test_without_pyav_its_sources_say_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['av'] = None\nfrom edge.sources import SourceRequest, list_sources, open_source\n"
        "print(*[one.missing for one in list_sources() if one.kind in ('stream', 'video')], sep='\\n')\n"
        "for name in ('rtsp://user:secret@127.0.0.1/', sys.executable):\n"
        "    try: open_source(SourceRequest(name))\n    except Exception as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    missing = "PyAV, a dependency of edge-inspect, is not installed: pip install 'av>=18'"
    assert said.stdout.splitlines() == [
        missing, missing, f"rtsp://***@127.0.0.1/: {missing}", f"{sys.executable}: {missing}",
    ], said.stderr  # fmt: skip


def test_an_unknown_source_is_refused_by_name() -> None:
    with pytest.raises(SourceError, match=r"no such source: 'nothing\.mp4'"):
        open_source(SourceRequest("nothing.mp4"))


def test_a_watched_folder_shows_what_comes_when_it_is_complete_and_in_the_order_it_was_written(tmp_path: Path) -> None:
    done, encoded = cv2.imencode(".png", np.full((40, 40, 3), 90, np.uint8))
    assert done
    whole = encoded.tobytes()
    (tmp_path / "z.png").write_bytes(whole)
    source = open_source(SourceRequest(str(tmp_path), watch=True, limit=4))
    shown: list[str] = []
    for turn, capture in enumerate(source.captures()):
        if capture is not None:
            assert capture.fault is None, "half a picture is not shown"
            shown.append(capture.name)
        if len(shown) == 1 and not (tmp_path / "b.png").exists():
            (tmp_path / "b.png").write_bytes(whole)
            (tmp_path / "notes.txt").write_bytes(b"no picture")
            with (tmp_path / "a.png").open("wb") as slow:
                for cut in range(0, len(whole), max(1, len(whole) // 8)):
                    slow.write(whole[cut : cut + max(1, len(whole) // 8)])
                    slow.flush()
                    os.fsync(slow.fileno())
        if len(shown) == 3 and not (tmp_path / "c.png").exists():
            (tmp_path / "c.png").write_bytes(whole)
        assert turn < 200
    assert shown == ["z.png", "b.png", "a.png", "c.png"]


def test_a_line_on_a_watched_folder_judges_what_is_dropped_there_and_ends_when_told(tmp_path: Path) -> None:
    line_ = DemoLine(size=(180, 320))
    with running_line("--source", tmp_path, "--watch") as line:
        line.until_state(State.READY)
        for number in range(5):
            cv2.imwrite(str(tmp_path / f"new{number}.part.png"), line_.render(number).frame)
            (tmp_path / f"new{number}.part.png").rename(tmp_path / f"{number}.png")
            line.until(number + 1)
        line.process.send_signal(signal.SIGTERM)
        assert line.to_the_end() == 0, line.stderr
    assert [v.part for v in line.verdicts] == [f"{number}.png" for number in range(5)]
    assert all(v.score is not None for v in line.verdicts)


@pytest.mark.parametrize("flags", [{"loop": True}, {"rate": 5.0}])
def test_a_watched_folder_has_no_loop_and_no_rate(tmp_path: Path, flags: dict[str, object]) -> None:
    with pytest.raises(SourceError, match="--loop and --rate"):
        open_source(SourceRequest(str(tmp_path), watch=True, **flags))  # type: ignore[arg-type]


def test_what_a_folder_holds_beside_pictures_is_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    assert open_source(SourceRequest(str(tmp_path))).remarks == ()  # type: ignore[attr-defined]
    for name in ("b.gif", "c.PGM", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    [remark] = open_source(SourceRequest(str(tmp_path))).remarks  # type: ignore[attr-defined]
    assert "2 files left out" in remark
    assert "b.gif, c.PGM" in remark


def test_a_folder_that_is_a_link_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "shown").mkdir()
    cv2.imwrite(str(tmp_path / "shown" / "a.png"), picture())
    (tmp_path / "shown" / "more").symlink_to(tmp_path / "real")
    with pytest.raises(SourceError, match="more is a link"):
        open_source(SourceRequest(str(tmp_path / "shown")))
