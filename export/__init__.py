"""From a training run, a checkpoint or an ONNX model to a bundle: ONNX, OpenVINO, parity, threshold, packing."""
