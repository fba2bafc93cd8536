"""Export of a checkpoint: weights of a network of this package that were trained elsewhere, as in an experiment."""

from pathlib import Path

from edge.bundle import sha256
from export.kinds import with_kinds
from export.source import Evidence, Subject, SubjectError
from train.models import check_side
from train.own_network import network_of
from train.recipe import Recipe, ThresholdChoice
from train.weights import load_exactly, read_state


def subject_of(
    file: Path,
    name: str,
    recipe: Recipe,
    threshold: ThresholdChoice | float,
    evidence: Evidence,
    weights_key: str | None = None,
) -> Subject:
    """The network of the recipe `name` with the weights in `file`; `read_state` selects them by `weights_key`.

    Raises RecipeError, in one line, if the file cannot be read or has the weights of another network, SubjectError if
    the recipe does not define how pictures are normalised.
    """
    if recipe.train.normalise == "data":
        raise SubjectError(
            f"recipe {name} normalises by its training photographs, which {file} does not tell: give "
            "--set train.normalise=letterbox --set 'letterbox.mean=[…]' --set 'letterbox.std=[…]'"
        )
    network = network_of(recipe)
    read = read_state(file, network.body.state_dict(), weights_key)
    load_exactly(network.body, read.state, f"{file} does not fit {recipe.model.label}, the network of recipe {name}")
    check_side(network, recipe.letterbox.side, has_learnt=True)
    exported, kinds = with_kinds(network.eval())
    return Subject(
        title=recipe.title,
        task="one-class" if network.learns_from == "good" else "supervised",
        network=exported,
        contract=recipe.letterbox,
        threshold=threshold,
        data=evidence.folder,
        fingerprint=evidence.fingerprint,
        photographs=evidence.photographs,
        origin={
            "recipe": recipe.title,
            "checkpoint": file.name,
            "checkpoint sha256": sha256(file),
            **({"checkpoint key": read.key} if read.key else {}),
        },
        note=f"weights of {file}: {read.choice}" if read.choice else None,
        kinds=kinds,
    )
