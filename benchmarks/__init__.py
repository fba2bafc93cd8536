"""Measurements side by side, each from one run of one command."""
