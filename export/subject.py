"""What is exported: a network with its letterbox contract, and the photographs that its artifacts are proven on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.contract import LetterboxContract
from edge.photographs.photograph import Photograph
from train.models import Network
from train.recipe import ThresholdChoice
from train.run import Run


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, and everything about it that a bundle says.

    `network` takes (image float32 [1,3,S,S], mask float32 [1,1,S,S]) and returns (score [1], map [1,h,w] or None).
    `photographs` gives those of "train" or "val"; `data` is their folder and `fingerprint` its SHA-256.
    """

    title: str
    task: Literal["one-class", "supervised"]
    network: Network
    contract: LetterboxContract
    threshold: ThresholdChoice
    data: Path
    fingerprint: str
    photographs: Callable[[str], list[Photograph]]


def trained(run: Run) -> Subject:
    """The network of a finished training run, and the photographs it learnt from."""
    return Subject(
        title=run.recipe.title,
        task="one-class" if run.network.learns_from == "good" else "supervised",
        network=run.network,
        contract=run.contract,
        threshold=run.recipe.threshold,
        data=run.data,
        fingerprint=run.fingerprint,
        photographs=run.photographs,
    )
