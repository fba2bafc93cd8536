"""The subject of an export: a network, its letterbox contract, and the photographs on which artifacts are checked."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from edge.errors import DataError, EdgeError
from edge.evaluation.thresholds import STRATEGIES, known_strategies
from edge.letterbox.contract import LetterboxContract
from edge.photographs.listing import read_listing
from edge.photographs.photograph import Photograph
from edge.pictures.contract import PictureContract
from edge.terminal.progress import SILENT, Stage
from export.kinds import with_kinds
from train.data.photographs import survey
from train.recipe import ThresholdChoice
from train.run import NETWORK_FILE, Run, check_photographs


class SubjectError(EdgeError):
    """A model cannot be exported as it is, or an option does not match the model."""


@dataclass(frozen=True)
class Evidence:
    """The photographs on which an export is checked, their folder, and the fingerprint from `survey`; may be empty."""

    listed: tuple[Photograph, ...] = ()
    folder: Path | None = None
    fingerprint: str | None = None

    def photographs(self, split: str) -> list[Photograph]:
        """All photographs, whatever the `split`: an export does not train."""
        return [*self.listed]


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, with all its properties that a bundle records.

    `network` takes (image float32 [1,C,S,S], mask float32 [1,1,S,S]) and returns (score [1], map [1,h,w] or None), and
    the probability of each of `kinds`, float32 [kinds], if there are kinds.
    `threshold` is the strategy that chooses the threshold, or a number given by the user. `photographs` returns the
    photographs of "train" or "val"; `data` is their folder and `fingerprint` its SHA-256, both None without
    photographs. `reference` names the network with which the artifacts are compared, `origin` is its provenance,
    `picture` the way its photographs are read. `note` is one line about a choice that the export made. `knows_training`
    says whether the photographs of "train" are those on which the network was trained.
    """

    title: str
    task: Literal["one-class", "supervised"]
    network: nn.Module
    contract: LetterboxContract
    threshold: ThresholdChoice | float
    data: Path | None
    fingerprint: str | None
    photographs: Callable[[str], list[Photograph]]
    reference: str = "PyTorch"
    origin: dict[str, str] = field(default_factory=dict)
    picture: PictureContract | None = None
    note: str | None = None
    knows_training: bool = False
    kinds: tuple[str, ...] = ()


def trained(run: Run, stage: Stage = SILENT.begin) -> Subject:
    """The subject of a finished training run: its network and its photographs.

    Raises RunError, in one line, if the photographs have changed since the training.
    """
    check_photographs(run, stage)
    network, kinds = with_kinds(run.network)
    return Subject(
        title=run.recipe.title,
        task="one-class" if run.network.learns_from == "good" else "supervised",
        network=network,
        contract=run.contract,
        threshold=run.recipe.threshold,
        data=run.data,
        fingerprint=run.fingerprint,
        photographs=run.photographs,
        origin={"recipe": run.recipe.title, **_own_network(run)},
        picture=run.record.data.picture,
        knows_training=True,
        kinds=kinds,
    )


def _own_network(run: Run) -> dict[str, str]:
    """Provenance of a network of the user's own; empty for a network of this package."""
    if not run.recipe.model.is_own:
        return {}
    return {"network": run.recipe.model.label, "network sha256": run.record.files.get(NETWORK_FILE, "")}


def evidence_from(data: Path | None, threshold: ThresholdChoice | float, bits: int | None = None) -> Evidence:
    """The validation photographs of `data`, or all its photographs if it has no splits. `bits` is the number of
    significant bits of photographs with 16 bits per sample.

    Raises DataError, in one line, if there are none or one cannot be used, and SubjectError if `data` is None although
    the threshold has to be chosen on photographs.
    """
    if data is None and not isinstance(threshold, float):
        raise SubjectError(
            f"the threshold is chosen ({threshold.strategy}) on labelled photographs: give --data, "
            "or a number as --threshold"
        )
    if data is None:
        return Evidence()
    listing = read_listing(data, bits=bits)
    photographs = listing.splits.get("", listing.splits.get("val", []))
    if not photographs:
        raise DataError(
            f"{data} ({listing.said}) has no validation photographs: put some into val/, "
            "or name a folder of good/ and bad/ without splits"
        )
    return Evidence(tuple(photographs), data, survey(photographs, masks_needed=False).fingerprint)


def parse_threshold(text: str) -> ThresholdChoice | float:
    """The value of `--threshold`: a number, or a strategy as for `ThresholdChoice.parse`.

    Raises SubjectError if it is neither or the number is not finite, RecipeError if a strategy's values are invalid.
    """
    try:
        value = float(text)
    except ValueError:
        strategy = text.partition("=")[0]
        if strategy not in STRATEGIES:
            raise SubjectError(
                f"--threshold {text} is no number and no strategy; {known_strategies(strategy)}; or give a number"
            ) from None
        return ThresholdChoice.parse(text)
    if not math.isfinite(value):
        raise SubjectError(f"--threshold {text} is not a finite number")
    return value
