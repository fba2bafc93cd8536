"""What the values of a ground-truth mask can mean; without numpy, so that commands that offer it start quickly."""

from enum import StrEnum


class MaskMeaning(StrEnum):
    """What in a mask is defect: every value but 0; above half of the range; or all that is not above half of it."""

    NONZERO = "nonzero"
    HALF = "half"
    INVERTED = "inverted"
