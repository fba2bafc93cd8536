"""From a training run to a bundle: ONNX, OpenVINO, parity, threshold, packing."""
