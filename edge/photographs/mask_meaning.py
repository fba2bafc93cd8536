"""Possible meanings of the values of a ground-truth mask; without numpy, so that commands start quickly."""

from enum import StrEnum


class MaskMeaning(StrEnum):
    """Which values of a mask are a defect: all but 0; those above half of the range; those not above half of it."""

    NONZERO = "nonzero"
    HALF = "half"
    INVERTED = "inverted"
