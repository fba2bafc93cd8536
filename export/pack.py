"""From a trained network to a sealed bundle: graphs, parity, threshold, golden frames, manifest."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from edge.backends import check_golden, check_static, load_backend, load_from
from edge.bundle import GOLDEN, Artifact, Bundle, Interval, Manifest, Threshold, load_bundle, seal
from edge.contract import LetterboxContract
from edge.errors import BundleError
from edge.evaluation import Figures, Rate, choose_threshold, judge, strategy_parameters, unjudged
from edge.machine import cores
from edge.picture import read_picture
from edge.verify.looking import check_photographs
from export.graph import write_onnx, write_openvino
from export.half import HalfError, halved
from export.inside import Frame
from export.map_threshold import Stage, choose_map_threshold
from export.parity import compare_verdicts, reference
from export.proof import VALIDATION, prove, write_figures, write_page
from export.subject import Subject
from train.models import Network
from train.score import score_photographs

TOLERANCE = 1e-4
"""Largest difference of a score or map value between PyTorch and an artifact, at export and on the line."""

MAP_ARTIFACT = "openvino"
"""The artifact whose maps of the validation photographs the map threshold is chosen on."""

GOLDEN_SIDE = 640
"""Golden photographs are shrunk to at most this, pixels, which keeps a bundle small."""

ONNX_PATH = "model.onnx"

STATIC_SHAPE = (720, 1280)
"""(height, width) for which the static variant is tried at export, larger where the region asks for it."""


@dataclass(frozen=True)
class Packing:
    """Choices that are not the model's.

    `simulated` marks a demonstration that no gate passes; `half` rounds the weights to float16 and stores them so;
    without `photographs` the golden frames are drawn ones, for bundles that go where the photographs may not; with
    `one_file` OpenVINO reads the ONNX artifact too, which takes half the bytes and longer to load. `tolerance` is the
    largest difference of a score or map value that parity and the golden frames allow.
    """

    simulated: bool = False
    half: bool = False
    photographs: bool = True
    one_file: bool = False
    tolerance: float = TOLERANCE

    @property
    def openvino_path(self) -> str:
        """Where the OpenVINO artifact lies in the bundle."""
        return ONNX_PATH if self.one_file else "openvino/model.xml"


PLAIN = Packing()


def export_subject(subject: Subject, out: Path, stage: Stage, packing: Packing = PLAIN) -> Bundle:
    """Write the bundle `out` of a network; it appears there only when everything has succeeded.

    Raises BundleError if `out` exists, ParityError if an artifact disagrees with PyTorch.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        _fill(work, subject, out.name.removesuffix(".edge"), stage, packing)
        work.chmod(0o755)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return load_bundle(out)


def _fill(work: Path, subject: Subject, name: str, stage: Stage, packing: Packing) -> None:
    provenance = _provenance(subject)
    more: dict[str, object] = {}
    if packing.half:
        subject, more["float16 weights"] = _halved(subject)
        provenance["weights"] = "rounded to float16"
    step = stage("graphs", 2)
    write_onnx(subject.network, subject.contract, work / ONNX_PATH, provenance)
    step()
    if not packing.one_file:
        write_openvino(work / ONNX_PATH, work / packing.openvino_path, provenance)
    step()

    photographs = subject.photographs("val")
    if subject.contract.region is not None:
        check_photographs(photographs, subject.contract, stage("reading validation photographs", len(photographs)))
    paths = {"onnxruntime": ONNX_PATH, "openvino": packing.openvino_path}
    backends = {name: load_backend(name, work / path, cores(), subject.contract) for name, path in paths.items()}
    graphs = work / ONNX_PATH, work / packing.openvino_path
    proof = prove(subject, *graphs, backends, packing.tolerance, stage)
    validation, margin = proof.compared[VALIDATION].agreements, proof.margin

    golden = _golden_frames(subject) if packing.photographs and photographs else _drawn_frames(subject.contract)
    answers = [reference(subject, frame) for frame in golden]
    _write_golden(work / GOLDEN, golden, answers)

    bad, where = [photograph.is_bad for photograph in photographs], answers[0][1]
    every_figure = {name: _judged(subject, agreement.scores, bad) for name, agreement in validation.items()}
    best = every_figure[MAP_ARTIFACT]
    names = [photograph.name for photograph in photographs]
    expected = _judged(subject, validation[MAP_ARTIFACT].expected, bad).threshold
    more["verdicts turned on validation photographs"] = {
        name: compare_verdicts(agreement, names, expected, every_figure[name].threshold, margin)
        for name, agreement in validation.items()
    }
    write_figures(work, proof, more)
    write_page(work, subject, proof, graphs[1], backends, packing.tolerance, packing.photographs)
    sealed = seal(
        work,
        Manifest(
            name=name,
            task=subject.task,
            description=subject.title,
            simulated=packing.simulated,
            letterbox=subject.contract,
            map_size=None if where is None else (where.shape[0], where.shape[1]),
            map_threshold=choose_map_threshold(subject, backends[MAP_ARTIFACT], stage),
            metrics={"validation auroc": best.auroc, "validation average precision": best.average_precision},
            artifacts={
                name: Artifact(
                    backend=name,
                    path=path,
                    threshold=_threshold(subject, every_figure[name]),
                    margin=margin,
                    golden_tolerance=packing.tolerance,
                )
                for name, path in paths.items()
            },
            files={},
            provenance=provenance,
        ),
    )
    step, shape = stage("static variants", len(paths)), subject.contract.holding(*STATIC_SHAPE)
    for artifact in paths:
        anysize, fixed = load_from(sealed, artifact, cores()), load_from(sealed, artifact, cores(), shape)
        check_golden(sealed, anysize)
        check_static(sealed, anysize, fixed, shape)
        step()


def _judged(subject: Subject, scores: Sequence[float], bad: Sequence[bool]) -> Figures:
    """What the judge says of one artifact's scores, at the threshold that they choose or that was given."""
    threshold = _level(subject, scores, bad)
    return judge(scores, bad, threshold) if scores else unjudged(threshold)


def _level(subject: Subject, scores: Sequence[float], bad: Sequence[bool]) -> float:
    choice = subject.threshold
    return (
        choice if isinstance(choice, float) else choose_threshold(scores, bad, choice.strategy, **choice.options).value
    )


def _threshold(subject: Subject, figures: Figures) -> Threshold:
    good, bad, choice = figures.specificity.trials, figures.recall.trials, subject.threshold
    if isinstance(choice, float):
        strategy = "given by hand"
    else:
        parameters = strategy_parameters(choice.strategy, choice.options)
        strategy = " ".join([choice.strategy, *(f"{k}={v:g}" for k, v in parameters.items())])
    return Threshold(
        value=figures.threshold,
        strategy=strategy,
        data=f"validation photographs of {subject.data.name}: {good} good, {bad} bad"
        if subject.data
        else "no photographs",
        recall=_interval(figures.recall),
        specificity=_interval(figures.specificity),
    )


def _provenance(subject: Subject) -> dict[str, str]:
    libraries = ("edge-inspect", "torch", "onnx", "openvino", "onnxruntime")
    return {
        **subject.origin,
        **({"data": subject.data.name, "data sha256": subject.fingerprint or ""} if subject.data else {}),
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        **{library: version(library) for library in libraries},
    }


def _halved(subject: Subject) -> tuple[Subject, dict[str, object]]:
    """The network with its weights rounded to float16, and how far that moves validation scores."""
    photographs = subject.photographs("val")
    if not photographs:
        raise HalfError("rounding to float16 is proven on photographs: give --data, or export without --half")
    before = score_photographs(subject.network, subject.contract, photographs)
    rounded = replace(subject, network=cast(Network, halved(subject.network)))
    after = score_photographs(rounded.network, subject.contract, photographs)
    off = np.abs(after - before)
    worst = int(off.argmax())
    threshold = _level(subject, list(before), [photograph.is_bad for photograph in photographs])
    turned = [photographs[i].name for i in np.flatnonzero((before >= threshold) != (after >= threshold))]
    if turned:
        raise HalfError(
            f"float16 weights turn {len(turned)} of {len(photographs)} validation verdicts, that of {turned[0]} first, "
            f"and move scores by up to {off[worst]:.2g}: export without --half"
        )
    return rounded, {
        "frames": len(photographs),
        "largest score difference": float(off[worst]),
        "worst frame": photographs[worst].name,
        "verdicts turned at the threshold of the unrounded network": 0,
    }


def _drawn_frames(contract: LetterboxContract) -> list[Frame]:
    """A smooth picture, the same with a scratch, and the noise of the golden frames."""
    rows, columns = np.indices(contract.holding(240, 360))
    smooth = 96 + 48 * np.sin(columns / 60) * np.cos(rows / 45)
    scratched = np.where(np.abs(rows - 40 - columns / 2) < 2, 30, smooth)
    drawn = [np.repeat(picture.astype(np.uint8)[:, :, None], 3, axis=2) for picture in (smooth, scratched)]
    return [*drawn, *_noise(contract)]


def _golden_frames(subject: Subject) -> list[Frame]:
    """A good and a bad validation photograph, made small, and noise."""
    photographs = subject.photographs("val")
    firsts = [next((p for p in photographs if p.is_bad is bad), None) for bad in (False, True)]
    frames = [_small(read_picture(p.path), subject.contract) for p in firsts if p is not None]
    return [*frames, *_noise(subject.contract)]


def _noise(contract: LetterboxContract) -> list[Frame]:
    """Two sizes whose letterbox is awkward."""
    rng = np.random.default_rng(11)
    sizes = (contract.holding(*size) for size in ((299, 133), (97, 224)))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def _small(frame: Frame, contract: LetterboxContract) -> Frame:
    """Shrunk; or, where there is a region, as taken but without what lies below and beyond it."""
    if contract.region is not None:
        return np.ascontiguousarray(frame[: contract.region.bottom, : contract.region.right])
    height, width = frame.shape[:2]
    factor = GOLDEN_SIDE / max(height, width)
    if factor >= 1:
        return frame
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _write_golden(path: Path, frames: list[Frame], answers: list[tuple[float, np.ndarray | None]]) -> None:
    arrays: dict[str, np.ndarray] = {"count": np.array(len(frames))}
    for i, (frame, (score, where)) in enumerate(zip(frames, answers, strict=True)):
        arrays[f"frame_{i}"], arrays[f"score_{i}"] = frame, np.array(score, np.float64)
        if where is not None:
            arrays[f"map_{i}"] = where
    np.savez_compressed(path, **arrays)


def _interval(rate: Rate) -> Interval:
    return Interval(value=rate.value, low=rate.low, high=rate.high, count=rate.trials)
