"""The records of a station: a journal of verdicts, the images of parts, and the audit of both."""

GOODS_EVERY = 100
"""Default interval of kept goods: the image of one good in this many is kept."""

LARGEST_IMAGES = 50 * 2**30
"""Default limit of the kept images together, in bytes."""

LARGEST_JOURNAL = 10 * 2**30
"""Default limit of the journal in bytes: at 600 parts a minute the verdicts of more than 80 days."""
