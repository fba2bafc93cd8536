"""IREE, compiled for this processor."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "IREE"
REQUIRES = (*HOST, "iree-base-compiler[onnx]==3.13.0", "iree-base-runtime==3.13.0")


def load(setup: Setup) -> Infer:
    """Import, compile, and run on as many workers as there are threads."""
    import numpy as np
    from iree import runtime

    programs = Path(sys.executable).parent
    runtime.flags.parse_flags(f"--task_topology_group_count={setup.threads}")
    with tempfile.TemporaryDirectory() as folder:
        imported, compiled = Path(folder) / "network.mlir", Path(folder) / "network.vmfb"
        subprocess.run([programs / "iree-import-onnx", setup.network, "-o", imported], check=True, stdout=2)
        target = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
        target += ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3"]
        subprocess.run([programs / "iree-compile", imported, *target, "-o", compiled], check=True, stdout=2)
        module = runtime.load_vm_flatbuffer_file(str(compiled), driver="local-task")
    names = module.vm_module.function_names
    function = module[next(name for name in names if not name.startswith("__") and not name.endswith("$async"))]

    def infer(blob: object) -> float:
        result = function(blob)
        first = result[0] if isinstance(result, list | tuple) else result
        return float(np.asarray(first.to_host()).ravel()[0])

    return letterboxed(setup, infer)
