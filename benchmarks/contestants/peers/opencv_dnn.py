"""OpenCV's own runtime."""

from benchmarks.contestants import HOST, Infer, Setup
from benchmarks.contestants.letterboxed import letterboxed

TITLE = "OpenCV DNN"
REQUIRES = HOST


def load(setup: Setup) -> Infer:
    """The network as read by `readNetFromONNX`, with default settings."""
    import cv2

    network = cv2.dnn.readNetFromONNX(setup.network)

    def infer(blob: object) -> float:
        network.setInput(blob, "image")  # type: ignore[call-overload]
        return float(network.forward("score").ravel()[0])

    return letterboxed(setup, infer)
