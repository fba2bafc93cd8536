"""Options of a runtime other than threads. A station uses them only on request."""

import threading

import numpy as np
import pytest
from support.line import DEMO_BUNDLE

from edge.backends import RUNTIMES, load_from
from edge.backends.options import Options
from edge.bundle import load_bundle
from edge.errors import BundleError
from edge.machine import computes_bf16

SHAPE = (90, 160)


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.skipif(not computes_bf16(), reason="this CPU has no bf16")
def test_bf16_scores_otherwise_and_leaves_f32_as_it_was() -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    frame = bundle.golden()[0].frame
    options = (Options(1), Options(1, "bf16"), Options(1))
    first, rounded, again = (load_from(bundle, "openvino", one).infer(frame).score for one in options)
    assert first == again, "a cache of compiled models keeps the precisions apart"
    assert 1e-4 < abs(first - rounded) < 0.3


def test_bf16_is_refused_where_it_would_silently_be_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(DEMO_BUNDLE)
    with pytest.raises(BundleError, match="onnxruntime computes no graph of float32 in bf16"):
        load_from(bundle, "onnxruntime", Options(1, "bf16"))
    monkeypatch.setattr("edge.backends.loader.computes_bf16", lambda: False)
    with pytest.raises(BundleError, match="this CPU has no bf16"):
        load_from(bundle, "openvino", Options(1, "bf16"))


@pytest.mark.parametrize("name", RUNTIMES)
def test_streams_run_at_once_and_each_gives_its_own_frames_score(name: str) -> None:
    bundle, shown = load_bundle(DEMO_BUNDLE), frames(12)
    expected = [load_from(bundle, name, 1, SHAPE).infer(frame).score for frame in shown]
    first = load_from(bundle, name, Options(2, streams=2), SHAPE)
    backends, found = [first, first.clone()], [0.0] * len(shown)

    def run(which: int) -> None:
        for i in range(which, len(shown), 2):
            found[i] = backends[which].infer(shown[i]).score

    threads = [threading.Thread(target=run, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == pytest.approx(expected, abs=1e-5)
    assert all(backend.name == name for backend in backends)


def test_more_streams_than_threads_are_refused() -> None:
    with pytest.raises(BundleError, match="3 streams need a thread each, and there are 2"):
        load_from(load_bundle(DEMO_BUNDLE), "openvino", Options(2, streams=3))
