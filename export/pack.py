"""From a trained network to a sealed bundle: graphs, parity, threshold, golden frames, manifest."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np

from edge.backends import Backend, check_golden, check_static, load_backend, load_from
from edge.bundle import GOLDEN, Artifact, Bundle, Interval, Manifest, Threshold, load_bundle, seal
from edge.contract import LetterboxContract
from edge.errors import BundleError
from edge.evaluation import Figures, Rate, choose_threshold, judge, strategy_parameters, unjudged
from edge.machine import adds_int8_exactly, cores
from edge.picture import read_picture
from edge.verify.looking import check_photographs
from export.graph import network_model, write_onnx, write_openvino
from export.half import HalfError, halved
from export.inside import Frame
from export.int8 import Calibration, CalibrationError, Judged, Layers, calibration, figures, make_artifact, marked_cells
from export.map_threshold import Stage, choose_map_threshold
from export.parity import compare_verdicts, nearest_threshold, reference
from export.proof import VALIDATION, Proof, prove, write_figures, write_page
from export.quantize import OnnxRuntimeQuantizer, OpenVinoQuantizer, WeightBits
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

INT8: dict[Literal["openvino", "onnxruntime"], tuple[str, type[OpenVinoQuantizer] | type[OnnxRuntimeQuantizer]]] = {
    "openvino": ("openvino-int8/model.xml", OpenVinoQuantizer),
    "onnxruntime": ("model-int8.onnx", OnnxRuntimeQuantizer),
}
"""The int8 artifact of each runtime: where it lies in the bundle, and who writes it."""

NEAREST = "fewest of PyTorch's verdicts turned, first tried PyTorch's threshold, then "
"""How the threshold of an int8 artifact is chosen, before the strategy of the recipe."""

STATIC_SHAPE = (720, 1280)
"""(height, width) for which the static variant is tried at export, larger where the region asks for it."""


@dataclass(frozen=True)
class Packing:
    """Choices that are not the model's.

    `simulated` marks a demonstration that no gate passes; `half` rounds the weights to float16 and stores them so;
    without `photographs` the golden frames are drawn ones, for bundles that go where the photographs may not; with
    `one_file` OpenVINO reads the ONNX artifact too, which takes half the bytes and longer to load. `int8` adds an int8
    artifact for each runtime, where it is as good; its weights take `weight_bits`. `tolerance` is the largest
    difference of a score or map value that parity and the golden frames of float32 artifacts allow.
    """

    simulated: bool = False
    half: bool = False
    photographs: bool = True
    one_file: bool = False
    int8: bool = False
    weight_bits: WeightBits = 8
    tolerance: float = TOLERANCE

    @property
    def openvino_path(self) -> str:
        """Where the OpenVINO artifact lies in the bundle."""
        return ONNX_PATH if self.one_file else "openvino/model.xml"


PLAIN = Packing()


def export_subject(subject: Subject, out: Path, stage: Stage, packing: Packing = PLAIN) -> Bundle:
    """Write the bundle `out` of a network; it appears there only when everything has succeeded.

    Raises BundleError if `out` exists, ParityError if an artifact disagrees with PyTorch, CalibrationError if int8
    cannot be tried.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")
    if packing.int8 and packing.weight_bits == 8 and not adds_int8_exactly():
        raise CalibrationError(
            "int8 weights of 8 bits cannot be tried on a CPU without VNNI, as this one seems to be: "
            "give --weight-bits 7"
        )
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
    calibrated = calibration(subject, stage) if packing.int8 else None
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
    files = {name: work / path for name, path in paths.items()}
    backends = {name: load_backend(name, file, cores(), subject.contract) for name, file in files.items()}
    proof = prove(subject, files["onnxruntime"], files["openvino"], backends, packing.tolerance, stage)
    validation, margin = proof.compared[VALIDATION].agreements, proof.margin

    golden = _golden_frames(subject) if packing.photographs and photographs else _drawn_frames(subject.contract)
    answers = [reference(subject, frame) for frame in golden]
    _write_golden(work / GOLDEN, golden, answers)

    bad, where = [photograph.is_bad for photograph in photographs], answers[0][1]
    said = validation[MAP_ARTIFACT].expected
    expected = _level(subject, said, bad)
    every_figure = {name: _judged(subject, a.scores, bad, said, expected) for name, a in validation.items()}
    best = every_figure[MAP_ARTIFACT]
    names = [photograph.name for photograph in photographs]
    more["verdicts turned on validation photographs"] = {
        name: compare_verdicts(agreement, names, expected, every_figure[name].threshold, packing.tolerance)
        for name, agreement in validation.items()
    }
    level = choose_map_threshold(subject, backends[MAP_ARTIFACT], stage)
    artifacts = {
        name: Artifact(
            backend=name,
            path=path,
            threshold=_threshold(subject, every_figure[name]),
            margin=margin,
            golden_tolerance=_tolerance(every_figure[name].threshold, proof, packing),
        )
        for name, path in paths.items()
    }
    refused: dict[str, str] = {}
    attempts: dict[str, list[dict[str, object]]] = {}
    if calibrated is not None:
        marked = marked_cells(backends[MAP_ARTIFACT], photographs, level, stage)
        judged = Judged(photographs, said, files, level, marked)
        golden_pairs = list(zip(golden, answers, strict=True))
        added, refused, attempts = _int8(work, subject, calibrated, judged, golden_pairs, packing, provenance, stage)
        artifacts |= added
        more["int8"] = attempts
    write_figures(work, proof, more)
    write_page(work, subject, proof, files["openvino"], backends, packing.tolerance, packing.photographs, attempts)
    sealed = seal(
        work,
        Manifest(
            name=name,
            task=subject.task,
            description=subject.title,
            simulated=packing.simulated,
            letterbox=subject.contract,
            map_size=None if where is None else (where.shape[0], where.shape[1]),
            map_threshold=level,
            metrics={"validation auroc": best.auroc, "validation average precision": best.average_precision},
            artifacts=artifacts,
            refused=refused,
            files={},
            provenance=provenance,
        ),
    )
    step, shape = stage("static variants", len(artifacts)), subject.contract.holding(*STATIC_SHAPE)
    for artifact in artifacts:
        anysize, fixed = load_from(sealed, artifact, cores()), load_from(sealed, artifact, cores(), shape)
        check_golden(sealed, anysize)
        check_static(sealed, anysize, fixed, shape)
        step()


def _tolerance(threshold: float, proof: Proof, packing: Packing) -> float:
    """A hundredth of the threshold, where that is less than parity allows; at least twice what was seen.

    A score of an autoencoder is some 0.001: an absolute bound would let it be off by a tenth.
    """
    return min(packing.tolerance, max(abs(threshold) / 100, 2 * proof.largest_difference))


def _int8(
    work: Path,
    subject: Subject,
    calibrated: Calibration,
    judged: Judged,
    golden: list[tuple[Frame, tuple[float, np.ndarray | None]]],
    packing: Packing,
    provenance: dict[str, str],
    stage: Stage,
) -> tuple[dict[str, Artifact], dict[str, str], dict[str, list[dict[str, object]]]]:
    """The int8 artifacts that will do, why the others will not, and what was tried."""
    photographs, calibrated_on = calibrated
    network = network_model(subject.network, subject.contract.channels, subject.contract.side)
    layers = Layers(subject, network.graph, photographs, stage)
    artifacts, refused, tried = {}, {}, {}
    for runtime, (path, quantizer) in INT8.items():
        name = f"{runtime}-int8"
        write = quantizer(network, subject.contract, photographs, provenance, packing.weight_bits)
        outcome = make_artifact(name, work / path, write, layers, subject, judged, calibrated_on, stage)
        tried[name] = figures(outcome)
        if outcome.quantization is None:
            refused[name] = str(outcome.reason)
            continue
        accepted = outcome.trials[-1]
        assert accepted.against is not None
        artifacts[name] = Artifact(
            backend=runtime,
            precision="int8",
            path=path,
            threshold=_threshold(subject, accepted.against.figures, NEAREST),
            margin=accepted.against.largest_difference,
            golden_tolerance=_int8_tolerance(load_backend(runtime, work / path, cores(), subject.contract), golden),
            quantization=outcome.quantization,
        )
    return artifacts, refused, tried


def _int8_tolerance(backend: Backend, golden: list[tuple[Frame, tuple[float, np.ndarray | None]]]) -> float:
    """Twice the largest difference from PyTorch on the golden frames: another CPU rounds otherwise."""
    largest = TOLERANCE
    for frame, (score, where) in golden:
        output = backend.infer(frame)
        largest = max(largest, abs(output.score - score))
        if where is not None and output.map is not None:
            largest = max(largest, float(np.abs(output.map - where).max()))
    return 2 * largest


def _judged(
    subject: Subject, scores: Sequence[float], bad: Sequence[bool], said: Sequence[float], expected: float
) -> Figures:
    """What the judge says of one artifact's scores, at the threshold that they choose or that was given.

    `said` are PyTorch's scores and `expected` its threshold: near ties choose so that its verdicts are kept.
    """
    threshold = _level(subject, scores, bad)
    if not scores:
        return unjudged(threshold)
    if not isinstance(subject.threshold, float):
        threshold = nearest_threshold(scores, [score >= expected for score in said], threshold)
    return judge(scores, bad, threshold)


def _level(subject: Subject, scores: Sequence[float], bad: Sequence[bool]) -> float:
    choice = subject.threshold
    return (
        choice if isinstance(choice, float) else choose_threshold(scores, bad, choice.strategy, **choice.options).value
    )


def _threshold(subject: Subject, figures: Figures, said_before: str = "") -> Threshold:
    good, bad, choice = figures.specificity.trials, figures.recall.trials, subject.threshold
    if isinstance(choice, float):
        strategy = "given by hand"
    else:
        parameters = strategy_parameters(choice.strategy, choice.options)
        strategy = " ".join([choice.strategy, *(f"{k}={v:g}" for k, v in parameters.items())])
    return Threshold(
        value=figures.threshold,
        strategy=f"{said_before}{strategy}",
        data=f"validation photographs of {subject.data.name}: {good} good, {bad} bad"
        if subject.data
        else "no photographs",
        recall=_interval(figures.recall),
        specificity=_interval(figures.specificity),
    )


def _provenance(subject: Subject) -> dict[str, str]:
    libraries = ("edge-inspect", "torch", "onnx", "openvino", "onnxruntime", "nncf")
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
