"""ONNX Runtime with OpenVINO's execution provider, as Intel builds it."""

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "ONNX Runtime, OpenVINO provider"
REQUIRES = (*HOST, "onnxruntime-openvino==1.24.1")


def load(setup: Setup) -> Infer:
    """On the CPU, float32; raises RuntimeError instead of a silent fallback to ONNX Runtime's own provider."""
    import onnxruntime as ort

    about = {"device_type": "CPU", "num_of_threads": str(setup.threads), "precision": "FP32"}
    providers = [("OpenVINOExecutionProvider", about)]
    session = ort.InferenceSession(setup.network, providers=providers)
    if "OpenVINOExecutionProvider" not in session.get_providers():
        raise RuntimeError("OpenVINO's execution provider does not load")
    return letterboxed(setup, lambda blob: float(session.run(["score"], {"image": blob})[0].ravel()[0]))
