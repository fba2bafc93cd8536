"""OpenCV's letterbox on the host, then the network in ONNX Runtime: what most users write."""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed


def load(setup: Setup) -> Infer:
    """A session with default settings except the number of threads."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = setup.threads
    session = ort.InferenceSession(setup.network, options, providers=["CPUExecutionProvider"])
    return letterboxed(setup, lambda blob: float(session.run(["score"], {"image": blob})[0][0]))
