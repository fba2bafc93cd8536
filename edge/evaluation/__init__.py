"""Evaluation of scores: metrics, intervals, thresholds, stability, distribution shift. Needs the extra `verify`."""
