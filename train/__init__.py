"""Photographs to a run: data, networks, recipes, training, report. PyTorch lives here and in `export` only."""

import os

# Before torch is loaded: its threads sleep while they wait. Beside other work a spinning one takes the core from the
# one it waits for: a single frame took 17 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
