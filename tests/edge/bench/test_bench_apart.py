"""Measurement of a setting in its own process: the CPU instructions in use, and the cleanup afterwards."""

import multiprocessing
import os
import shutil
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from support.line import DEMO_BUNDLE

from edge.backends import computes_float32
from edge.backends.options import Options
from edge.backends.runtimes.openvino import ISA, WITHOUT_AMX, OpenVino, pass_over_amx
from edge.bench import tune
from edge.bench.bare_inference import Bare
from edge.bench.result import Setting
from edge.bench.subprocess_run import Apart, bare
from edge.bundle import MANIFEST, MANIFEST_HASH, load_bundle, seal
from edge.station.inference.child import _load

SHAPE = (90, 160)
SETTING = Setting(
    artifact="openvino", backend="openvino", precision="f32", threads=1, is_static=True, height=90, width=160
)


@pytest.mark.parametrize(("given", "expected"), [(None, None), ("AVX2", "AVX2")])
def test_a_process_chooses_its_instructions_whatever_the_one_that_started_it_chose_for_itself(
    given: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.backends.environment._set_here", set())
    monkeypatch.setattr(OpenVino, "has_compiled", False)
    monkeypatch.setenv(ISA, given or "")
    if given is None:
        monkeypatch.delenv(ISA)
    pass_over_amx()
    before = multiprocessing.active_children()
    apart = Apart(load_bundle(DEMO_BUNDLE), SETTING, [np.zeros((*SHAPE, 3), np.uint8)])
    (process,) = (one for one in multiprocessing.active_children() if one not in before)
    begun_with = dict(one.split("=", 1) for one in Path(f"/proc/{process.pid}/environ").read_text().split("\0") if one)
    assert begun_with.get(ISA) == expected
    assert os.environ[ISA] == (given or WITHOUT_AMX), "here it stays as it was chosen"
    del apart
    process.join(20)
    assert process.exitcode == 0, "it ends with the last that could ask it"


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """The demonstration bundle with an additional artifact, declared as int8."""
    bundle = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "both.edge"))
    manifest = load_bundle(bundle).manifest
    for name in (MANIFEST, MANIFEST_HASH):
        (bundle / name).unlink()
    int8 = manifest.artifacts["openvino"].model_copy(update={"precision": "int8"})
    seal(bundle, manifest.model_copy(update={"artifacts": manifest.artifacts | {"openvino-int8": int8}}))
    return bundle


def chosen(path: Path, digest: str, backend: str, connection: Connection) -> None:
    """Send the instructions that an inference process selected, None if it left the choice to the runtime."""
    os.environ.pop(ISA, None)
    _load(path, digest, backend, Options(1), SHAPE)
    connection.send(os.environ.get(ISA))


@pytest.mark.parametrize(("backend", "expected"), [("openvino", WITHOUT_AMX), ("openvino-int8", None), ("auto", None)])
def test_the_artifact_that_runs_says_whether_amx_is_passed_over_and_several_in_one_process_keep_it(
    both: Path, backend: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path / "cache"))  # an empty cache: `auto` must measure
    ours, theirs = multiprocessing.Pipe()
    arguments = (both, load_bundle(both).digest, backend, theirs)
    process = multiprocessing.get_context("spawn").Process(target=chosen, args=arguments)
    process.start()
    theirs.close()
    assert ours.recv() == expected
    process.join(20)


def test_each_setting_is_measured_where_it_has_the_instructions_that_a_station_would_choose(both: Path) -> None:
    bundle, pictures = load_bundle(both), [np.zeros((*SHAPE, 3), np.uint8)]
    assert isinstance(bare(bundle, SETTING, pictures), Bare)
    int8 = SETTING.model_copy(update={"artifact": "openvino-int8", "precision": "int8"})
    assert isinstance(bare(bundle, int8, pictures), Apart)
    tuned = tune._bare(bundle, [SETTING, int8], lambda what, done, total=None: None)
    assert [one.setting for one in tuned] == [SETTING, int8]


def test_what_is_compiled_already_leaves_nothing_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ISA, raising=False)
    monkeypatch.setattr(OpenVino, "has_compiled", True)
    pass_over_amx()
    assert ISA not in os.environ


def test_an_artifact_is_float32_or_all_of_a_bundle_are(both: Path) -> None:
    shipped, mixed = (load_bundle(path).manifest.artifacts for path in (DEMO_BUNDLE, both))
    assert computes_float32(shipped.values(), Options(1))
    assert not computes_float32(shipped.values(), Options(1, "bf16"))
    assert not computes_float32(mixed.values(), Options(1))
    assert computes_float32([mixed["openvino"]], Options(1))
    assert not computes_float32([mixed["openvino-int8"]], Options(1))
