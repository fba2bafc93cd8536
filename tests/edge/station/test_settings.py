"""The configuration of a station: file, flags, origins of values, and messages about wrong values."""

import json
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from support.line import free_endpoint, ran, running_line

from edge.errors import ConfigError
from edge.sources import SourceSettings
from edge.station.capture.envelope import Envelope
from edge.station.capture.process import CaptureProcess
from edge.station.config.conversion import source_request, to_config
from edge.station.config.layers import effective
from edge.station.config.resolved import StationConfig, default_records
from edge.station.config.settings import Settings, flag
from edge.station.config.toml_writing import as_toml
from edge.verdict import Reason


def test_flags_override_the_file_and_the_file_the_defaults_and_each_value_says_so(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text('source = "demo"\nbudget_ms = 250\nrate = "5/s"\nrequire = ["gate1"]\n')
    settings, origins = effective(file, {"rate": "20/s", "station": None})
    assert (settings.source, settings.budget_ms, settings.rate, settings.require) == ("demo", 250, 20, ("gate1",))
    assert (origins["rate"], origins["budget_ms"], origins["station"]) == ("--rate", str(file), "default")


def test_what_is_printed_is_a_file_that_says_the_same(tmp_path: Path) -> None:
    one = effective(
        None,
        {
            "source": 'a "b" \\ c',
            "trust": ["x.pub", "y.pub"],
            "records": False,
            "keep_days": 3.5,
            "rate": "100/min",
            "region": ["2,1,40x30"],
            "camera": {"exposure_us": 5000.0, "region": "0,0,640x480"},
        },
    )
    file = tmp_path / "printed.toml"
    file.write_text(as_toml(one))
    assert effective(file, {}).settings == one.settings


def test_a_file_that_a_windows_editor_wrote_is_read(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_bytes(b'\xef\xbb\xbfsource = "demo"\r\nrecords = false\r\n')
    settings = effective(file, {}).settings
    assert (settings.source, settings.records) == ("demo", False)
    envelope = tmp_path / "envelope.json"
    Envelope(frames=3, brightness=(1, 2), sharpness=(3, 4)).write(envelope)
    envelope.write_bytes(b"\xef\xbb\xbf" + envelope.read_bytes())
    assert Envelope.read(envelope).frames == 3


def test_paths_are_seen_from_the_file_and_names_of_shipped_bundles_stay_names(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "station.toml").write_text('bundle = "magnetic-tile"\nkeys = "keys"\nrecords = "a/b"\ntrust = ["./x"]')
    settings = effective(tmp_path / "station.toml", {}).settings
    assert settings.bundle == Path("magnetic-tile")
    assert (settings.keys, settings.records) == (tmp_path / "keys", tmp_path / "a/b")


def test_a_station_has_each_key_as_it_was_given() -> None:
    settings = Settings(source="demo", require=("gate1",), keep_gib=0.5)
    made = to_config(settings, Path("b"), simulated=True)
    same = {one.name for one in fields(StationConfig)} & Settings.model_fields.keys() - {"bundle", "records"}
    assert Settings.model_fields.keys() - same == {
        "bundle",
        "records",
        "require",
        "region",
        "insecure",
        "keep_gib",
        "keep_journal_gib",
        "tuned",
    }
    assert not [key for key in same if getattr(made, key) != getattr(settings, key)]
    assert (made.bundle, made.simulated, made.required) == (Path("b"), True, ("gate1",))
    assert (made.records, made.keep_bytes) == (default_records("line1"), 2**29)
    assert to_config(Settings(source="demo", records=False), Path("b"), simulated=False).records is None


def test_whatever_is_said_of_a_source_reaches_the_capture_process_and_a_look() -> None:
    said = {"limit": 7, "rate": 5.0, "size": "640x480", "loop": True, "watch": True, "seed": 4, "bits": 12}
    said |= {"camera": {"gain_db": 2.0}, "belt": {"speed": 2.0}, "line": "codes"}
    names = {one.name for one in fields(SourceSettings)}
    assert names == set(said)
    settings = Settings.model_validate({"source": "demo"} | said)
    request = CaptureProcess(to_config(settings, Path("b"), simulated=False)).child._arguments()[0]
    assert request.size == (480, 640)
    assert not [name for name in names if getattr(request, name) == getattr(SourceSettings(), name)]
    assert source_request(settings, limit=7) == request


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[camera]]\ngain_db = 2", "camera = "),
        ("[[trust]]\nx = 1", "trust.0 = "),
        *(
            (f"{key} = {said}", f"{key}.0 = " if key == "trust" else f"{key} = ")
            for key, truths in {
                "records": ['"false"', '"False"', '""', '"no"', "true", "0"],
                "keys": ['"false"', '""', "false"],
                "bundle": ['""', "true"],
                "envelope": ['"none"', "false"],
                "trust": ['["false"]', '[""]'],
                "insecure": ['"false"', '"yes"', "0"],
                "watch": ['"no"'],
                "threads": ["true"],
                "control": ['""'],
                "metrics": ['""', "true"],
            }.items()
            for said in truths
        ),
        ("presence = {alone = 'false'}", "presence.alone = 'false'"),
        ("camera.gain_db = true", "gain_db = true: this key is not true or false"),
        ("belt.speed = true", "speed = true: this key is not true or false"),
        ("region = [{top = 0, left = 0, width = 9, height = 9}]", "region.0 = "),
        ("bugdet_ms = 5", "no such key: bugdet_ms; did you mean budget_ms?"),
        ("zzz = 5", "no such key: zzz; edge-run --print-config"),
        ("budget_ms = 0", "budget_ms = 0: must be at least 1"),
        ('budget_ms = "soon"', "budget_ms = 'soon'"),
        ('trigger = "sometimes"', "trigger = 'sometimes'"),
        ("require = 1", "require.0 = 1"),
        ("threads = 0", "threads = 0"),
        ("source = ", "not TOML"),
        ("rate = nan", "rate = nan"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_it(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "station.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        effective(file, {})
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--budget-ms", 0), "--budget-ms"), (("--trigger", "sometimes"), "--trigger"), (("--rate", -1), "--rate"),
        (("--size", "big"), "big"), (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--envelope", "none.json"), "none"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line_and_exit_code_2(flags: tuple[object, ...], said: str) -> None:
    done = ran("run", "--source", "demo", "--rate", "5/s", *flags, "--no-records", "--bind", free_endpoint())
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


FLAGS = {
    "source": "--source=demo", "bundle": "--bundle=b.edge", "station": "--station=s1", "bind": "--bind=tcp://h:1",
    "control": "--control=tcp://h:2", "viewers": "--viewers=tcp://h:3", "keys": "--keys=k", "insecure": "--insecure",
    "require": "--require=gate1", "trigger": "--trigger=external", "policy": "--policy=latest",
    "budget_ms": "--budget-ms=9", "stale_ms": "--stale-ms=8", "envelope": "--envelope=e.json",
    "region": "--region=1,2,30x40", "camera": "--camera=gain_db=2", "resume_frames": "--resume-frames=0",
    "backend": "--backend=openvino", "threads": "--threads=2", "spinning": "--spinning", "keep_warm": "--keep-warm",
    "tuned": "--no-tuned", "presence": "--presence=axis=y", "belt": "--belt=speed=2",
    "streams": "--streams=2", "size": "--size=640x480", "bits": "--bits=12",
    "rate": "--rate=file", "limit": "--limit=7", "loop": "--loop", "watch": "--watch", "seed": "--seed=3",
    "line": "--line=codes",
    "read_code": "--read-code=serial", "code_formats": "--code-formats=qr", "code_region": "--code-region=1,2,30x40",
    "code_pattern": r"--code-pattern=SN-\d+",
    "wait_subscribers": "--wait-subscribers=1", "trust": "--trust=t.pub", "records": "--records=r",
    "keep_goods": "--keep-goods=0", "keep_gib": "--keep-gib=1", "keep_days": "--keep-days=2",
    "keep_journal_gib": "--keep-journal-gib=1", "keep_verdicts_days": "--keep-verdicts-days=30",
    "drift_hours": "--drift-hours=4", "products": "--products=a=b.edge,number=3",
    "candidates": "--candidates=d", "promote_after": "--promote-after=5", "promote_flips": "--promote-flips=0",
    "challenge": "--challenge=bad.png", "challenge_minutes": "--challenge-minutes=30",
    "metrics": "--metrics=99",
}  # fmt: skip


def test_each_key_has_a_flag_that_sets_it() -> None:
    assert FLAGS.keys() == Settings.model_fields.keys()
    printed = ran("run", "--print-config", *FLAGS.values()).stdout
    file = tomllib.loads(printed)
    for key in FLAGS:
        default = Settings.model_fields[key].default
        assert key in file, f"{key} is a comment"
        assert file[key] != default, f"{key} is not what its flag says"
        assert f"  # {flag(key)}\n" in printed


def test_a_flag_that_may_be_repeated_gives_all_its_values() -> None:
    said = ("--require=a", "--require=b", "--trust=x", "--trust=y", "--camera=gain_db=1", "--camera=exposure_us=2")
    file = tomllib.loads(ran("run", "--print-config", *said).stdout)
    assert (file["require"], file["trust"]) == (["a", "b"], ["x", "y"])
    assert file["camera"] == {"exposure_us": 2.0, "gain_db": 1.0}


def test_a_flag_that_is_not_given_leaves_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text("".join(f"{key} = true\n" for key in ("insecure", "spinning", "keep_warm", "loop", "watch")))
    printed = ran("run", "--print-config", "--config", file).stdout
    assert printed.count(f"= true  # {file}\n") == 5


def test_what_was_learned_at_commissioning_judges_the_frames_of_the_line(tmp_path: Path) -> None:
    file, envelope = tmp_path / "line.toml", tmp_path / "line.envelope.json"
    file.write_text('source = "demo"\nsize = "320x180"\nrate = "50/s"\nlimit = 40\n')
    done = ran("run", "--config", file, "--commission", 30, "--bind", free_endpoint())
    assert done.returncode == 0, done.stderr
    learned = json.loads(envelope.read_text())
    with running_line("--config", file, "--envelope", envelope) as line:
        assert line.to_the_end() == 0, line.stderr
    assert not {Reason.BRIGHTNESS, Reason.SHARPNESS} & {v.reason for v in line.verdicts}
    envelope.write_text(json.dumps(learned | {"brightness": [0, 1]}))
    with running_line("--config", file, "--envelope", envelope) as line:
        assert line.to_the_end() == 0, line.stderr
    assert {v.reason for v in line.verdicts} == {Reason.BRIGHTNESS}
    assert all(v.score is None for v in line.verdicts)
