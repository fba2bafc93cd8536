"""Labelled photographs in a folder: one file per layout, masks, and a survey of what is usable."""
