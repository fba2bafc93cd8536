"""Apache TVM, its default schedule, untuned: tuning takes hours."""

import os

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "Apache TVM (untuned)"
REQUIRES = (*HOST, "apache-tvm==0.27.0.post1", "onnx==1.23.2")


def load(setup: Setup) -> Infer:
    """Import, compile for this processor, run in TVM's virtual machine."""
    os.environ["TVM_NUM_THREADS"] = str(setup.threads)
    import onnx
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(onnx.load(setup.network), keep_params_in_input=False)
    target = tvm.target.Target({"kind": "llvm", "mcpu": tvm.target.codegen.llvm_get_system_cpu()})
    machine = relax.VirtualMachine(tvm.compile(module, target), tvm.cpu())

    def infer(blob: object) -> float:
        result = machine["main"](tvm.runtime.tensor(blob))
        first = result if hasattr(result, "numpy") else result[0]
        return float(first.numpy().ravel()[0])

    return letterboxed(setup, infer)
