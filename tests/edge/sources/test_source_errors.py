"""Every error that a person can make with a source or a key of the configuration: one line that names it, exit code 2.

The command runs in this process where it would not start others, and in one of its own where it would.
"""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from support.fake_genicam import is_possible
from support.line import free_endpoint, ran

from edge.cli import run_app
from edge.cli.run import app
from edge.sources.aravis import LIBRARIES
from edge.station.config.settings import CAMERA, Settings

Refused = Callable[..., str]
needs_aravis = pytest.mark.skipif(not is_possible(), reason="Aravis is not installed: apt install libaravis-0.8-0")
no_camera = pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="a camera is connected")


class Mistake(NamedTuple):
    """A value of a key in the file, as TOML, and words of the one line that answers it."""

    value: str
    says: str
    runs_children: bool = False


KEYS = {
    "source": [
        Mistake("5", "source = 5: must be text; the setting: demo, camera0,"),
        Mistake('"nosuch.mp4"', "no such source: 'nosuch.mp4' is neither a file, a folder nor a known name", True),
        Mistake('""', "source = '': must have at least 1 character"),
    ],
    "read_code": [Mistake("5", "read_code = 5"), Mistake('"Serial"', "read_code = 'Serial': must match the pattern")],
    "code_formats": [
        Mistake("5", "code_formats.0 = 5"),
        Mistake('["zz"]', "code_formats.0 = 'zz': must be 'datamatrix'"),
    ],
    "code_region": [
        Mistake('"5"', "code_region = '5': give left, top, width and height"),
        Mistake('"0,0,64x48"', "give --read-code NAME, too"),
    ],
    "code_pattern": [Mistake('"("', "code_pattern = '(': that is no regular expression: missing )")],
    "bundle": [Mistake("5", "bundle = 5"), Mistake('"nosuch.edge"', "nosuch.edge: no such folder")],
    "station": [Mistake("[]", "station = []"), Mistake('".."', "station name '..': use letters, digits")],
    "bind": [Mistake("5570", "bind = 5570"), Mistake('"5570"', "'5570' is no endpoint; one looks like tcp://")],
    "control": [Mistake('"5570"', "'5570' is no endpoint")],
    "viewers": [Mistake('"udp:1"', "'udp:1' is no endpoint")],
    "keys": [Mistake('"nowhere"', "nowhere")],
    "insecure": [Mistake('"perhaps"', "insecure = 'perhaps': must be true or false")],
    "require": [Mistake("1", "require.0 = 1"), Mistake('["a b"]', "controller name 'a b'")],
    "trigger": [Mistake('"sometimes"', "trigger = 'sometimes': must be 'free'")],
    "policy": [Mistake('"newest"', "policy = 'newest': must be 'every' or 'latest'")],
    "budget_ms": [Mistake("0", "budget_ms = 0"), Mistake('"soon"', "budget_ms = 'soon'"), Mistake("nan", "nan")],
    "stale_ms": [Mistake("-1", "stale_ms = -1"), Mistake("nan", "stale_ms = nan")],
    "envelope": [Mistake('"none.json"', "none.json: no envelope of brightness and sharpness; edge-run --comm", True)],
    "region": [
        Mistake("[{left = 0}]", "region.0 = {'left': 0}: give left, top, width and height in pixels as text"),
        Mistake('"-1,0,9x9"', "region.0 = '-1,0,9x9'"),
    ],
    "camera": [
        Mistake("5", "camera = 5"),
        Mistake("{exposure = 5}", "no such setting: camera.exposure; did you mean exposure_us?"),
        Mistake("{zzz = 5}", f"no such setting: camera.zzz; a camera has {', '.join(CAMERA)}"),
    ],
    "presence": [
        Mistake("{frames = 0}", "presence.frames = 0"),
        Mistake('{axis = "z"}', "presence.axis = 'z': must be 'x' or 'y'"),
        Mistake("{smallest = 2}", "presence.smallest = 2"),
        Mistake("{frame = 2}", "no such setting: presence.frame; did you mean frames?"),
        Mistake("{zzz = 2}", "no such setting: presence.zzz; presence has axis, smallest, frames, aggregate, alone"),
    ],
    "belt": [
        Mistake('{speed = "fast"}', "belt.speed = 'fast'"),
        Mistake("{sped = 1}", "no such setting: belt.sped; did you mean speed?"),
        Mistake("{zzz = 1}", "no such setting: belt.zzz; a belt has speed, pitch, jitter"),
    ],
    "resume_frames": [Mistake("-1", "resume_frames = -1"), Mistake("2.5", "resume_frames = 2.5")],
    "backend": [Mistake('"tensorrt"', "no artifact 'tensorrt'; the bundle has onnxruntime, openvino", True)],
    "threads": [Mistake("0", "threads = 0"), Mistake('"many"', "threads = 'many'")],
    "spinning": [Mistake('"much"', "spinning = 'much'")],
    "keep_warm": [Mistake('"well"', "keep_warm = 'well'")],
    "tuned": [Mistake('"in"', "tuned = 'in'")],
    "streams": [Mistake("0", "streams = 0")],
    "size": [Mistake('"wide"', "size 'wide': give width and height in pixels, as in 1280x720"), Mistake("640", "640")],
    "bits": [Mistake("11", "bits = 11"), Mistake("8", "bits = 8")],
    "rate": [
        Mistake("20", "rate = 20: give a rate with its unit, as in 10/s or 600/min, or file"),
        Mistake("nan", "rate = nan: give a rate"),
        Mistake('"0/s"', "rate = '0/s': give a rate"),
        Mistake('"fast"', "rate = 'fast': give a rate"),
        Mistake("[5]", "rate = [5]: give a rate"),
    ],
    "limit": [Mistake("0", "limit = 0"), Mistake("1.5", "limit = 1.5")],
    "loop": [Mistake('"often"', "loop = 'often'")],
    "watch": [Mistake("3", "watch = 3")],
    "seed": [Mistake("-1", "seed = -1")],
    "line": [Mistake('"plate"', "line = 'plate': must be 'plates', 'codes' or 'pour'")],
    "wait_subscribers": [Mistake("-1", "wait_subscribers = -1")],
    "products": [
        Mistake(
            '"a"',
            "products = 'a': give NAME=BUNDLE[,number=N][,budget_ms=MS][,envelope=FILE][,exposure_us=US][,gain_db=DB]",
        ),
        Mistake('["a=demo,envelope=none.json"]', "none.json: no envelope of brightness and sharpness"),
        Mistake('[{name = "a"}]', "products.0.bundle"),
        Mistake('["a=demo", "a=demo"]', "two products have the name a"),
        Mistake('["a=demo,number=0"]', "products.0.number = '0'"),
        Mistake('["a=nowhere"]', "nowhere: no such folder"),
    ],
    "candidates": [
        Mistake("5", "candidates = 5"),
        Mistake('"nowhere"', "candidates: nowhere is no folder"),
    ],
    "promote_after": [Mistake("0", "promote_after = 0"), Mistake('"soon"', "promote_after = 'soon'")],
    "promote_flips": [Mistake("-1", "promote_flips = -1"), Mistake("1.5", "promote_flips = 1.5")],
    "challenge": [Mistake("5", "challenge = 5"), Mistake('"bad.png"', "challenge needs records")],
    "challenge_minutes": [Mistake("0", "challenge_minutes = 0"), Mistake('"often"', "challenge_minutes = 'often'")],
    "trust": [Mistake('"one.pub"', "one.pub"), Mistake('["none.pub"]', "none.pub")],
    "records": [Mistake("5", "records"), Mistake('"/dev/null/x"', "/dev/null/x: records cannot be kept there")],
    "keep_goods": [Mistake("-1", "keep_goods = -1")],
    "keep_gib": [Mistake("0", "keep_gib = 0")],
    "keep_days": [Mistake("0", "keep_days = 0")],
    "keep_journal_gib": [Mistake("0", "keep_journal_gib = 0")],
    "keep_verdicts_days": [Mistake("0", "keep_verdicts_days = 0")],
    "drift_hours": [Mistake("-1", "drift_hours = -1")],
    "metrics": [Mistake("91.5", "metrics = 91.5"), Mistake('"nowhere"', "'nowhere' is no place for metrics")],
}

SETTINGS = {
    "exposure_us": ["0", "-5", "nan", '"long"'],
    "gain_db": ["inf", '"much"'],
    "pixel_format": ["8"],
    "region": ["[1, 2]", "[-1, 0, 9, 9]", "[0, 0, 9, 9]", '"0,0,9"', "'0,0,0x9'"],
    "packet_size": ["0", "12.5"],
    "trigger": ["1"],
}

FLAGS = [
    (("--source",), "Option '--source' requires an argument"),
    (("--sorce", "demo"), "No such option: --sorce"),
    (("--budget-ms", "soon"), "--budget-ms 'soon': must be a number"),
    (("--budget-ms", "0"), "--budget-ms '0'"),
    (("--rate", "fast"), "--rate 'fast': give a rate with its unit, as in 10/s or 600/min, or file"),
    (("--source", "demo", "--size", "720p"), "size '720p'"),
    (("--region", "all"), "--region: region.0 = 'all': give left, top, width and height"),
    (("--region", "0,0,64x9"), "--region: region.0.height = 9"),
    (("--config", "nowhere.toml"), "nowhere.toml: cannot be read"),
    (("--commission", "1"), "Invalid value for '--commission'"),
    (("--resume-frames", "-1"), "--resume-frames '-1'"),
    (("--camera", "exposure_us"), "--camera 'exposure_us': give KEY=VALUE, as in exposure_us=5000"),
    (("--camera", "=5"), "--camera '=5': give KEY=VALUE"),
    (("--camera", "exposure=5"), "--camera: no such setting: camera.exposure; did you mean exposure_us?"),
    (("--camera", "exposure_us=long"), "camera.exposure_us = 'long'"),
    (
        ("--camera", "region=640x480"),
        "--camera: camera.region = '640x480': give left, top, width and height",
    ),
    (("--camera", "packet_size=0"), "--camera: camera.packet_size = '0'"),
    (("--no-records", "--records", "x"), "--no-records keeps nothing"),
]

SOURCES = [
    (".", ("--size", "640x480"), ". shows pictures of the size that they have: leave out --size"),
    ("demo", ("--size", "8x8"), "demo: frame of 8x8: sides must be 16 to 8192 pixels"),
    ("demo", ("--line", "codes", "--size", "640x480"), "demo: line codes: its photographs have sizes of their own"),
    ("replay", ("--line", "pour"), "replay shows no line pour: leave out --line, or give --source demo"),
    ("demo", ("--rate", "file"), "demo says no rate of its own; give --rate pictures a second, or leave it out"),
    ("demo", ("--watch",), "demo cannot be watched: leave out --watch, or give a folder"),
    (
        "demo",
        ("--camera", "exposure_us=5000"),
        "demo has no settings of a camera: leave out exposure_us, of --camera or",
    ),
    (
        "photos/",
        ("--camera", "gain_db=3", "--camera", "trigger=line1"),
        "photos/ has no settings of a camera: leave out ",
    ),
    ("line.avi", ("--camera", "region=0,0,64x48"), "line.avi has no settings of a camera: leave out region"),
    ("rtsp://a:b@127.0.0.1:1/line", ("--camera", "gain_db=3"), "rtsp://***@127.0.0.1:1/line has no settings of a"),
    ("replay", ("--rate", "file"), "replay says no rate of its own"),
    ("replay", ("--size", "1x1"), "replay: frame of 1x1"),
    ("empty/", (), "no pictures in folder empty/: give one with files that end in"),
    ("masks/", (), "no pictures in folder masks/"),
    ("photos/", ("--rate", "file"), "photos/ says no rate of its own; give --rate pictures a second"),
    ("photos/", ("--watch", "--loop"), "a watched folder has no end and no pace of its own: leave out --loop"),
    ("photos/", ("--watch", "--rate", "5/s"), "leave out --loop and --rate"),
    ("photos/one.png", ("--watch",), "photos/one.png is one picture and cannot be watched; give a folder"),
    ("photos", (), "photos gave 1 sound frames of 2"),
    ("text.mp4", (), "text.mp4: no video, or one without frames; give an mp4, mkv, mov or avi"),
    ("empty.mp4", (), "empty.mp4: no video"),
    ("line.avi", ("--watch",), "line.avi cannot be watched"),
    ("nosuch/", (), "no such source: 'nosuch/'"),
    ("camera", (), "no such source: 'camera'"),
    ("rtsp://127.0.0.1:1/line", ("--size", "640x480"), "a stream has the size that its camera gives it"),
    ("rtsp://127.0.0.1:1/line", ("--watch",), "rtsp://127.0.0.1:1/line cannot be watched"),
    ("rtsp://127.0.0.1:1/line", ("--rate", "file"), "says no rate of its own"),
    ("genicam:127.0.0.1", ("--rate", "file"), "genicam:127.0.0.1 says no rate of its own"),
    ("genicam:127.0.0.1", ("--camera", "trigger=software"), "waits to be told"),
]

STREAMS = [
    ("rtsp://127.0.0.1:1/line", "rtsp://127.0.0.1:1/line: nothing answers at this host and port"),
    ("rtsp://me:secret@127.0.0.1:1/line", "rtsp://***@127.0.0.1:1/line: nothing answers"),
    ("rtsp://127.0.0.1:1/line?transport=smoke", "transport is tcp or udp"),
    ("http://127.0.0.1:1/", "http://127.0.0.1:1/: nothing answers"),
    ("ftp://127.0.0.1/", "no stream begins with ftp://; give rtsp://"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs: with files that are sources, and such as are none."""
    for name in ("empty", "masks/mask", "photos"):
        (tmp_path / name).mkdir(parents=True)
    png = cv2.imencode(".png", np.full((40, 40, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / "masks" / "mask" / "one.png").write_bytes(png)
    (tmp_path / "photos" / "one.png").write_bytes(png)
    (tmp_path / "text.mp4").write_text("text\n" * 100)
    (tmp_path / "empty.mp4").touch()
    writer = cv2.VideoWriter(str(tmp_path / "line.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def the_line(code: object, out: str, err: str) -> str:
    """The one line that the command said."""
    assert code == 2, (code, err)
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in lines[0]
    return lines[0]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Refused]:
    """The command in this process; the one line that it says."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["edge-run", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            run_app(app)
        return the_line(end.value.code, *capfd.readouterr())

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield run
    for number, was in before.items():
        signal.signal(number, was)


def refused_by_a_process(*arguments: object) -> str:
    """The same of a process of its own."""
    done = ran("run", *arguments)
    return the_line(done.returncode, done.stdout, done.stderr)


def test_every_key_and_every_setting_of_a_camera_has_its_mistakes_here() -> None:
    assert KEYS.keys() == Settings.model_fields.keys()
    assert SETTINGS.keys() == CAMERA.keys()


MISTAKES = [(key, mistake) for key, mistakes in KEYS.items() for mistake in mistakes]


@pytest.mark.parametrize(("key", "mistake"), MISTAKES, ids=[f"{key}-{m.value}" for key, m in MISTAKES])
def test_a_wrong_value_of_a_key_is_one_line(folder: Path, refused: Refused, key: str, mistake: Mistake) -> None:
    said = {"source": '"demo"', "records": "false", "bind": f'"{free_endpoint()}"', key: mistake.value}
    (folder / "line.toml").write_text("\n".join(f"{name} = {value}" for name, value in said.items()))
    run = refused_by_a_process if mistake.runs_children else refused
    assert mistake.says in run("--config", "line.toml")


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in SETTINGS.items() for value in values], ids="{}".format
)
def test_a_wrong_value_of_a_setting_of_a_camera_is_one_line(
    folder: Path, refused: Refused, key: str, value: str
) -> None:
    (folder / "line.toml").write_text(f'source = "genicam:"\ncamera = {{ {key} = {value} }}\n')
    said = refused("--config", "line.toml")
    assert f"line.toml: camera.{key}" in said
    assert f"give {CAMERA[key]}" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("bugdet_ms = 5", "no such key: bugdet_ms; did you mean budget_ms?"),
        ("[camera]\nexposure_us = 5\nexposure_us = 6", "not TOML"),
        ("source = ", "not TOML"),
        ("[sauce]\nname = 1", "no such key: sauce"),
        ("[[sauce]]\nname = 1", "no such table: sauce; each station is a table [[stations]]"),
        ('[[station]]\nstation = "left"', "no such table: station; did you mean [[stations]]?"),
        ('[station]\nstation = "left"', "no such table: station; did you mean [[stations]]?"),
        ('[[sttions]]\nstation = "left"', "no such table: sttions; did you mean [[stations]]?"),
        ("[[region]]\ntop = 1", "region.0 = {'top': 1}: give left, top, width and height in pixels as text"),
        ("[[regions]]\ntop = 1", "no such table: regions"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(folder: Path, refused: Refused, text: str, says: str) -> None:
    (folder / "line.toml").write_text(text)
    assert f"line.toml: {says}" in refused("--config", "line.toml")


@pytest.mark.parametrize(("flags", "says"), FLAGS, ids=[" ".join(flags) for flags, _ in FLAGS])
def test_a_wrong_flag_is_one_line(folder: Path, refused: Refused, flags: tuple[str, ...], says: str) -> None:
    assert says in refused(*flags)


@pytest.mark.parametrize(("source", "flags", "says"), SOURCES, ids=[" ".join((s, *f)) for s, f, _ in SOURCES])
def test_a_source_that_is_none_is_one_line(
    folder: Path, refused: Refused, source: str, flags: tuple[str, ...], says: str
) -> None:
    assert says in refused("--source", source, "--commission", 2, *flags)


@pytest.mark.parametrize("trigger", [(), ("--trigger", "free"), ("--trigger", "external")], ids=" ".join)
def test_a_belt_whose_parts_nobody_looks_for_is_one_line(refused: Refused, trigger: tuple[str, ...]) -> None:
    says = "source belt shows parts that run through its frames: give --trigger presence, too"
    assert says in refused("--source", "belt", *trigger)


def test_settings_of_a_camera_in_the_file_of_a_source_that_has_none_are_one_line(
    folder: Path, refused: Refused
) -> None:
    (folder / "line.toml").write_text('source = "demo"\n[camera]\nexposure_us = 5000\npixel_format = "Mono8"\n')
    said = refused("--config", "line.toml", "--commission", 2)
    assert "demo has no settings of a camera: leave out exposure_us, pixel_format, of --camera or the file" in said


def test_no_source_at_all_is_one_line(refused: Refused) -> None:
    assert "no source given; say --source camera0" in refused()
    assert "no source given; say --source camera0" in refused("--commission", 2)


@pytest.mark.parametrize(("source", "says"), STREAMS)
def test_a_stream_that_is_none_is_one_line(refused: Refused, source: str, says: str) -> None:
    said = refused("--source", source, "--commission", 2)
    assert says in said
    assert "secret" not in said


@no_camera
@pytest.mark.parametrize("source", ["camera0", "camera12", "/dev/video7", "/dev/v4l/by-id/none"])
def test_a_camera_that_is_not_there_is_one_line(refused: Refused, source: str) -> None:
    said = refused("--source", source, "--commission", 2)
    assert f"no camera {source}: " in said
    assert said.endswith("no camera is connected here; connect one, or try --source demo")


@no_camera
@pytest.mark.parametrize(
    ("flag", "says"),
    [("exposure_us=5", "exposure_us is a setting of GenICam cameras"), ("pixel_format=Mono8", "four characters")],
)
def test_a_setting_that_a_camera_of_the_system_cannot_have_is_one_line(refused: Refused, flag: str, says: str) -> None:
    assert says in refused("--source", "camera0", "--commission", 2, "--camera", flag)


@needs_aravis
def test_an_industrial_camera_that_is_not_there_is_one_line(refused: Refused) -> None:
    said = refused("--source", "genicam:127.0.0.77", "--commission", 2)
    assert "genicam:127.0.0.77 does not open: " in said


def test_without_aravis_the_line_says_what_to_install(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.sources import aravis

    aravis.library.cache_clear()
    monkeypatch.setattr(aravis, "LIBRARIES", ("libnothing.so",))
    assert "apt install libaravis-0.8-0" in refused("--source", "genicam:", "--commission", 2)
    aravis.library.cache_clear()
    assert LIBRARIES


@pytest.mark.parametrize(
    "arguments",
    [
        ("--source", "camera0") if not any(Path("/dev").glob("video*")) else ("--source", "camera99"),
        ("--source", "genicam:127.0.0.1", "--camera", "trigger=software"),
        ("--source", "demo", "--rate", "file"),
        ("--source", "demo", "--camera", "gain_db=3"),
        ("--source", "text.mp4"),
        ("--camera", "exposure=5"),
    ],
)
def test_a_station_in_processes_of_its_own_says_the_same(
    folder: Path, refused: Refused, arguments: tuple[str, ...]
) -> None:
    alone = refused_by_a_process(*arguments, "--bind", free_endpoint(), "--no-records")
    if "software" not in arguments[-1]:
        assert alone == refused(*arguments, "--commission", 2)
