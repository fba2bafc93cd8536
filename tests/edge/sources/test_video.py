"""Damaged videos: each frame that the container announces gives a capture, and damaged frames give no pixels."""

import io
import json
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from support.line import free_endpoint, ran

from edge.demo.line import DemoLine
from edge.errors import SourceError
from edge.sources import Capture, SourceRequest, open_source
from edge.verdict import Reason

SIZE = (144, 192)
FRAMES, KEYS = 36, 12
"""Number of frames of a video, and of frames from one key frame to the next."""

NOISE = np.random.default_rng(0).integers(0, 256, (SIZE[0] // 4, SIZE[1] // 4 + FRAMES), np.uint8).repeat(4, 0)


def scene(index: int) -> np.ndarray:
    """A moving landscape."""
    grey = np.ascontiguousarray(NOISE.repeat(4, 1)[:, 3 * index : 3 * index + SIZE[1]])
    return np.dstack([grey, grey, grey])


def write(path: Path, codec: str, pixel_format: str = "yuv420p", **options: str) -> Path:
    """Write FRAMES pictures at 25 per second. `options` are those of the encoder; muxer options begin with `mux_`."""
    for_muxer = {key.removeprefix("mux_"): value for key, value in options.items() if key.startswith("mux_")}
    for_encoder = {key: value for key, value in options.items() if not key.startswith("mux_")}
    with av.open(str(path), "w", options=for_muxer) as container:
        video = container.add_stream(codec, rate=25, options=for_encoder)
        video.height, video.width = SIZE
        video.pix_fmt, video.gop_size = pixel_format, KEYS
        for index in range(FRAMES):
            container.mux(video.encode(av.VideoFrame.from_ndarray(scene(index), format="bgr24")))
        container.mux(video.encode(None))
    return path


def write_jpegs(path: Path, jpegs: list[bytes]) -> Path:
    """Write Motion JPEG with these bytes, unchanged."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.height, video.width = SIZE
        video.pix_fmt = "yuvj420p"
        for number, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = video, number, number, True
            container.mux(packet)
    return path


def captures_of(path: Path, **options: object) -> list[Capture]:
    source = open_source(SourceRequest(str(path), **options))  # type: ignore[arg-type]
    captures = [capture for capture in source.captures() if capture is not None]
    source.close()
    return captures


def jpeg(index: int) -> bytes:
    return cv2.imencode(".jpg", scene(index))[1].tobytes()


def without_200_bytes(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 200 :]


def faults(captures: list[Capture]) -> list[int]:
    """Indices of the captures that are faults; each fault has a reason."""
    for capture in captures:
        assert (capture.frame is None) == (capture.fault is not None)
        assert capture.fault is None or capture.fault.reason is Reason.CORRUPT
    return [capture.index for capture in captures if capture.frame is None]


# ---- whole


WHOLE = {
    "h264.mp4": ("libx264", {}),
    "h264 in fragments.mp4": ("libx264", {"mux_movflags": "frag_keyframe+empty_moov"}),
    "h264.mkv": ("libx264", {}),
    "h264.avi": ("libx264", {}),
    "h264.ts": ("libx264", {}),
    "h265.mp4": ("libx265", {"x265-params": "log-level=none"}),
    "mpeg4.avi": ("mpeg4", {"bf": "2"}),
    "mpeg2.ts": ("mpeg2video", {"bf": "2"}),
    "vp8.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    "vp9.webm": ("libvpx-vp9", {}),
    "ffv1.mkv": ("ffv1", {"level": "3", "slicecrc": "1"}),
    "png.mov": ("png", {}),
}
FORMATS = {"png.mov": "rgb24"}


def whole(folder: Path, name: str) -> Path:
    codec, options = WHOLE[name]
    return write(folder / name.replace(" ", "-"), codec, FORMATS.get(name, "yuv420p"), **options)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_video_has_each_frame_and_no_fault(tmp_path: Path, name: str) -> None:
    captures = captures_of(whole(tmp_path, name))
    assert [capture.index for capture in captures] == list(range(FRAMES))
    assert faults(captures) == []
    for capture in captures:
        assert capture.frame is not None
        assert np.abs(capture.frame.astype(int) - scene(capture.index)).mean() < 20, capture.index


def test_the_last_frame_of_a_transport_stream_that_ends_within_a_packet_is_a_fault(tmp_path: Path) -> None:
    path = whole(tmp_path, "h264.ts")
    data = path.read_bytes()
    for length in range(100, 188 * 12, 188):
        path.write_bytes(data[:-length])
        captures = captures_of(path)
        last = max(capture.index for capture in captures)
        assert last in faults(captures), length


# ---- Motion JPEG


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov"])
def test_a_damaged_jpeg_of_a_video_is_a_fault_and_the_next_one_is_not(tmp_path: Path, suffix: str) -> None:
    jpegs = [jpeg(0), without_200_bytes(jpeg(0)), jpeg(2), jpeg(3)[:-900], jpeg(4)]
    captures = captures_of(write_jpegs(tmp_path / f"line{suffix}", jpegs))
    assert faults(captures) == [1, 3]


def test_a_video_that_begins_with_a_damaged_frame_is_opened(tmp_path: Path) -> None:
    source = open_source(SourceRequest(str(write_jpegs(tmp_path / "v.avi", [b"\xff\xd8\xff" + bytes(90), jpeg(1)]))))
    assert (source.shape, source.length) == (SIZE, 2)
    assert faults([capture for capture in source.captures() if capture is not None]) == [0]


def test_jpegs_of_another_size_than_the_video_says_are_faults(tmp_path: Path) -> None:
    smaller = cv2.imencode(".jpg", scene(1)[:72])[1].tobytes()
    assert faults(captures_of(write_jpegs(tmp_path / "v.avi", [jpeg(0), smaller, jpeg(2)]))) == [1]


# ---- damage


def hole(at: float, length: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(at * len(data))] + data[int(at * len(data)) + length :]


def zeros(at: float, length: int) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(at * len(data))] + bytes(length) + data[int(at * len(data)) + length :]


def cut(at: float) -> Callable[[bytes], bytes]:
    return lambda data: data[: int(at * len(data))]


def lost_packets(at: float, count: int) -> Callable[[bytes], bytes]:
    """Function that removes `count` packets of a transport stream, from the share `at` of its length on."""
    return lambda data: data[: int(at * len(data)) // 188 * 188] + data[(int(at * len(data)) // 188 + count) * 188 :]


def emptied(number: int) -> Callable[[bytes], bytes]:
    """Function that empties this frame's chunk in an AVI, as if a recorder had lost the frame."""

    def damaged(data: bytes) -> bytes:
        at = data.index(b"movi") + 4
        for _ in range(number):
            at += 8 + (struct.unpack_from("<I", data, at + 4)[0] + 1) // 2 * 2
        length = (struct.unpack_from("<I", data, at + 4)[0] + 1) // 2 * 2
        return data[: at + 4] + bytes(4) + data[at + 8 + length :]

    return damaged


DAMAGED = {
    "hole in the middle": ("h264.mp4", {"mux_movflags": "faststart"}, hole(0.5, 900)),
    "cut off": ("h264.mp4", {"mux_movflags": "faststart"}, cut(0.6)),
    "never written": ("h264.mp4", {"mux_movflags": "faststart"}, zeros(0.5, 600)),
    "fragments cut off": ("h264 in fragments.mp4", {}, cut(0.6)),
    "cluster lost": ("h264.mkv", {}, hole(0.5, 900)),
    "last cluster lost": ("h264.mkv", {}, cut(0.6)),
    "frame lost in an AVI": ("mpeg4.avi", {}, hole(0.5, 900)),
    "AVI cut off": ("mpeg4.avi", {}, cut(0.6)),
    "frame empty in an AVI": ("mpeg4.avi", {}, emptied(15)),
    "packets lost": ("h264.ts", {}, lost_packets(0.5, 5)),
    "many packets lost": ("h264.ts", {}, lost_packets(0.5, 16)),
    "MPEG-2's packets lost": ("mpeg2.ts", {}, lost_packets(0.5, 3)),
    "hole in VP9": ("vp9.webm", {}, hole(0.5, 200)),
    "checksum wrong": ("ffv1.mkv", {}, zeros(0.5, 3)),
    "PNG's checksum wrong": ("png.mov", {}, zeros(0.5, 3)),
    "hole in H.265": ("h265.mp4", {"mux_movflags": "faststart"}, hole(0.5, 900)),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_after_damage_each_promised_frame_is_there_and_none_shows_what_was_not_stored(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    of, options, damage = DAMAGED[name]
    codec, more = WHOLE[of]
    path = write(tmp_path / of.replace(" ", "-"), codec, FORMATS.get(of, "yuv420p"), **more, **options)
    stored = {capture.frame.tobytes() for capture in captures_of(path) if capture.frame is not None}
    path.write_bytes(damage(path.read_bytes()))
    capfd.readouterr()
    captures = captures_of(path)
    given = [capture for capture in captures if capture.frame is not None]
    if "fragments" in name:  # fragments give their numbers of frames; the number of fragments is unknown
        assert KEYS < len(captures) < FRAMES
    else:  # of a transport stream, half a frame may be left
        assert len(captures) - FRAMES in ((0, 1) if of.endswith(".ts") else (0,))
    assert faults(captures)
    assert all(capture.frame is not None and capture.frame.tobytes() in stored for capture in given)
    assert len(given) > KEYS // 2, "what is whole is shown"
    assert capfd.readouterr() == ("", "")


def test_after_damage_frames_have_their_own_numbers_again_from_the_next_key_frame_on(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mkv", "libx264")
    before = captures_of(path)
    path.write_bytes(zeros(0.5, 600)(path.read_bytes()))
    after = captures_of(path)
    assert faults(after)
    for one, other in zip(before, after, strict=True):
        if other.frame is not None:
            assert np.array_equal(one.frame, other.frame)  # type: ignore[arg-type]
    assert {capture.index for capture in after if capture.frame is not None} >= {*range(KEYS), *range(24, FRAMES)}


def test_intra_only_codecs_recover_at_the_next_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mov", "png", "rgb24")
    path.write_bytes(zeros(0.5, 3)(path.read_bytes()))
    assert len(faults(captures_of(path))) == 1


def test_start_limit_and_loop_count_missing_frames(tmp_path: Path) -> None:
    path = write_jpegs(tmp_path / "v.avi", [jpeg(index) for index in range(6)])
    path.write_bytes(emptied(2)(path.read_bytes()))
    assert faults(captures_of(path)) == [2]
    looped = captures_of(path, start=1, limit=15, loop=True)
    assert [capture.index for capture in looped] == list(range(1, 15))
    assert faults(looped) == [2, 8, 14]


@pytest.mark.parametrize("name", ["v.h264", "v.flv"])
def test_a_format_in_which_a_loss_could_not_be_seen_is_refused_with_its_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="record into an mp4 or mkv"):
        open_source(SourceRequest(str(write(tmp_path / name, "libx264"))))


# ---- pixels


@pytest.mark.parametrize("codec", ["libx264", "mjpeg"])
@pytest.mark.parametrize(
    ("turn", "mirrors"), [(0, False), (90, False), (180, False), (-90, False), (0, True), (90, True)]
)
def test_a_video_is_turned_as_players_show_it(tmp_path: Path, codec: str, turn: int, mirrors: bool) -> None:
    shown = np.zeros((64, 96, 3), np.uint8)
    shown[:32, :48], shown[:32, 48:], shown[32:, :48] = (255, 255, 255), (0, 0, 255), (0, 255, 0)
    with av.open(str(tmp_path / "v.mov"), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.height, video.width, video.pix_fmt = 64, 96, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.set_display_rotation(turn, hflip=mirrors)
        container.mux(video.encode(av.VideoFrame.from_ndarray(shown, format="bgr24")))
        container.mux(video.encode(None))
    source = open_source(SourceRequest(str(tmp_path / "v.mov")))
    [capture] = source.captures()
    expected = np.rot90(shown, turn // 90)
    expected = expected[:, ::-1] if mirrors else expected
    assert capture is not None
    assert capture.frame is not None
    assert source.shape == expected.shape[:2] == capture.frame.shape[:2]
    assert np.abs(capture.frame.astype(int) - expected).mean() < 8


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_motion_jpeg_is_turned_as_the_exif_of_its_pictures_says(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    file = io.BytesIO()
    Image.fromarray(scene(0)).save(file, "JPEG", quality=95, exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    captures = captures_of(write_jpegs(tmp_path / f"v.{suffix}", [file.getvalue()] * 3))
    assert [capture.fault for capture in captures] == [None] * 3
    for capture in captures:
        assert np.array_equal(capture.frame, shown[..., ::-1])


@pytest.mark.parametrize("suffix", ["mxf", "nut", "wmv", "gif", "y4m"])
def test_formats_that_hide_losses_are_refused(tmp_path: Path, suffix: str) -> None:
    codecs = {"mxf": "mpeg2video", "nut": "mpeg4", "wmv": "wmv2", "gif": "gif", "y4m": "wrapped_avframe"}
    pixels = {"gif": "rgb8"}
    path = tmp_path / f"v.{suffix}"
    if suffix == "y4m":
        path.write_bytes(b"YUV4MPEG2 W32 H32 F25:1 C420\n" + (b"FRAME\n" + bytes(32 * 32 * 3 // 2)) * 5)
    else:
        write(path, codecs[suffix], pixels.get(suffix, "yuv420p"))
    with pytest.raises(SourceError, match="record into an mp4 or mkv"):
        open_source(SourceRequest(str(path)))


def test_several_videos_in_a_file_are_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        for _ in range(2):
            video = container.add_stream("libx264", rate=25)
            video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        for video in container.streams.video:
            container.mux(video.encode(av.VideoFrame.from_ndarray(scene(0), format="bgr24")))
            container.mux(video.encode(None))
    with pytest.raises(SourceError, match="several videos"):
        open_source(SourceRequest(str(tmp_path / "v.mp4")))


def test_an_mkv_that_ends_before_its_first_frame_is_whole_has_a_fault_for_each_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mkv", "ffv1", "bgr0", level="3")
    with av.open(str(path)) as container:
        first = next(container.demux(container.streams.video[0]))
        path_of_cut = tmp_path / "cut.mkv"
        path_of_cut.write_bytes(path.read_bytes()[: first.pos + first.size // 2])
    assert len(captures_of(path_of_cut)) == FRAMES
    assert not [capture for capture in captures_of(path_of_cut) if capture.fault is None]


def test_a_recording_that_lost_power_is_told_from_what_is_no_video(tmp_path: Path) -> None:
    whole = write(tmp_path / "v.mp4", "libx264").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.mp4").write_bytes(b"this is a text file\n" * 50)
    with pytest.raises(SourceError, match="cut off before the index"):
        open_source(SourceRequest(str(tmp_path / "cut.mp4")))
    with pytest.raises(SourceError, match="no video"):
        open_source(SourceRequest(str(tmp_path / "text.mp4")))


def write_grey(path: Path, pixel_format: str, samples: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25, options={"level": "3"})
        video.height, video.width = samples.shape
        video.pix_fmt = pixel_format
        frame = av.VideoFrame(samples.shape[1], samples.shape[0], pixel_format)
        rows = np.zeros((samples.shape[0], frame.planes[0].line_size // 2), np.uint16)
        rows[:, : samples.shape[1]] = samples
        frame.planes[0].update(rows.tobytes())
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize("bits", [10, 12])
def test_the_pixel_format_says_how_many_bits_count(tmp_path: Path, bits: int) -> None:
    ramp = np.linspace(0, 2**bits - 1, 64).astype(np.uint16)
    path = write_grey(tmp_path / "v.mkv", f"gray{bits}le", np.broadcast_to(ramp, (48, 64)))
    [capture] = captures_of(path)
    assert capture.frame is not None
    assert np.abs(capture.frame[0, :, 1].astype(int) - (ramp >> (bits - 8))).max() <= 1


def test_of_sixteen_bits_a_person_says_how_many_count(tmp_path: Path) -> None:
    ramp = np.linspace(0, 4095, 64).astype(np.uint16)
    path = write_grey(tmp_path / "v.mkv", "gray16le", np.broadcast_to(ramp, (48, 64)))
    [told] = captures_of(path, bits=12)
    assert told.frame is not None
    assert np.array_equal(told.frame[0, :, 0], ramp >> 4)
    [untold] = captures_of(path)
    assert untold.frame is None
    assert "bits" in str(untold.fault)
    [wrong] = captures_of(path, bits=10)
    assert wrong.frame is None, "4095 is more than 10 bits hold"


# ---- a run


def run(source: Path) -> "subprocess.CompletedProcess[str]":
    ends = [part for name in ("bind", "control", "viewers") for part in (f"--{name}", free_endpoint())]
    return ran("run", "--source", source, "--no-records", "--json", *ends)


@pytest.fixture(scope="module")
def bad_part() -> bytes:
    """A JPEG of a bad part."""
    line = DemoLine(size=(720, 1280))
    part = next(part for part in map(line.render, range(100)) if part.part.defects)
    return cv2.imencode(".jpg", part.frame)[1].tobytes()


def test_a_run_over_a_video_with_damaged_frames_says_how_many_and_ends_with_1(tmp_path: Path, bad_part: bytes) -> None:
    with av.open(str(tmp_path / "v.avi"), "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.height, video.width, video.pix_fmt = 720, 1280, "yuvj420p"
        for number, data in enumerate((bad_part, without_200_bytes(bad_part))):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts = video, number, number
            container.mux(packet)
    done = run(tmp_path / "v.avi")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert (result["good"], result["reject"], result["unknown"]) == (0, 1, 1)
    assert result["reasons"] == {"corrupt": 1, "defect": 1}
    assert f"1 of 2 frames of {tmp_path / 'v.avi'} could not be judged: frame 1 (" in done.stderr


@pytest.mark.parametrize(("pictures", "code"), [(("whole",), 0), (("whole", "damaged"), 1)])
def test_a_run_over_a_folder_ends_alike(tmp_path: Path, bad_part: bytes, pictures: tuple[str, ...], code: int) -> None:
    for name in pictures:
        (tmp_path / f"{name}.jpg").write_bytes(bad_part if name == "whole" else without_200_bytes(bad_part))
    done = run(tmp_path)
    assert done.returncode == code, done.stderr
    assert ("1 of 2 frames" in done.stderr) == bool(code)
