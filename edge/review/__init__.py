"""Review: what people say of recorded parts, what follows for the figures of a line, and the way back to training."""

from edge.review.decisions import Choice, Decision, Judged, Kind, ReviewError, Standing, Way
from edge.review.record import Undecided
from edge.review.reviews import Progress, Reviews

__all__ = [
    "Choice", "Decision", "Judged", "Kind", "Progress", "ReviewError", "Reviews", "Standing", "Undecided", "Way",
]  # fmt: skip
