"""The words for a line's pace on a command line: `--rate 600/min --jitter 20% --idle 5s/60s`."""

import re

from edge.bench.result import Pace
from edge.errors import EdgeError
from edge.sources.cadence import Rhythm

BACK_TO_BACK = Pace()

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def parse_rate(text: str) -> float:
    """Parts a minute of "600/min", "10/s" or "36000/h". Raises EdgeError, also where a number does not say per what."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|min|h)", _bare(text))
    if found is None or not float(found[1]):
        raise EdgeError(f"rate {text!r}: say how many parts come, as in 600/min or 10/s")
    return float(found[1]) * 60 / _SECONDS[found[2]]


def parse_share(text: str) -> float:
    """0 to 1 of "20%" or "0.2". Raises EdgeError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", _bare(text))
    share = -1.0 if found is None else float(found[1]) / (100 if found[2] else 1)
    if not 0 <= share <= 1:
        raise EdgeError(f"jitter {text!r}: say by which share of the interval a part may be off, as in 20%")
    return share


def parse_idle(text: str) -> tuple[float, float]:
    """Seconds of a pause, and of work between two, of "5s/60s" or "1min/1h". Raises EdgeError."""
    number = r"(\d+(?:\.\d+)?)(s|min|h)?"
    found = re.fullmatch(f"{number}/{number}", _bare(text))
    if found is None or not float(found[1]) or not float(found[3]):
        raise EdgeError(f"idle {text!r}: say how long the line pauses after how much work, as in 5s/60s")
    return float(found[1]) * _SECONDS[found[2] or "s"], float(found[3]) * _SECONDS[found[4] or "s"]


def rhythm(pace: Pace) -> Rhythm:
    """The moments at which parts come; of a pace with a rate."""
    assert pace.rate_per_min is not None
    return Rhythm(pace.rate_per_min / 60, pace.jitter, pace.idle_every_s, pace.idle_s)


def said(pace: Pace) -> str:
    """The pace in words."""
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
