"""How fast a bundle is on this machine: bare inference, and the whole way to a verdict decoded in another process.

Every result is one `edge.bench.result.Result`, which `benchmark_run.find` returns and table, page and comparison show.
"""

import os
from typing import Any


def machine() -> dict[str, Any]:
    """Description of the machine, as recorded by other measurements."""
    from edge.bench.hardware import described

    about = described(None)
    return {
        "cpu": about.cpu,
        "cores": about.cores,
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": about.system,
        "python": about.python,
        **about.versions,
    }
