"""Labelled photographs in a folder: one file a layout, masks, and a survey of what can be used."""
