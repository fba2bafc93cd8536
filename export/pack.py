"""Export of a trained network to a sealed bundle: graphs, parity, thresholds, golden frames, int8, manifest."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np

from edge.backends import check_golden, check_static, load_backend, load_from
from edge.bundle import GOLDEN, Artifact, Bundle, Manifest, load_bundle, seal
from edge.bundle.tolerance import Bounds
from edge.errors import BundleError
from edge.evaluation.metrics import Figures
from edge.machine import adds_int8_exactly, cores
from edge.terminal.progress import Stage
from edge.verify.scoring import check_photographs
from export.float16 import HalfError, halved
from export.golden import Golden, golden_frames
from export.graph import network_model, write_onnx
from export.input_statistics import good_scores, input_statistics
from export.int8 import Calibration, CalibrationError, Judged, Layers, calibration, figures, make_artifact, marked_cells
from export.map_threshold import choose_map_threshold
from export.parity import Agreement, compare_verdicts
from export.parity_report import VALIDATION, Proof, prove, write_figures, write_page
from export.runtimes import PREFERRED, RUNTIMES
from export.runtimes.base import ONNX_PATH, WeightBits
from export.source import Subject
from export.threshold import (
    NEAREST,
    TOLERANCE,
    check_level,
    golden_kind_tolerance,
    golden_tolerances,
    int8_tolerances,
    judged,
    level_of,
    threshold_of,
)
from train.models import Network
from train.score import score_photographs

STATIC_SHAPE = (720, 1280)
"""(height, width) for which the static variant is checked at export; larger if the region requires it."""


@dataclass(frozen=True)
class Packing:
    """Options of an export that do not depend on the network.

    `simulated` marks the bundle as a demonstration, whose parts a gate passes only with `--allow-simulated`. `half`
    rounds the weights to float16 and stores them in float16. Without `photographs` the golden frames are drawn, for
    bundles that go to places where the photographs may not go. With `one_file` each runtime that can reads the ONNX
    graph: the bundle has half the bytes and takes longer to load. `int8` adds an int8 artifact for each runtime if it
    passes the checks; its weights have `weight_bits` bits. `tolerance` is the largest difference of a score or map
    value that parity and the golden frames of float32 artifacts allow, as a share of the spread of PyTorch's values on
    the validation photographs.
    """

    simulated: bool = False
    half: bool = False
    photographs: bool = True
    one_file: bool = False
    int8: bool = False
    weight_bits: WeightBits = 8
    tolerance: float = TOLERANCE


PLAIN = Packing()


def export_subject(subject: Subject, out: Path, stage: Stage, packing: Packing = PLAIN) -> Bundle:
    """Write the bundle `out` of a network. The folder `out` is created only after every step has succeeded.

    Raises BundleError if `out` exists, DataError if the photographs cannot choose the threshold, ParityError if an
    artifact disagrees with PyTorch, CalibrationError if int8 cannot be tried.
    """
    if out.exists():
        raise BundleError(f"{out} exists; remove it or choose another name with --out")
    check_level(subject)
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
        subject, more["float16 weights"] = _halved(subject, stage)
        provenance["weights"] = "rounded to float16"
    calibrated = calibration(subject, stage) if packing.int8 else None
    files = _write_graphs(work, subject, packing, provenance, stage)

    photographs = subject.photographs("val")
    if subject.contract.region is not None:
        check_photographs(photographs, subject.contract, stage("reading validation photographs", len(photographs)))
    backends = {name: load_backend(name, file, cores(), subject.contract) for name, file in files.items()}
    proof = prove(subject, files, work / ONNX_PATH, backends, packing.tolerance, stage)
    validation = proof.compared[VALIDATION].agreements
    stage("golden frames")
    golden = golden_frames(subject, packing.photographs)
    golden.save(work / GOLDEN)

    every_figure, more["verdicts turned on validation photographs"] = _verdicts(subject, validation, proof.bounds)
    level = choose_map_threshold(subject, backends[PREFERRED], stage)
    artifacts = _float32_artifacts(work, files, subject, every_figure, proof)
    refused: dict[str, str] = {}
    attempts: dict[str, list[dict[str, object]]] = {}
    if calibrated is not None:
        marked = marked_cells(backends[PREFERRED], photographs, level, stage)
        kinds = [None if one is None else one[0] for one in validation[PREFERRED].kinds]
        standard = Judged(photographs, validation[PREFERRED].expected, files, level, marked, kinds)
        added, refused, attempts = _int8(
            work, subject, calibrated, standard, golden, proof.bounds, packing, provenance, stage
        )
        artifacts |= added
        more["int8"] = attempts
    stage("page of the parity")
    write_figures(work, proof, more)
    trained_on = subject.photographs("train") if subject.knows_training else []
    data = subject.data.name if subject.data else ""
    statistics = input_statistics(subject.contract, trained_on, photographs, data, stage)
    margin = max(artifacts[name].margin for name in files)
    write_page(work, subject, proof, files[PREFERRED], backends, margin, packing.photographs, attempts)
    best = every_figure[PREFERRED]
    sealed = seal(
        work,
        Manifest(
            name=name,
            task=subject.task,
            description=subject.title,
            simulated=packing.simulated,
            letterbox=subject.contract,
            picture=subject.picture,
            schema_version=3 if subject.kinds else 2,
            map_size=golden.map_size,
            kinds=subject.kinds,
            map_threshold=level,
            score_range=proof.bounds.scores,
            map_range=proof.bounds.maps,
            input_statistics=statistics,
            good_scores=good_scores(
                PREFERRED, [*validation[PREFERRED].scores], [photograph.is_bad for photograph in photographs]
            ),
            metrics={"validation auroc": best.auroc, "validation average precision": best.average_precision},
            artifacts=artifacts,
            refused=refused,
            files={},
            provenance=provenance,
        ),
    )
    _check_loaded(sealed, stage)


def _write_graphs(
    work: Path, subject: Subject, packing: Packing, provenance: dict[str, str], stage: Stage
) -> dict[str, Path]:
    """Write the float32 artifact of each runtime into `work`; the files by name of the runtime."""
    onnx_path, files = work / ONNX_PATH, dict[str, Path]()
    stage("ONNX export of the network")
    write_onnx(subject.network, subject.contract, onnx_path, provenance)
    step = stage("artifacts", len(RUNTIMES))
    for name, runtime in RUNTIMES.items():
        files[name] = onnx_path if packing.one_file and runtime.reads_onnx else work / runtime.path
        if files[name] != onnx_path:
            runtime.write(onnx_path, files[name], provenance)
        step()
    return files


def _verdicts(
    subject: Subject, validation: Mapping[str, Agreement], bounds: Bounds
) -> tuple[dict[str, Figures], dict[str, list[str]]]:
    """By artifact, the figures at its threshold, and the photographs on which its verdict differs from PyTorch's."""
    photographs = subject.photographs("val")
    names = [photograph.name for photograph in photographs]
    said = validation[PREFERRED].expected
    expected = level_of(subject, photographs, said)
    band = bounds.score_tolerance * bounds.score_growth(expected)
    figures = {name: judged(subject, photographs, one.scores, said, expected) for name, one in validation.items()}
    turned = {
        name: compare_verdicts(one, names, expected, figures[name].threshold, band) for name, one in validation.items()
    }
    return figures, turned


def _float32_artifacts(
    work: Path, files: Mapping[str, Path], subject: Subject, figures: Mapping[str, Figures], proof: Proof
) -> dict[str, Artifact]:
    """The manifest's entries of the float32 artifacts, with their thresholds."""
    on_scores, on_maps = golden_tolerances(proof.bounds, proof.agreements)
    on_kinds = golden_kind_tolerance(proof.bounds, proof.agreements)
    return {
        name: Artifact(
            backend=name,
            path=file.relative_to(work).as_posix(),
            threshold=threshold_of(subject, figures[name]),
            margin=proof.margin(figures[name].threshold),
            golden_tolerance=on_scores,
            golden_map_tolerance=None if proof.bounds.maps is None else on_maps,
            golden_kind_tolerance=on_kinds,
        )
        for name, file in files.items()
    }


def _check_loaded(bundle: Bundle, stage: Stage) -> None:
    """Check each artifact of the sealed bundle on the golden frames, for frames of any size and for STATIC_SHAPE."""
    artifacts, shape = bundle.manifest.artifacts, bundle.manifest.letterbox.holding(*STATIC_SHAPE)
    step = stage("static variants", len(artifacts))
    for artifact in artifacts:
        anysize, fixed = (load_from(bundle, artifact, cores(), size) for size in (None, shape))
        check_golden(bundle, anysize)
        check_static(bundle, anysize, fixed, shape)
        step()


def _int8(
    work: Path,
    subject: Subject,
    calibrated: Calibration,
    standard: Judged,
    golden: Golden,
    bounds: Bounds,
    packing: Packing,
    provenance: dict[str, str],
    stage: Stage,
) -> tuple[dict[str, Artifact], dict[str, str], dict[str, list[dict[str, object]]]]:
    """The accepted int8 artifacts, the reasons for the refused ones, and all attempts, each by name of the artifact."""
    photographs, calibrated_on = calibrated
    network = network_model(subject.network, subject.contract.channels, subject.contract.side)
    layers = Layers(subject, network.graph, photographs, stage)
    by_rank = sorted(RUNTIMES.values(), key=lambda runtime: -runtime.rank)
    quantizers = {runtime.name: runtime.quantizer for runtime in by_rank if runtime.quantizer is not None}
    how = "" if isinstance(subject.threshold, float) else NEAREST
    artifacts, refused, tried = {}, {}, {}
    for runtime, quantizer in quantizers.items():
        name, path = f"{runtime}-int8", quantizer.path
        write = quantizer(network, subject.contract, photographs, provenance, packing.weight_bits)
        outcome = make_artifact(name, work / path, write, layers, subject, standard, calibrated_on, stage)
        tried[name] = figures(outcome)
        if outcome.quantization is None:
            refused[name] = str(outcome.reason)
            continue
        accepted = outcome.trials[-1]
        loaded = load_backend(runtime, work / path, cores(), subject.contract)
        on_scores, on_maps, on_kinds = int8_tolerances(loaded, golden, bounds)
        assert accepted.against is not None
        artifacts[name] = Artifact(
            backend=runtime,
            precision="int8",
            path=path,
            threshold=threshold_of(subject, accepted.against.figures, how),
            margin=accepted.against.largest_difference,
            golden_tolerance=on_scores,
            golden_map_tolerance=on_maps if bounds.maps else None,
            golden_kind_tolerance=on_kinds,
            quantization=outcome.quantization,
        )
    return artifacts, refused, tried


def _provenance(subject: Subject) -> dict[str, str]:
    libraries = ("edge-inspect", "torch", "onnx", *(name for one in RUNTIMES.values() for name in one.packages))
    return {
        **subject.origin,
        **({"data": subject.data.name, "data sha256": subject.fingerprint or ""} if subject.data else {}),
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        **{library: version(library) for library in libraries},
    }


def _halved(subject: Subject, stage: Stage) -> tuple[Subject, dict[str, object]]:
    """The subject with weights rounded to float16, and the figures of the resulting changes of validation scores.

    Raises HalfError if there are no photographs, or if the rounding changes a verdict.
    """
    photographs = subject.photographs("val")
    if not photographs:
        raise HalfError("rounding to float16 is proven on photographs: give --data, or export without --half")
    advance = stage("scores with float16 weights", 2 * len(photographs))
    before = score_photographs(subject.network, subject.contract, photographs, advance)
    rounded = replace(subject, network=cast(Network, halved(subject.network)))
    after = score_photographs(rounded.network, subject.contract, photographs, advance)
    off = np.abs(after - before)
    worst = int(off.argmax())
    threshold = level_of(subject, photographs, list(before))
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
