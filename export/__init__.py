"""From a training run, a checkpoint or an ONNX model to a bundle: ONNX, OpenVINO, parity, threshold, packing."""

import train  # noqa: F401  sets how torch's threads wait, before torch is loaded
