"""OpenVINO Model API, with its own letterbox and normalisation inside the graph."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contestants import Infer, Setup

TITLE = "OpenVINO Model API"
REQUIRES = ("numpy==2.4.6", "openvino==2026.4.1", "openvino-model-api==0.4.7")


def load(setup: Setup) -> Infer:
    """A custom wrapper, an image model whose result is the score; float32."""
    import openvino as ov
    from model_api.adapters import OpenvinoAdapter
    from model_api.models import ImageModel

    class Inspector(ImageModel):  # type: ignore[misc]
        """Any image to its score."""

        __model__ = "Inspector"

        def postprocess(self, outputs: dict[str, Any], meta: dict[str, Any]) -> float:
            """The score."""
            return float(outputs["score"].ravel()[0])

    core = ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.xml"
        ov.save_model(core.read_model(setup.network), file, compress_to_fp16=False)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": setup.threads,
        }
        adapter = OpenvinoAdapter(core, str(file), device="CPU", plugin_config=settings, max_num_requests=1)
        configuration = {
            "input_frame_height": setup.shape[0],
            "input_frame_width": setup.shape[1],
            "resize_type": "fit_to_window_letterbox",
            "reverse_input_channels": True,
            "pad_value": setup.fill,
            "mean_values": [255 * value for value in setup.mean],
            "scale_values": [255 * value for value in setup.std],
        }
        model = Inspector(adapter, configuration, preload=True)
    return lambda frame: float(model(frame))
