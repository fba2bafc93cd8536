"""What is exported: a network with its letterbox contract, and the photographs that its artifacts are proven on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from edge.errors import DataError, EdgeError
from edge.letterbox.contract import LetterboxContract
from edge.photographs.listing import read_listing
from edge.photographs.photograph import Photograph
from edge.pictures.contract import PictureContract
from edge.terminal.progress import SILENT, Stage
from train.data.photographs import survey
from train.recipe import ThresholdChoice
from train.run import NETWORK_FILE, Run, check_photographs


class SubjectError(EdgeError):
    """A model that cannot become a bundle as it is, or something said of it that is not so."""


@dataclass(frozen=True)
class Evidence:
    """The photographs that an export is proven on, their folder, and the fingerprint of `survey`; there may be none."""

    listed: tuple[Photograph, ...] = ()
    folder: Path | None = None
    fingerprint: str | None = None

    def photographs(self, split: str) -> list[Photograph]:
        """All of them, whatever the split: nothing is trained on them here."""
        return [*self.listed]


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, and everything about it that a bundle says.

    `network` takes (image float32 [1,C,S,S], mask float32 [1,1,S,S]) and returns (score [1], map [1,h,w] or None).
    `threshold` is how to choose it, or a number that a person gives. `photographs` gives those of "train" or "val";
    `data` is their folder and `fingerprint` its SHA-256, both None where there are none. `reference` names what the
    artifacts are compared with, `origin` is what provenance says of the network, `picture` how its photographs are
    read; `note` is one line that says what was taken where there was a choice. `knows_training` says whether the
    photographs of "train" are those that the network was trained on.
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


def trained(run: Run, stage: Stage = SILENT.begin) -> Subject:
    """The network of a finished training run, and the photographs it learnt from.

    Raises RunError, in one line, if the photographs are not the same any more.
    """
    check_photographs(run, stage)
    return Subject(
        title=run.recipe.title,
        task="one-class" if run.network.learns_from == "good" else "supervised",
        network=run.network,
        contract=run.contract,
        threshold=run.recipe.threshold,
        data=run.data,
        fingerprint=run.fingerprint,
        photographs=run.photographs,
        origin={"recipe": run.recipe.title, **_own_network(run)},
        picture=run.record.data.picture,
        knows_training=True,
    )


def _own_network(run: Run) -> dict[str, str]:
    """What provenance says of a network that is none of the package."""
    if not run.recipe.model.is_own:
        return {}
    return {"network": run.recipe.model.label, "network sha256": run.record.files.get(NETWORK_FILE, "")}


def evidence_from(data: Path | None, threshold: ThresholdChoice | float, bits: int | None = None) -> Evidence:
    """The validation photographs of `data`, or all of it where its folders make no splits; `bits` are the significant
    ones of photographs of 16 bits a sample.

    Raises DataError, in one line, if there are none or one of them cannot be used, and SubjectError if `data` is None
    although the threshold is to be chosen on photographs.
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
    """`--threshold`: a number, or a strategy, see `ThresholdChoice.parse`.

    Raises SubjectError if the number is not finite, RecipeError if it is no strategy with such values.
    """
    try:
        value = float(text)
    except ValueError:
        return ThresholdChoice.parse(text)
    if not math.isfinite(value):
        raise SubjectError(f"--threshold {text} is not a finite number")
    return value
