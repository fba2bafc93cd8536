"""How a runtime computes: what may be varied to find the fastest, and what a station uses."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["f32", "bf16"]


@dataclass(frozen=True)
class Options:
    """`threads` in all, for `streams` inferences under way at once; `Backend.clone` gives the others.

    A station leaves all but `threads` as it is here. `precision` bf16 is for measuring: thresholds, margins and the
    tolerance of golden frames in a manifest were found in float32. `is_spinning` lets the runtime's threads wait for
    the next inference busily, which takes a core from capture.
    """

    threads: int
    precision: Precision = "f32"
    streams: int = 1
    is_spinning: bool = False

    @classmethod
    def of(cls, given: "Options | int") -> "Options":
        """A number is so many threads, and all else as a station has it."""
        return cls(given) if isinstance(given, int) else given
