"""Verification of a bundle on this machine, per artifact: on its golden frames, and on labelled photographs.

checks.py      hashes and golden frames; needs nothing beyond the runtime
scoring.py     scores of labelled photographs by every artifact
findings.py    the evaluation: metrics, kinds of defects, misses, flips; needs the extra `verify`
page.py        everything as one HTML page, with pictures
"""
