"""Labelled photographs in a folder: one file per layout in `layouts`, masks, and a survey of what is usable."""
