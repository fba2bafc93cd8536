"""When the coarse map is made: for records or viewers alone, and never for the first time at a part."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.backends import Output
from edge.bundle import load_bundle
from edge.bundle.shipped import DEMO, shipped_bundle
from edge.station.inference import coarse_map as module
from edge.station.inference.child import _Seat, _warm_up_locating
from edge.station.process.messages import Configure, Infer
from edge.station.process.ring import Ring


class Score:
    """A model that gives every frame this score."""

    def __init__(self, score: float) -> None:
        self.score = score

    def infer(self, frame: np.ndarray) -> Any:
        return Output(self.score, None)


@pytest.mark.parametrize(
    ("score", "wants", "keeps", "is_made"),
    [
        (0.9, False, False, False),
        (0.9, False, True, True),
        (0.9, True, False, True),
        (0.1, False, True, False),
        (0.1, True, False, True),
    ],
)
def test_a_coarse_map_is_made_for_records_or_viewers_alone(
    score: float, wants: bool, keeps: bool, is_made: bool
) -> None:
    ring = Ring(1, 8 * 8 * 3)
    try:
        letterbox = load_bundle(shipped_bundle(DEMO)).manifest.letterbox
        manifest = SimpleNamespace(map_threshold=None, input_statistics=None, letterbox=letterbox)
        bundle = SimpleNamespace(manifest=manifest)
        model: Any = SimpleNamespace(bundle=bundle, threshold=SimpleNamespace(rejects=lambda score: score >= 0.5))
        seat = _Seat(model, Configure((8, 8)), {(8, 8): [Score(score)]})  # type: ignore[list-item]
        seat._coarse = lambda output, size: "a map"  # type: ignore[method-assign, assignment, return-value]
        said = seat.infer(Infer(1, ring.name(0), 8, 8, wants_map=wants, keeps_map=keeps))
    finally:
        ring.close()
    assert (said.coarse is not None) is is_made


def test_a_coarse_map_that_cannot_be_made_costs_no_verdict() -> None:
    ring = Ring(1, 8 * 8 * 3)
    try:
        letterbox = load_bundle(shipped_bundle(DEMO)).manifest.letterbox
        manifest = SimpleNamespace(map_threshold=None, input_statistics=None, letterbox=letterbox)
        threshold = SimpleNamespace(rejects=lambda score: score >= 0.5)
        model: Any = SimpleNamespace(bundle=SimpleNamespace(manifest=manifest), threshold=threshold)
        seat = _Seat(model, Configure((8, 8)), {(8, 8): [Score(0.1)]})  # type: ignore[list-item]

        def fails(output: object, size: object) -> Any:
            raise ValueError("the frame does not contain the region")

        seat._coarse = fails  # type: ignore[method-assign]
        said = seat.infer(Infer(1, ring.name(0), 8, 8, wants_map=True, keeps_map=True))
    finally:
        ring.close()
    assert (said.score, said.fault, said.coarse) == (0.1, None, None)


def test_the_warm_up_makes_a_coarse_map(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(module, "coarse_map", lambda *arguments: made.append(arguments))
    golden = SimpleNamespace(map=np.ones((8, 8), np.float32), frame=np.zeros((64, 64, 3), np.uint8))
    manifest = load_bundle(shipped_bundle(DEMO)).manifest
    bundle: Any = SimpleNamespace(golden=lambda: [golden], manifest=SimpleNamespace(letterbox=manifest.letterbox))
    _warm_up_locating(bundle)
    assert len(made) == 1
