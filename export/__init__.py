"""Export of a training run, a checkpoint or an ONNX model to a bundle: graphs, parity, threshold, packing."""

import train  # noqa: F401  sets how torch's threads wait, before torch is loaded
