"""The verdict on a run as text for a quality manager: every figure has its interval or its count."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge.evaluation.asked_rate import AskedRate, Kept
from edge.evaluation.intervals import clustered_rate
from edge.evaluation.metrics import Confusion, Rate
from edge.evaluation.threshold_stability import Promise, Sample, keep_promise
from edge.evaluation.thresholds import STRATEGIES, ChosenThreshold
from edge.text import counted
from train.data.leaks import LeakFindings
from train.report.differences import Difference
from train.report.parts import Ranking, ranking
from train.report.scored_photographs import read_inspected, sample
from train.run import Run

CRITERIA = {
    "val_loss": "validation loss",
    "train_loss": "training loss",
    "val_auroc": "validation AUROC",
    "val_ap": "validation average precision",
}


@dataclass(frozen=True)
class SplitVerdict:
    """The chosen threshold's results on one split; the `_by_part` intervals count each part once."""

    split: str
    confusion: Confusion
    recall_by_part: Rate
    specificity_by_part: Rate
    ranking: Ranking | None

    @property
    def tells_apart(self) -> bool | None:
        """Whether scores distinguish bad from good significantly better than guessing; None with one class."""
        return None if self.ranking is None else self.ranking.tells_apart


@dataclass(frozen=True)
class Verdict:
    """`headline` is one sentence, `tone` is "bad", "warn" or "plain", `sentences` answer further questions.

    `warning` says what may make the figures too good, if anything. `tells_apart` has an entry for each judged
    split. `kept` says whether test gave the rate that the threshold's strategy was asked for ("kept", "not kept",
    "cannot be told from so few"); None if it was asked for none or there are no such test photographs.
    """

    headline: str
    tone: str
    warning: str | None
    sentences: list[str]
    tells_apart: dict[str, bool | None]
    kept: str | None = None


def judge_split(split: str, sample: Sample, confusion: Confusion, threshold: float) -> SplitVerdict:
    """The verdict on one split at a threshold."""
    bad, good = sample.of_class(True), sample.of_class(False)
    return SplitVerdict(
        split,
        confusion,
        clustered_rate(bad.scores >= threshold, bad.parts),
        clustered_rate(good.scores < threshold, good.parts),
        ranking(sample),
    )


def verdict(
    run: Run,
    judged: dict[str, SplitVerdict],
    promise: Promise | None,
    found: Sequence[Difference],
    leaks: LeakFindings | None,
) -> Verdict:
    """The verdict as text: results first, then the network, the choices, whether they held, and why not.

    Photographs that are certainly the same in two splits are a warning, those that may be are one of the sentences.
    """
    headline, tone = _headline(judged, promise)
    if (began := run.record.provenance.get("weights", "")).startswith(f"{RANDOM}, not"):
        headline += f" The training began from {began}."
    warning = f"To be checked before these figures are relied on: {leaks.warning}." if leaks and leaks.warning else None
    sentences = [_what(run), _chosen_on(run), *said_of_asked(promise)]
    if promise is not None:
        sentences += _against_validation(promise)
    reason = next((one.sentence for one in found if one.is_after_choice), None)
    if promise is not None and reason and (_is_worse(promise) or _is_not_kept(promise)):
        sentences.append(f"A likely reason: {reason[0].lower()}{reason[1:]}")
    if leaks and leaks.remark:
        sentences.append(f"{leaks.remark}.")
    apart = {split: one.tells_apart for split, one in judged.items()}
    kept = str(promise.asked.kept) if promise is not None and promise.asked is not None else None
    return Verdict(headline, "bad" if warning else tone, warning, sentences, apart, kept)


def blindness(run: Run) -> str | None:
    """A one-line warning if validation does not show that the run distinguishes good from bad; else None.

    Also None with one class, where nothing can be distinguished. Raises RunError if scores.csv cannot be read.
    """
    ranked = ranking(sample(read_inspected(run)["val"]))
    if ranked is None or ranked.tells_apart:
        return None
    return (
        f"this model is not shown to tell good from bad: AUROC on val {ranked.auroc:.3f} [{ranked.low:.3f}, "
        f"{ranked.high:.3f}] from {ranked.bad} bad and {ranked.good} good parts, and guessing gives 0.5; see what it "
        "misses in the report, and train with more photographs or another recipe"
    )


def promise_on_test(run: Run) -> Promise | None:
    """The run's threshold on validation and on test; None without test photographs.

    Raises RunError if scores.csv cannot be read.
    """
    assert run.record.selection is not None
    inspected = read_inspected(run)
    if "test" not in inspected:
        return None
    return keep_promise(run.record.selection.threshold, sample(inspected["val"]), sample(inspected["test"]))


def percent(value: float | None) -> str:
    """A fraction from 0 to 1 in percent; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}\u00a0%"


def interval(rate: Rate) -> str:
    """The interval of a rate in percent."""
    return f"{100 * rate.low:.1f}–{100 * rate.high:.1f}\u00a0%"


def p_value(value: float | None) -> str:
    """A p-value as text in a sentence, with non-breaking spaces."""
    if value is None:
        return "–"
    return "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0=\u00a0{value:.{3 if value < 0.1 else 2}f}"


def aim(threshold: ChosenThreshold) -> str:
    """The aim of a strategy, with the values of its parameters filled in."""
    about = STRATEGIES[threshold.strategy].about
    for name, value in threshold.parameters.items():
        about = re.sub(rf"\b{name}\b", f"{value:g}", about)
    return about.replace(">=", "≥").replace("≥ ", "≥\u00a0").replace("*", "×")


HALF = 0.5
"""A recall that is surely below this is called out: most bad parts pass."""

RANDOM = "random initialisation"
"""How the record of a run names weights that nobody trained before."""


def _headline(judged: dict[str, SplitVerdict], promise: Promise | None) -> tuple[str, str]:
    test = judged.get("test")
    if test is None:
        return (
            "Not judged yet: there are no test photographs, and figures on validation, where all was chosen, tend to "
            "be too good.",
            "warn",
        )
    counts = test.confusion
    said = []
    if counts.recall.trials:
        said.append(f"stops {counts.tp} of {counts.recall.trials} bad photographs")
    if counts.specificity.trials:
        said.append(f"passes {counts.tn} of {counts.specificity.trials} good ones")
    outcome = " and ".join(said)
    if test.tells_apart is False:
        return (
            f"Not shown to tell good from bad: on test it {outcome}, no better than guessing as far as these "
            "photographs show.",
            "bad",
        )
    if promise is not None:
        return _judged(outcome, promise, test)
    return f"On test it {outcome}.", "warn" if counts.fn else "plain"


def _judged(outcome: str, promise: Promise, test: SplitVerdict) -> tuple[str, str]:
    """The headline and its tone where scores tell good from bad: the gravest of what there is to say."""
    asked = promise.asked
    if promise.beats_chance is False:
        return (
            f"No better than chance at this threshold, as far as these photographs show: on test it {outcome}.",
            "bad",
        )
    if asked is not None and asked.kept is Kept.NOT_KEPT:
        return f"Not kept: {asked_for(asked)} was asked, and on test it {outcome}.", "bad"
    if test.recall_by_part.trials and test.recall_by_part.high < HALF:
        return f"It misses most bad parts: on test it {outcome}.", "bad"
    if _is_worse(promise):
        return f"Worse than on validation: on test it {outcome}.", "bad" if asked is None else "warn"
    is_open = asked is not None and asked.kept is Kept.UNDECIDED
    return f"On test it {outcome}.", "warn" if test.confusion.fn or is_open else "plain"


def _is_worse(promise: Promise) -> bool:
    """Whether recall or specificity is lower on test than chance explains."""
    return promise.recall_is_worse or promise.specificity_is_worse


def _is_not_kept(promise: Promise) -> bool:
    return promise.asked is not None and promise.asked.kept is Kept.NOT_KEPT


def _what(run: Run) -> str:
    record = run.record
    counts = record.data.photographs["train"]
    alone = run.network.learns_from == "good"
    learnt = (
        f"{counted(counts['good'], 'photograph')} of good parts alone"
        if alone
        else f"{counted(counts['good'], 'photograph')} of good and {counts['bad']} of bad parts{_outlined(run)}"
    )
    return (
        f"The network is {record.recipe.model.name}, made by the recipe {record.recipe_name} "
        f"({record.parameters:,} weights). It learnt from {learnt}."
    )


def _outlined(run: Run) -> str:
    """How many of the bad training photographs had a mask from which the network learnt."""
    survey, bad = run.record.data.survey, run.record.data.photographs["train"]["bad"]
    masks = bad if survey is None else survey.splits["train"].masks
    if run.network.learns_from != "masks" or not masks:
        return ""
    return " with their defects outlined" if masks == bad else f", {masks} of these with their defects outlined"


CALIBRATED = "what its score is made of, so that figures on validation tend to be too good, "


def _chosen_on(run: Run) -> str:
    selection = run.record.selection
    assert selection is not None
    threshold = selection.threshold
    return (
        f"Everything was chosen on the validation photographs alone: epoch {selection.epoch + 1} of "
        f"{run.recipe.train.epochs} for its {selection.best} {CRITERIA.get(selection.criterion, selection.criterion)}, "
        f"{CALIBRATED if run.network.calibrated else ''}and the threshold {threshold.value:.5g} for {aim(threshold)}."
    )


def asked_for(asked: AskedRate) -> str:
    """The rate that was asked for, as in "a recall of at least 95.0 %"."""
    least = "least" if asked.is_at_least else "most"
    certain = f" with {percent(asked.confidence)} confidence" if asked.confidence else ""
    return f"a {asked.name} of at {least} {percent(asked.bound)}{certain}"


def given(asked: AskedRate) -> str:
    """What test gave of a rate that was asked for, and whether that is what was asked, as the end of a sentence."""
    told = f"{percent(asked.given.value)} (95\u00a0% interval {interval(asked.given)}): {asked.kept}"
    count = asked.parts_to_tell
    if asked.kept is Kept.UNDECIDED and count is not None and count > asked.given.trials:
        return f"{told}; if that is the rate, about {count:,} parts would tell"
    return told


def said_of_asked(promise: Promise | None) -> list[str]:
    """Whether test gave what was asked, and whether that is better than chance, in sentences."""
    sentences: list[str] = []
    if promise is None:
        return sentences
    if promise.asked is not None:
        sentences.append(f"Asked was {asked_for(promise.asked)}. Test gave {given(promise.asked)}.")
    if promise.beats_chance is False:
        sentences.append(
            f"The threshold rejects {percent(promise.given.recall.value)} of the bad photographs and "
            f"{percent(1 - (promise.given.specificity.value or 0))} of the good ones, a difference that chance "
            f"explains ({p_value(promise.chance_p_value)}): rejecting as many parts at random would stop about as many "
            "bad ones."
        )
    return sentences


def _against_validation(promise: Promise) -> list[str]:
    """How test differs from validation, in sentences."""
    sentences = []
    for name, held, is_worse, value in (
        ("Recall", promise.recall_held, promise.recall_is_worse, promise.recall_p_value),
        ("Specificity", promise.specificity_held, promise.specificity_is_worse, promise.specificity_p_value),
    ):
        if held is None:
            continue
        before, after = (getattr(side, name.lower()) for side in (promise.promised, promise.given))
        outcome = (
            "a difference that chance explains" if held else f"{'worse' if is_worse else 'better'} than chance explains"
        )
        sentences.append(
            f"{name} was {percent(before.value)} on validation (95\u00a0% interval {interval(before)}) and is "
            f"{percent(after.value)} on test ({interval(after)}): {outcome}, {p_value(value)}."
        )
    return sentences
