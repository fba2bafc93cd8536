"""How good scores are: metrics, intervals, thresholds, and why a threshold does not hold. Needs the extra `verify`."""
