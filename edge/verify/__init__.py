"""What a bundle does on this machine, artifact by artifact: against its golden frames, and on labelled photographs.

checks.py      hashes and golden frames; needs nothing beyond the runtime
looking.py     labelled photographs through every artifact
findings.py    what that says: figures, kinds of defects, misses, flips; needs the extra `verify`
page.py        all of it as one HTML page, with pictures
"""
