"""Runtimes that users install instead, one file each: TITLE, REQUIRES (for pip, into a Python of its own), `load`."""
