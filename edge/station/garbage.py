"""Python's garbage collector, kept out of the way of a verdict: it runs while nothing waits."""

import gc

MOST_PENDING = 50_000
"""Objects made and not yet looked at; beyond these the collector runs whatever waits."""


class Garbage:
    """Turns the automatic collector off; `idle` and `busy` are called instead where the loop has a moment or none."""

    def __init__(self) -> None:
        """What is there now stays for good, and is not looked at again."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def idle(self) -> None:
        """Nothing waits: collect what is young."""
        if gc.get_count()[0] > gc.get_threshold()[0]:
            gc.collect(1 if gc.get_count()[1] <= gc.get_threshold()[1] else 2)

    def busy(self) -> None:
        """Something waits: collect only if it must be."""
        if gc.get_count()[0] > MOST_PENDING:
            gc.collect(0)
