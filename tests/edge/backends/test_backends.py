"""The choice of a runtime, and the behaviour of a runtime for frames it was not compiled for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.line import DEMO_BUNDLE

import edge.machine
from edge.backends import RUNTIMES, auto, load_from
from edge.bundle import load_bundle
from edge.machine import adds_int8_exactly


def test_the_faster_backend_is_measured_once_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    bundle = load_bundle(DEMO_BUNDLE)
    measured: list[Any] = []

    def fake_medians(backends: dict[str, Any], shape: tuple[int, int] | None) -> dict[str, float]:
        measured.append(shape)
        return {name: 1.0 if name == "onnxruntime" else 2.0 for name in backends}

    monkeypatch.setattr(auto, "measure_alternating", fake_medians)
    assert [auto.fastest_artifact(bundle, 2, (180, 320)) for _ in range(2)] == ["onnxruntime"] * 2
    assert measured == [(180, 320)]
    auto.fastest_artifact(bundle, 1, (180, 320))
    assert len(measured) == 2, "another number of threads is another question"


@pytest.mark.parametrize("memory", ["", "[]", '{"artifact": "gone"}', "null", "{}"])
def test_a_damaged_memory_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: str) -> None:
    monkeypatch.setenv("EDGE_CACHE", str(tmp_path))
    bundle = load_bundle(DEMO_BUNDLE)
    assert auto.fastest_artifact(bundle, 2, (90, 160)) in RUNTIMES
    (file,) = tmp_path.glob("artifact-*.json")
    file.write_text(memory)
    assert auto.fastest_artifact(bundle, 2, (90, 160)) in RUNTIMES
    assert json.loads(file.read_text())["artifact"] in RUNTIMES


@pytest.mark.parametrize("name", RUNTIMES)
def test_both_runtimes_agree_on_frames_of_any_size(name: str) -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    first, second = load_from(bundle, name, 2), load_from(bundle, "onnxruntime", 1)
    rng = np.random.default_rng(3)
    for height, width in ((16, 16), (480, 640), (641, 333)):
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        one, other = first.infer(frame), second.infer(frame)
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert one.map is not None
        assert other.map is not None
        assert one.map.shape == bundle.manifest.map_size
        assert np.abs(one.map - other.map).max() < 1e-4


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_map_stays_as_it_is_when_the_next_frame_is_scored(name: str) -> None:
    runtime = load_from(load_bundle(DEMO_BUNDLE), name, 1, (90, 160))
    rng = np.random.default_rng(5)
    frames = [rng.integers(0, 256, (90, 160, 3), dtype=np.uint8) for _ in range(2)]
    first = runtime.infer(frames[0]).map
    assert first is not None
    kept, second = first.copy(), runtime.infer(frames[1]).map
    assert second is not None
    assert np.array_equal(first, kept)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_static_variant_refuses_another_size_instead_of_scoring_it(name: str) -> None:
    runtime = load_from(load_bundle(DEMO_BUNDLE), name, 1, (90, 160))
    with pytest.raises(Exception, match=r".+"):
        runtime.infer(np.zeros((91, 160, 3), np.uint8))


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("x86_64", "fma avx2 avx512f avx512_vnni", True),
        ("AMD64", "fma avx2 avx_vnni", True),
        ("x86_64", "fma avx2 avx512f", False),
        ("i686", "avx2", False),
        ("aarch64", None, True),
        ("x86_64", None, False),
    ],
)
def test_x86_adds_int8_exactly_only_with_vnni(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, machine: str, flags: str | None, exact: bool
) -> None:
    told = tmp_path / "cpuinfo"
    if flags is not None:
        told.write_text(f"processor\t: 0\nmodel name\t: some\nflags\t\t: {flags}\n")
    monkeypatch.setattr(edge.machine.platform, "machine", lambda: machine)  # no other CPU is available
    monkeypatch.setattr(edge.machine, "CPU", told)
    assert adds_int8_exactly() is exact
