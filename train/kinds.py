"""The kinds of defects that a network learns to tell apart, after its training, and how well it does.

The network is not changed: a logistic regression on its features of bad training photographs fills its `KindHead`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Rate
from edge.letterbox.contract import LetterboxContract
from edge.photographs.photograph import known_parts
from edge.terminal.progress import SILENT, Advance, Stage
from edge.text import counted
from edge.verdict import MOST_KINDS, KindName
from train.data.photographs import Photograph
from train.data.rendered import Rendered, in_order
from train.models import Network

FEWEST_PARTS = 5
"""Fewest training parts of a kind. Rarer kinds are learnt as one, OTHER, if they are so many together."""

OTHER = "other"

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 1.0)
"""Inverse strengths of regularisation that are tried, on standardised features."""

USUAL_STRENGTH = 0.01
"""The one that is taken with fewer than FEWEST_TRIED validation photographs."""

FEWEST_TRIED = 10

LEAST_SPREAD = 0.01
"""Spread added to each feature, of the mean spread: keeps one that is the same in all photographs finite."""

BATCH = 8

NAME: TypeAdapter[str] = TypeAdapter(KindName)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """The `kinds` to learn, in order. `known` has the kind of each defect that the photographs name; `grouped` are
    those that are learnt as OTHER, `left_out` those that are not learnt.
    """

    kinds: tuple[str, ...]
    known: dict[str, str]
    grouped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def of(self, photographs: Sequence[Photograph]) -> list[Photograph]:
        """The bad photographs whose kind is one of these."""
        return [one for one in photographs if one.is_bad and one.defect in self.known]

    def numbers(self, photographs: Sequence[Photograph]) -> list[int]:
        """The place of each photograph's kind."""
        return [self.kinds.index(self.known[one.defect or ""]) for one in photographs]


class KindFigures(BaseModel):
    """How often bad photographs of known kinds are given the right one; `accuracy` has an interval by part.

    `table` has for each true kind how often each kind was named, both in the order of the kinds. `unknown` counts the
    bad photographs whose kind was not learnt.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: Rate
    table: tuple[tuple[int, ...], ...]
    unknown: int


class KindRecord(BaseModel):
    """The kinds that were learnt, in order, from how many photographs each, and what became of the others."""

    model_config = ConfigDict(frozen=True)

    learnt: dict[str, int]
    grouped: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    judged: dict[str, KindFigures] = {}

    @property
    def said(self) -> str:
        """One line about what was learnt."""
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.learnt.items())
        rare = f"; {OTHER}: {', '.join(self.grouped)}" if self.grouped else ""
        out = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return f"kinds of defects: {kinds}{rare}{out}"


def choose_kinds(train: Sequence[Photograph]) -> Choice | None:
    """The kinds that bad training photographs name; None with fewer than two.

    A kind needs FEWEST_PARTS parts and a name that a bundle can carry, see `edge.verdict.KindName`.
    """
    parts: dict[str, set[str]] = defaultdict(set)
    for one in train:
        if one.is_bad and one.defect:
            parts[one.defect].add(one.details.get("part") or one.name)
    named = sorted((kind for kind in parts if _is_name(kind)), key=lambda kind: (-len(parts[kind]), kind))
    own = [kind for kind in named if len(parts[kind]) >= FEWEST_PARTS and kind != OTHER]
    own = own[: MOST_KINDS - 1]  # and OTHER
    rare = sorted(set(parts) - set(own))
    has_other = sum(len(parts[kind]) for kind in rare) >= FEWEST_PARTS
    kinds = (*sorted(own), *([OTHER] if has_other else []))
    if len(kinds) < 2:
        return None
    known = {kind: kind for kind in own} | (dict.fromkeys(rare, OTHER) if has_other else {})
    grouped = tuple(kind for kind in rare if kind != OTHER) if has_other else ()
    return Choice(kinds, known, grouped, () if has_other else tuple(rare))


def learn_kinds(
    network: Network, contract: LetterboxContract, splits: dict[str, list[Photograph]], stage: Stage = SILENT.begin
) -> KindRecord | None:
    """Let the network tell the kinds apart that its bad training photographs name, and judge that on val and test.

    None if it cannot tell kinds apart, or if there are fewer than two: then it tells none. The strength of the
    regularisation, and with it the certainty, is the one with the lowest cross-entropy on the validation photographs.
    """
    head = network.tells_kinds
    if head is None:
        return None
    head.learn((), torch.zeros(0), torch.zeros(0))  # those of the weights that it began with
    choice = choose_kinds(splits["train"])
    if choice is None:
        return None
    chosen = {split: choice.of(photographs) for split, photographs in splits.items()}
    tick = stage("features of the kinds of defects", sum(map(len, chosen.values())))
    features = {split: _features(network, contract, photographs, tick) for split, photographs in chosen.items()}
    numbers = {split: choice.numbers(photographs) for split, photographs in chosen.items()}
    weight, bias = _fitted(features, numbers, len(choice.kinds))
    head.learn(choice.kinds, torch.from_numpy(weight), torch.from_numpy(bias))
    counts = Counter(numbers["train"])
    return KindRecord(
        learnt={kind: counts[number] for number, kind in enumerate(choice.kinds)},
        grouped=choice.grouped,
        left_out=choice.left_out,
        judged={
            split: _judged(choice, chosen[split], numbers[split], features[split] @ weight.T + bias, photographs)
            for split, photographs in splits.items()
            if split != "train" and chosen[split]
        },
    )


def _is_name(kind: str) -> bool:
    try:
        NAME.validate_python(kind)
    except ValidationError:
        return False
    return True


@torch.inference_mode()
def _features(
    network: Network, contract: LetterboxContract, photographs: Sequence[Photograph], tick: Advance
) -> Floats:
    """The features of photographs, float64 [N, F]."""
    network.eval()
    found = []
    for batch in in_order(Rendered(photographs, contract, exact=True), BATCH):
        _, _, features = network.judged(batch.image, batch.mask)
        assert features is not None, "the network has a head for kinds"
        found.append(features.double().numpy())
        for _ in range(len(features)):
            tick()
    return np.concatenate(found) if found else np.zeros((0, 0))


def _fitted(features: dict[str, Floats], numbers: dict[str, list[int]], kinds: int) -> tuple[Floats, Floats]:
    """Weights [kinds, F] and bias [kinds] of a multinomial logistic regression."""
    train, known = features["train"], numbers["train"]
    usual, spread = train.mean(axis=0), train.std(axis=0)
    spread = spread + LEAST_SPREAD * spread.mean() + 1e-9
    val, truth = features.get("val", np.zeros((0, 0))), numbers.get("val", [])
    tried = STRENGTHS if len(truth) >= FEWEST_TRIED else (USUAL_STRENGTH,)
    fits = [LogisticRegression(C=strength, max_iter=2000).fit((train - usual) / spread, known) for strength in tried]
    if len(fits) > 1:
        shown = (val - usual) / spread
        losses = [log_loss(truth, fit.predict_proba(shown), labels=range(kinds)) for fit in fits]
        fits = [fits[int(np.argmin(losses))]]
    weight, bias = fits[0].coef_ / spread, fits[0].intercept_
    if kinds == 2:  # scikit-learn gives the second one's alone
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return weight, bias - weight @ usual


def _judged(
    choice: Choice,
    photographs: Sequence[Photograph],
    truth: Sequence[int],
    logits: Floats,
    everything: Sequence[Photograph],
) -> KindFigures:
    said = logits.argmax(axis=1)
    table = np.zeros((len(choice.kinds), len(choice.kinds)), int)
    np.add.at(table, (np.array(truth), said), 1)
    return KindFigures(
        accuracy=clustered_rate(said == np.array(truth), known_parts(photographs)),
        table=tuple(tuple(map(int, row)) for row in table),
        unknown=sum(one.is_bad for one in everything) - len(photographs),
    )


def lines_on(record: KindRecord) -> list[str]:
    """What a console says of the judged kinds: how many were named rightly, and the commonest confusion."""
    lines, names = [], list(record.learnt)
    for split, found in record.judged.items():
        wrong = [(n, t, s) for t, row in enumerate(found.table) for s, n in enumerate(row) if t != s and n]
        most = max(wrong, default=None, key=lambda one: one[0])
        worst = f", most often {names[most[1]]} called {names[most[2]]} ({most[0]})" if most else ""
        unknown = f", {counted(found.unknown, 'photograph')} of other kinds" if found.unknown else ""
        lines.append(f"{split:5} kind named rightly {found.accuracy}{worst}{unknown}")
    return lines
