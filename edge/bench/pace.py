"""A line's pace on a command line: `--rate 600/min --jitter 20% --idle 5s/60s`."""

import re

from edge.bench.result import Pace
from edge.errors import EdgeError
from edge.rates import SECONDS, per_minute
from edge.sources.cadence import Rhythm

BACK_TO_BACK = Pace()


def parse_rate(text: str) -> float:
    """Parts per minute of "600/min", "10/s" or "36000/h". Raises EdgeError, also for a number without a unit."""
    try:
        return per_minute(text)
    except ValueError as error:
        raise EdgeError(f"rate {text!r}: {error}") from error


def parse_share(text: str) -> float:
    """A fraction 0 to 1 of "20%" or "0.2". Raises EdgeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", _bare(text))
    share = -1.0 if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 <= share <= 1:
        raise EdgeError(f"jitter {text!r}: say by which share of the interval a part may be off, as in 20%")
    return share


def parse_idle(text: str) -> tuple[float, float]:
    """(seconds of a pause, seconds of work between pauses) of "5s/60s" or "1min/1h". Raises EdgeError."""
    number = r"(\d+(?:\.\d+)?)(s|min|h)?"
    found = re.fullmatch(f"{number}/{number}", _bare(text))
    if found is None or not float(found[1]) or not float(found[3]):
        raise EdgeError(f"idle {text!r}: say how long the line pauses after how much work, as in 5s/60s")
    return float(found[1]) * SECONDS[found[2] or "s"], float(found[3]) * SECONDS[found[4] or "s"]


def rhythm(pace: Pace) -> Rhythm:
    """The arrival times of parts; the pace must have a rate."""
    assert pace.rate_per_min is not None
    return Rhythm(pace.rate_per_min / 60, pace.jitter, pace.idle_every_s, pace.idle_s)


def pace_in_words(pace: Pace) -> str:
    """The pace as text."""
    if pace.rate_per_min is None:
        return "back to back"
    words = [f"{pace.rate_per_min:,.4g}/min" if pace.rate_per_min < 1000 else f"{pace.rate_per_min:,.0f}/min"]
    if pace.jitter:
        words.append(f"±{pace.jitter:.0%}")
    if pace.idle_every_s is not None:
        words.append(f"idle {pace.idle_s:g} s every {pace.idle_every_s:g} s")
    if pace.keeps_warm:
        words.append("kept warm")
    return ", ".join(words)


def _bare(text: str) -> str:
    return text.lower().replace(" ", "").replace(",", "")
