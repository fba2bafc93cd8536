"""The axis of score histograms, chosen so that scores are best distinguishable."""

import numpy as np
import numpy.typing as npt

BINS = 36


def score_axis(span: tuple[float, float]) -> tuple[str, npt.NDArray[np.float64]]:
    """The best axis ("logit" for probabilities that crowd at 0 and 1, "log", "linear") and the edges of its bins."""
    low, high = span
    if low >= 0 and high <= 1 and (low < 0.02 or high > 0.98) and high > 0.5:
        edge = 1e-5
        low, high = np.clip([low, high], edge, 1 - edge)
        logits = np.linspace(np.log(low / (1 - low)) - 1e-3, np.log(high / (1 - high)) + 1e-3, BINS + 1)
        return "logit", 1 / (1 + np.exp(-logits))
    if low > 0 and high > 20 * low:
        return "log", np.geomspace(low * 0.999, high * 1.001, BINS + 1)
    margin = (high - low or 1.0) * 1e-3
    return "linear", np.linspace(low - margin, high + margin, BINS + 1)


def ticks(scale: str, low: float, high: float) -> list[float]:
    """At most five round numbers between the ends of a histogram."""
    if scale == "linear":
        unit = 10.0 ** np.floor(np.log10((high - low) / 4))
        step = next(unit * digit for digit in (1, 2, 5, 10) if unit * digit * 4 >= high - low)
        return [float(f"{tick * step:.6g}") for tick in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]
    if scale == "logit":
        plain = [1e-4, 0.01, 0.5, 0.99, 0.9999] if high - low > 0.9 else [1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]
    else:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        plain = [digit * 10.0**power for power in powers for digit in ((1, 2, 5) if high < 50 * low else (1,))]
    inside = [float(f"{tick:.6g}") for tick in plain if low <= tick <= high]
    return inside[:: -(-len(inside) // 5) or 1]
