"""Python's garbage collector, kept out of the way of verdicts."""

import gc

YOUNG = 200
"""Objects that are worth a look; Python looks by itself at 700, whatever waits."""


def settle() -> None:
    """What is there now stays for good: the collector looks at it no more. A full look took 8 ms in a station's process
    and 26 ms in that of its model, at a moment that nobody chose.
    """
    gc.freeze()


def tidy() -> None:
    """Nothing waits: look at what was made since."""
    if gc.get_count()[0] > YOUNG:
        gc.collect(1)
