"""Judges recorded frames again with one or several bundles, on all cores or on a Ray cluster."""
