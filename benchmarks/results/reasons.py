"""Why a threshold from validation gives other rates on test: what differs between the two, as the report finds it."""

from benchmarks.results.beside import Measurement
from edge.evaluation.distribution_shift import Shift
from train.report.differences import compare_splits
from train.report.scored_photographs import read_inspected
from train.run import Run

WHAT = "reasons"


class Difference(Measurement):
    """A significant difference between validation and test, as a sentence and with its numbers."""

    sentence: str
    shift: Shift

    @property
    def is_of_scores(self) -> bool:
        """Whether it is one of the scores of good photographs; otherwise it is one of the pictures, or of bad ones."""
        return self.shift.name.endswith("|good|score")

    @property
    def is_of_pictures(self) -> bool:
        """Whether it is one of the pictures of good parts."""
        return "|good|" in self.shift.name and not self.is_of_scores


class Reasons(Measurement):
    """The significant ones among `made` comparisons of validation and test, the strongest first."""

    made: int
    found: tuple[Difference, ...]


def measure_reasons(run: Run) -> Reasons:
    """Compare scores and pictures of validation and test. Raises RunError or DataError."""
    inspected = {split: members for split, members in read_inspected(run).items() if split != "train"}
    compared = compare_splits(inspected)
    found = tuple(Difference(sentence=one.sentence, shift=one.shift) for one in compared.found)
    return Reasons(made=compared.made, found=found)


def because(reasons: Reasons) -> str:
    """One sentence on why a threshold did not hold: scores, and the strongest difference of the pictures."""
    scores = next((one.sentence for one in reasons.found if one.is_of_scores), None)
    picture = next((one.sentence for one in reasons.found if one.is_of_pictures), None)
    if scores is None:
        return (
            f"The scores of good photographs do not differ significantly between validation and test. {picture or ''}"
        )
    if picture is None:
        return f"{scores} No property of the pictures that was compared differs significantly."
    return f"{scores} A likely reason is that {picture[0].lower()}{picture[1:]}"
