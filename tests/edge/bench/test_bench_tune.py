"""edge-bench tune finds settings by measuring. edge-run uses them unless the user set others or the machine changed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.line import DEMO_BUNDLE, TILE_BUNDLE, free_endpoint, ran

from edge.bench import tune as tuning
from edge.bench.result import Pace
from edge.bench.tune import Tuning
from edge.bundle import load_bundle
from edge.cli import bench_tune
from edge.errors import EdgeError
from edge.machine import cores, cpu_model
from edge.runtimes import versions
from edge.station.config.layers import Effective
from edge.station.config.settings import Settings
from edge.station.config.tuned import Found, Tuned, with_tuned

SIZE = 180, 320
OTHER = Found(backend="openvino", threads=2, spinning=False, keep_warm=False)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def tuned(**changed: object) -> Tuned:
    """A possible result of a tuning of the demonstration bundle on this machine."""
    found = Tuned(
        made="2026-01-01T00:00:00+00:00", bundle="demo", digest=load_bundle(DEMO_BUNDLE).digest, cpu=cpu_model(),
        cores=cores(), versions=versions(), height=720, width=1280, rate_per_min=600, budget_ms=None,
        found=Found(backend="onnxruntime", threads=1, spinning=False, keep_warm=True), p50_ms=9.0, percent=99.0,
        tail_ms=12.0,
    )  # fmt: skip
    return found.model_copy(update=changed)


def printed(*flags: object) -> dict[str, str]:
    """The lines of --print-config by key; the remarks have the key ""."""
    done = ran("run", "--source", "demo", *flags, "--print-config")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    remarks = [line for line in lines if "tuned for" in line or "is not used" in line]
    return {"": "\n".join(remarks)} | {line.partition(" = ")[0]: line for line in lines if " = " in line}


def test_what_was_tuned_is_used_for_keys_that_nobody_said(state: Path) -> None:
    tuned().write()
    said = printed("--bundle", DEMO_BUNDLE)
    assert said["backend"] == 'backend = "onnxruntime"  # tuned for 1280×720 frames'
    assert said["threads"] == "threads = 1  # tuned for 1280×720 frames"
    assert said["keep_warm"] == "keep_warm = true  # tuned for 1280×720 frames"
    assert "with 1280×720 at 600/min" in said[""]
    flagged = printed("--bundle", DEMO_BUNDLE, "--threads", 2)
    assert flagged["threads"] == "threads = 2  # --threads"
    assert flagged["keep_warm"] == "keep_warm = true  # tuned for 1280×720 frames"


def test_the_demonstration_that_runs_without_a_bundle_is_tuned_too(state: Path) -> None:
    tuned().write()
    assert printed()["threads"] == "threads = 1  # tuned for 1280×720 frames"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--no-tuned",), ""),
        (("--bundle", TILE_BUNDLE), ""),
        (("--backend", "openvino"), "it is for onnxruntime, not openvino"),
        (("--size", "640x480"), ""),
        (("--region", "0,0,100x100"), ""),
    ],
)
def test_it_is_not_used_where_it_says_nothing(state: Path, flags: tuple[object, ...], says: str) -> None:
    tuned().write()
    said = printed(*flags)
    assert "threads" not in said, "not set"
    assert said["keep_warm"] == "keep_warm = false  # default"
    assert says in said[""] if says else said[""] == ""


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"digest": "0" * 64}, "it is of demo@000000000000, the bundle is demo@"),
        ({"cpu": "Another CPU"}, "it is of Another CPU"),
        ({"cores": 99}, "99 cores"),
        ({"versions": versions() | {"openvino": "1.0"}}, "it is of openvino 1.0, here is"),
    ],
)
def test_another_bundle_machine_or_version_ignores_it_with_a_line(
    state: Path, changed: dict[str, object], says: str
) -> None:
    tuned(**changed).write()
    said = printed()
    assert says in said[""]
    assert "edge-bench tune measures again" in said[""]
    assert "threads" not in said


def test_of_two_sizes_that_of_the_source_is_used_and_a_broken_file_is_ignored_with_a_line(state: Path) -> None:
    file = tuned().write()
    tuned(width=640, height=480, found=OTHER).write()
    assert printed()["threads"] == "threads = 1  # tuned for 1280×720 frames"
    assert printed("--size", "640x480")["threads"] == "threads = 2  # tuned for 640×480 frames"
    file.write_text("{")
    said = printed()
    assert "it is not what edge-bench tune writes" in said[""]
    assert "threads" not in said


def test_where_nobody_knows_the_size_of_the_frames_nothing_is_used_that_holds_for_one_size_alone(state: Path) -> None:
    tuned().write()
    said = printed("--source", "camera0")
    assert "threads" not in said
    assert said[""] == (
        "# line1: what was tuned for 1280×720 frames is not used: how large those of camera0 are shows when it is "
        "opened; --size 1280x720 says it, or give the settings, as in --backend onnxruntime --threads 1 --keep-warm"
    )
    assert printed("--source", "camera0", "--size", "1280x720")["threads"].endswith("# tuned for 1280×720 frames")
    region = printed("--source", "genicam:", "--camera", "region=8,8,1280x720")
    assert region["threads"].endswith("# tuned for 1280×720 frames")
    tuned(width=640, height=480, found=OTHER).write()
    said = printed("--source", "rtsp://me:secret@192.168.1.9/line")
    assert "threads" not in said
    assert "what was tuned for 1280×720 and 640×480 frames is not used: how large those of rtsp://***@192" in said[""]
    assert "--size" not in said[""], "a stream has the size that its camera gives it"


def test_what_is_the_best_at_every_size_that_was_tuned_is_used_though_the_size_is_not_known(state: Path) -> None:
    tuned().write()
    tuned(width=640, height=480).write()
    said = printed("--source", "camera0")
    assert said["threads"] == "threads = 1  # tuned for 1280×720 and 640×480 frames"
    assert "tuned for 1280×720 and 640×480 frames: backend" in said[""]


@pytest.mark.parametrize("name", ["../elsewhere", "/nosuch/place", "**", "a/b"])
def test_whatever_a_bundle_calls_itself_what_was_tuned_lies_in_the_folder_and_is_found(name: str, state: Path) -> None:
    bundle = state.parent / "odd.edge"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps({"name": name}))
    digest = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    asked = Effective(Settings(size="1280x720"), dict.fromkeys(Settings.model_fields, "default"))
    assert with_tuned(asked, bundle) == (asked, [])
    assert tuned(bundle=name, digest=digest).write().parent.samefile(state / "tuned")
    settings, (line,) = with_tuned(asked, bundle)
    assert settings.settings.threads == 1
    assert line.startswith("tuned for 1280×720 frames")


def test_a_station_says_in_one_line_that_it_runs_what_was_tuned(state: Path) -> None:
    tuned(width=320, height=180).write()
    flags = ("--source", "demo", "--size", "320x180", "--limit", 3, "--bind", free_endpoint(), "--no-records")
    done = ran("run", *flags, "--bundle", DEMO_BUNDLE, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["backend"] == "onnxruntime"
    assert [line for line in done.stderr.splitlines() if "tuned" in line] == [
        "line1: tuned for 320×180 frames: backend = onnxruntime, threads = 1, spinning = false, "
        "keep_warm = true (p99 12.0 ms when it was measured, with 320×180 at 600/min); --no-tuned ignores it"
    ]


@pytest.fixture(scope="module")
def measured() -> Tuning:
    """A tuning that runs its fastest setting in a station only, once without and once with the model kept warm."""
    bundle = load_bundle(DEMO_BUNDLE)
    said: list[str] = []
    stages: list[list[int]] = []  # for each stage the number of steps done, and of all steps

    def tell(what: str, done: int, total: int | None = None) -> None:
        said.extend([what] if what else [])
        stages.extend([[0, total]] if total is not None else [])
        stages[-1][0] += done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "MOST", 1)
        patch.setattr(tuning, "RUNS", 1)
        patch.setattr(tuning, "ROUNDS", 2)
        found = tuning.tune(bundle, SIZE, Pace(rate_per_min=1200), None, 1.0, tell)
    compiled, turns, parts = stages
    assert compiled[0] == compiled[1] == len(tuning.candidates(bundle, SIZE))
    assert turns[0] == turns[1] == 2 * compiled[0]
    assert parts[0] == parts[1] == 2 * 20, "each part moves the bar: a station runs for a while"
    assert said[0].startswith(f"compiling 1 of {compiled[0]}: onnxruntime, 1 thread")
    assert f"bare, round 2 of 2: {said[0].partition(': ')[2]}" in said
    assert said[-1].startswith("whole way, station 2 of 2, 1,200/min, kept warm: ")
    return found


def test_a_tuning_measures_bare_and_at_the_pace_and_keeps_what_was_best(measured: Tuning, state: Path) -> None:
    assert {one.setting.artifact for one in measured.bare} == {"openvino", "onnxruntime"}
    assert {one.setting.threads for one in measured.bare} >= {1, cores()}
    assert [one.pace.keeps_warm for one in measured.paced] == [False, True]
    kept = measured.tuned(load_bundle(DEMO_BUNDLE), None)
    kept.write()
    assert kept.found.backend == measured.choice.best.setting.artifact
    assert f"threads = {kept.found.threads}  # tuned for 320×180 frames" == printed("--size", "320x180")["threads"]


def test_the_progress_of_a_tuning_says_what_is_measured_and_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def tune(*arguments: object) -> None:
        tell = arguments[-1]
        assert callable(tell)
        for told in (("", 0, 4), ("whole way, station 1 of 4", 0), ("", 1), ("whole way, station 2 of 4", 0)):
            tell(*told)
            (stage,) = {id(one): one for one in (progress._current for progress in seen)}.values()
            shown.append(f"{stage.what} {stage.done:.0f}/{stage.total:.0f}")
        raise EdgeError("enough")

    seen: list[Any] = []
    monkeypatch.setattr(tuning, "tune", tune)
    monkeypatch.setattr("edge.terminal.progress.Progress.__enter__", lambda self: seen.append(self) or self)
    with pytest.raises(EdgeError, match="enough"):
        bench_tune.tune(Path("demo"), "320x180", "600/min", None, 40, dry_run=True)
    assert shown == [" 0/4", "whole way, station 1 of 4 0/4", *[f"whole way, station {n} of 4 1/4" for n in (1, 2)]]


def test_a_budget_that_nothing_keeps_is_said_and_nothing_is_written(
    measured: Tuning, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "_bare", lambda *_: measured.bare)
    monkeypatch.setattr(tuning, "_paced", lambda *_: measured.paced)
    with pytest.raises(EdgeError, match=r"no setting keeps 0\.01 ms at 1,200/min; the best is"):
        tuning.tune(
            load_bundle(DEMO_BUNDLE), SIZE, Pace(rate_per_min=1200), 0.01, 1.0, lambda what, done, total=None: None
        )
    assert not state.exists()
