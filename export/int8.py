"""INT8 artifacts: accepted if they judge the validation photographs as PyTorch does, otherwise refused with the reason.

If an artifact breaks a rule, it is quantized again with more layers in float32: those with the most error for their
cost first. PyTorch's verdicts are those at the threshold chosen on PyTorch's scores.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch

from edge.backends import Backend, load_backend
from edge.backends.auto import measure_alternating
from edge.bundle import MapThreshold, Quantization
from edge.bundle.formats import weights_of
from edge.errors import EdgeError
from edge.evaluation.metrics import Figures, judge
from edge.letterbox.contract import LetterboxContract
from edge.machine import cores
from edge.photographs.photograph import Photograph, read_photograph
from edge.terminal.progress import Stage
from export.layers import Layer, integer_layers, integer_nodes, layer_errors, noisy_layers
from export.map_threshold import dice_at
from export.runtimes.base import Inputs, Quantizer
from export.source import Subject
from export.threshold import as_pytorch, level_of
from train.letterbox import letterboxed

FEWEST, MOST = 10, 100
"""Fewest and most calibration photographs. With fewer there is no artifact; more are thinned out evenly."""

RANKED = 4
"""Number of calibration photographs on which the layers' errors are measured."""

SHARES = (1.0, 1 / 4, 1 / 16, 1 / 64)
"""Share of the sum of all layers' squared errors that may remain at each attempt."""

LEAST_INTEGER = 0.25
"""Smallest share of multiplications in int8. Below it an artifact is not faster."""

TURNED = 0.002
"""Largest share of validation verdicts that may differ from PyTorch's."""

AUROC, DICE = 0.002, 0.02
"""Largest difference from PyTorch's area under the ROC curve, and largest difference of the map's Dice from that of the
float32 artifact."""

MOVED = 0.005
"""Largest share of map cells that may change to the other side of the map threshold."""


OTHER_KINDS = 0.05
"""Largest share of bad validation photographs of which it may name another kind than PyTorch; one is always allowed."""


class CalibrationError(EdgeError):
    """There are too few photographs to calibrate or to check int8. No bundle is written."""


@dataclass(frozen=True)
class Judged:
    """Validation photographs, PyTorch's score of each, and the float32 artifact of each runtime.

    `marked` holds for each photograph the cells of the float32 map, bool [h, w], that reach `level`; it is empty
    without a map. `kinds` has the number of PyTorch's most probable kind for each photograph, None without kinds.
    """

    photographs: list[Photograph]
    scores: list[float]
    float32: Mapping[str, Path]
    level: MapThreshold | None
    marked: list[npt.NDArray[np.bool_]]
    kinds: Sequence[int | None] = ()

    @property
    def bad(self) -> list[bool]:
        """For each photograph, whether it is bad."""
        return [photograph.is_bad for photograph in self.photographs]


@dataclass(frozen=True)
class Against:
    """Comparison of an attempt's scores with PyTorch's. `turned` has the names of the photographs with another verdict,
    `new_misses` those of bad photographs that only PyTorch rejects.
    """

    figures: Figures
    turned: list[str]
    new_misses: list[str]
    auroc_difference: float
    largest_difference: float


@dataclass
class Trial:
    """One attempt at an artifact: its results on the validation photographs. `reason` is why it was refused, None if it
    was accepted.

    `against` is None if a score is not finite.
    """

    float_layers: list[str]
    scores: list[float] = field(default_factory=list)
    cells: int = 0
    moved: int = 0
    kinds: int = 0
    other_kinds: int = 0
    dice: tuple[float, float] | None = None
    against: Against | None = None
    integer_layers: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Outcome:
    """The attempts at one artifact, in order. `quantization` is None if all were refused; then `reason` says why."""

    trials: list[Trial]
    quantization: Quantization | None
    reason: str | None


Calibration = tuple[list[Inputs], str]
"""Letterboxed photographs, and a description of them in words."""


def calibration(subject: Subject, stage: Stage) -> Calibration:
    """Letterboxed training photographs, spread evenly over the list, and a description of them.

    For a one-class network only good ones. Raises CalibrationError if there are too few, or if no validation photograph
    is bad.
    """
    photographs = subject.photographs("train")
    kind = "training photographs"
    if subject.task == "one-class":
        photographs, kind = [p for p in photographs if not p.is_bad], "good training photographs"
    if not any(photograph.is_bad for photograph in subject.photographs("val")):
        raise CalibrationError(
            f"{subject.data} has no bad validation photographs: nothing says what INT8 would miss; "
            "add some or export without --int8"
        )
    if len(photographs) < FEWEST:
        raise CalibrationError(
            f"{subject.data} has {len(photographs)} {kind}; INT8 is calibrated on {FEWEST} or more: "
            "add some or export without --int8"
        )
    assert subject.data is not None, "photographs lie in a folder"
    chosen = photographs[:: -(-len(photographs) // MOST)]
    tick, inputs = stage("calibration photographs", len(chosen)), []
    for photograph in chosen:
        image, mask = letterboxed(read_photograph(photograph), subject.contract)
        inputs.append({"image": image[None].numpy(), "mask": mask[None].numpy()})
        tick()
    return inputs, f"{len(chosen)} of {len(photographs)} {kind} of {subject.data.name}"


class Layers:
    """The layers of a network, with the choice of those that stay in float32. Errors are measured on first use."""

    def __init__(self, subject: Subject, graph: onnx.GraphProto, photographs: list[Inputs], stage: Stage) -> None:
        self._subject, self._graph, self._stage = subject, graph, stage
        spread = photographs[:: -(-len(photographs) // RANKED)]
        self._image, self._mask = (
            torch.from_numpy(np.concatenate([p[name] for p in spread])) for name in ("image", "mask")
        )
        self.all: list[Layer] = integer_layers(subject.network, graph, self._image, self._mask)
        self._errors: dict[str, float] | None = None

    def noisy(self, share: float) -> set[str]:
        """Names of the layers that stay in float32, so that `share` of the error remains; see `noisy_layers`."""
        if share >= 1:
            return set()
        if self._errors is None:
            tick = self._stage("error of each layer in int8", len(self.all))
            self._errors = layer_errors(self._subject.network, self.all, self._image, self._mask, tick)
        return noisy_layers(self.all, self._errors, share)

    def integer(self, noisy: set[str]) -> set[str]:
        """Names of the ONNX nodes that compute in int8 if the layers in `noisy` stay in float32."""
        return integer_nodes(self._graph, [layer for layer in self.all if layer.name not in noisy])

    def integer_share(self, noisy: set[str]) -> float:
        """Share of the multiplications in int8 if the layers in `noisy` stay in float32, among all layers that can be
        in int8.
        """
        total = sum(layer.cost for layer in self.all)
        return sum(layer.cost for layer in self.all if layer.name not in noisy) / max(total, 1)


def make_artifact(
    name: str,
    path: Path,
    quantizer: Quantizer,
    layers: Layers,
    subject: Subject,
    judged: Judged,
    calibrated_on: str,
    stage: Stage,
) -> Outcome:
    """Write the int8 artifact `name` at `path`. If every attempt is refused, nothing remains at `path`."""
    trials: list[Trial] = []
    tried: set[frozenset[str]] = set()
    for share in SHARES if layers.all else ():
        noisy = layers.noisy(share)
        if frozenset(noisy) in tried or layers.integer_share(noisy) < LEAST_INTEGER:
            continue
        tried.add(frozenset(noisy))
        _remove(path)
        step = stage(f"{name}: quantizing, {len(noisy)} of {len(layers.all)} layers in float32", 1)
        quantizer(layers.integer(noisy), path)
        step()
        runtime = name.removesuffix("-int8")
        backend = load_backend(runtime, path, cores(), subject.contract)
        trial = _tried(subject, judged, backend, [one.name for one in layers.all if one.name in noisy], stage, name)
        trial.integer_layers = quantizer.integer_layers(path)
        if trial.integer_layers == 0:
            trial.reason = f"{runtime} computes no layer of it in int8"
        trials.append(trial)
        if trial.reason is None:
            quantized = Quantization(
                calibrated_on=calibrated_on,
                weight_bits=quantizer.weight_bits,
                speedup=_speedup(runtime, judged.float32[runtime], path, subject.contract),
                integer_layers=trial.integer_layers,
                given_back=trial.float_layers,
            )
            return Outcome(trials, quantized, None)
    _remove(path)
    return Outcome(trials, None, _refusal(trials, layers))


def _speedup(runtime: str, float32: Path, int8: Path, contract: LetterboxContract) -> float:
    """How many times as fast as float32 the int8 artifact is, measured frame by frame in turns. The frames have the
    network's own size, at which the letterbox costs least.
    """
    shape = contract.holding(contract.side, contract.side)
    paths = {"float32": float32, "int8": int8}
    loaded = {which: load_backend(runtime, path, cores(), contract, shape) for which, path in paths.items()}
    medians = measure_alternating(loaded, shape)
    return medians["float32"] / medians["int8"]


def _refusal(trials: list[Trial], layers: Layers) -> str:
    if not trials:
        return "the network has no layer that another one follows: nothing to compute in int8"
    last = trials[-1]
    if not last.float_layers:
        return f"{last.reason}; no layer could be given back to float32 without losing what int8 gains"
    return f"{last.reason}, even with {len(last.float_layers)} of {len(layers.all)} layers in float32"


def _remove(path: Path) -> None:
    """Remove the artifact at `path`, and its folder if that is empty afterwards."""
    path.unlink(missing_ok=True)
    if (weights := weights_of(path.as_posix())) is not None:
        Path(weights).unlink(missing_ok=True)
    with suppress(OSError):  # the folder has other files, or does not exist
        path.parent.rmdir()


def _tried(
    subject: Subject, judged: Judged, backend: Backend, float_layers: list[str], stage: Stage, name: str
) -> Trial:
    trial = Trial(float_layers)
    tick = stage(f"{name}: validation photographs", len(judged.photographs))
    for i, photograph in enumerate(judged.photographs):
        output = backend.infer(read_photograph(photograph))
        trial.scores.append(output.score)
        if judged.marked and judged.level is not None and output.map is not None:
            trial.cells += output.map.size
            trial.moved += int(((output.map >= judged.level.value) != judged.marked[i]).sum())
        if output.kinds is not None and photograph.is_bad:
            trial.kinds += 1
            trial.other_kinds += int(output.kinds.argmax()) != judged.kinds[i]
        tick()
    finite = np.isfinite(trial.scores)
    if not finite.all():
        trial.reason = f"the score of {judged.photographs[int(finite.argmin())].name} is no number"
        return trial
    trial.against = against(subject, judged, trial.scores)
    if judged.level is not None and judged.level.dice is not None:
        trial.dice = dice_at(subject, backend, judged.level.value, stage), judged.level.dice
    trial.reason = reason_against(trial, trial.against)
    return trial


def marked_cells(
    backend: Backend, photographs: Sequence[Photograph], level: MapThreshold | None, stage: Stage
) -> list[npt.NDArray[np.bool_]]:
    """For each photograph the cells of its map that reach `level`, bool [h, w]; empty if `level` is None."""
    if level is None:
        return []
    tick, marked = stage("maps of the validation photographs", len(photographs)), []
    for photograph in photographs:
        where = backend.infer(read_photograph(photograph)).map
        assert where is not None, "there is a level because there is a map"
        marked.append(where >= level.value)
        tick()
    return marked


def against(subject: Subject, judged: Judged, said: Sequence[float]) -> Against:
    """Compare an attempt's scores with PyTorch's, at the threshold that changes the fewest of PyTorch's verdicts."""
    bad, scores, reference = np.array(judged.bad), np.array(said), np.array(judged.scores)
    expected = judge(reference, bad, level_of(subject, judged.photographs, judged.scores))
    rejected = reference >= expected.threshold
    threshold = level_of(subject, judged.photographs, said)
    if not isinstance(subject.threshold, float):
        threshold = as_pytorch(subject, judged.photographs, list(scores), list(rejected), threshold, expected.threshold)
    found = judge(scores, bad, threshold)
    turned = (scores >= threshold) != rejected
    apart = 0.0 if found.auroc is None or expected.auroc is None else found.auroc - expected.auroc
    return Against(
        figures=found,
        turned=[judged.photographs[i].name for i in np.flatnonzero(turned)],
        new_misses=[judged.photographs[i].name for i in np.flatnonzero(turned & rejected & bad)],
        auroc_difference=apart,
        largest_difference=float(np.abs(scores - reference).max()),
    )


def reason_against(trial: Trial, found: Against) -> str | None:
    """The first rule that an attempt breaks, in words; None if it breaks none."""
    count = len(trial.scores)
    if len(found.turned) > TURNED * count:
        return f"it turns {len(found.turned)} of {count} validation verdicts, that of {found.turned[0]} first"
    if found.new_misses:
        return f"it misses {found.new_misses[0]}, which PyTorch rejects"
    if abs(found.auroc_difference) > AUROC:
        return f"its AUROC on the validation photographs is {found.auroc_difference:+.4f} off, allowed {AUROC:g}"
    if trial.dice is not None and abs(trial.dice[0] - trial.dice[1]) > DICE:
        return f"the Dice of its map is {trial.dice[0]:.3f} instead of {trial.dice[1]:.3f}, allowed {DICE:g}"
    if trial.moved > MOVED * trial.cells:
        share = trial.moved / trial.cells
        return f"{share:.2%} of the cells of its maps change sides of the map threshold, allowed {MOVED:.2%}"
    if trial.other_kinds > max(1, OTHER_KINDS * trial.kinds):
        return f"it names another kind of defect for {trial.other_kinds} of {trial.kinds} bad validation photographs"
    return None


def figures(outcome: Outcome) -> list[dict[str, object]]:
    """The attempts, for parity.json; figures are None if a score was not finite."""
    return [
        {
            "layers in float32": trial.float_layers,
            "layers that the runtime computes in int8": trial.integer_layers,
            "frames": len(trial.scores),
            "threshold": found and found.figures.threshold,
            "largest score difference": found and found.largest_difference,
            "turned verdicts": found and found.turned,
            "new misses": found and found.new_misses,
            "auroc difference": found and found.auroc_difference,
            "dice, and that of float32": trial.dice,
            "cells moved": trial.moved / trial.cells if trial.cells else None,
            "other kinds named": trial.other_kinds if trial.kinds else None,
            "refused because": trial.reason,
        }
        for trial in outcome.trials
        for found in (trial.against,)
    ]
