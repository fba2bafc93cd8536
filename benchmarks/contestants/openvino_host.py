"""OpenCV's letterbox on the host, then the network in OpenVINO, float32: what a careful user writes."""

from benchmarks.contestants import Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed


def load(setup: Setup) -> Infer:
    """Compile for latency."""
    import openvino as ov

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": setup.threads,
    }
    compiled = ov.Core().compile_model(setup.network, "CPU", settings)
    request, score = compiled.create_infer_request(), compiled.output("score")

    def infer(blob: object) -> float:
        request.infer([blob], share_inputs=True)
        return float(request.get_tensor(score).data[0])

    return letterboxed(setup, infer)
