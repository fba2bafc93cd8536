"""Training: photographs become a run. Data, networks, recipes, report. Only this package and `export` use PyTorch."""

import os

# Set before torch is imported: its idle threads sleep. A spinning thread takes the core from the thread it waits for if
# other work runs: a single frame then took 17 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
