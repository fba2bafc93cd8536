"""ONNX Runtime on the CPU."""

import numpy as np

from edge.backends.base import Fixed, Graph, Output, Runtime
from edge.backends.options import Options
from edge.frame import Frame


class OnnxRuntime:
    """One session; unless told otherwise its threads sleep between frames, so that capture has its core."""

    name = "onnxruntime"

    def __init__(self, graph: Graph, how: Options, fixed: Fixed | None) -> None:
        """Load the graph; a static shape lets the session fold the letterbox's matrices into constants.

        The thread that calls computes too; those of all streams share the session's others.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = how.threads - how.streams + 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised, and said once
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(how.is_spinning)))
        if fixed is not None:
            for axis, pixels in zip(("height", "width"), fixed.shape, strict=True):
                options.add_free_dimension_override_by_name(axis, pixels)
        options.add_session_config_entry("session.load_model_format", "ONNX")  # and not what the bytes look like
        self._session = ort.InferenceSession(
            graph.content, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )  # a fallback would print, and try the same once more
        self._session._model_bytes = None  # for another provider, which is never asked for: it would keep the file
        self._outputs = [o.name for o in self._session.get_outputs()]
        if "score" not in self._outputs or [i.name for i in self._session.get_inputs()] != ["frame"]:
            raise ValueError("it does not go from an input called frame to an output called score")

    def clone(self) -> "OnnxRuntime":
        """Itself: a session may be run by several threads at once, and keeps nothing of a run."""
        return self

    def infer(self, frame: Frame) -> Output:
        """See `Backend.infer`."""
        values = dict(zip(self._outputs, self._session.run(self._outputs, {"frame": frame[np.newaxis]}), strict=True))
        where, kinds = values.get("map"), values.get("kind")
        return Output(
            float(values["score"][0]),
            None if where is None else where.reshape(where.shape[-2:]),
            None if kinds is None else kinds.reshape(-1),
        )


class _Runtime(Runtime):
    """See `Runtime`."""

    name = OnnxRuntime.name
    can_spin = True

    def load(self, graph: Graph, options: Options, fixed: Fixed | None) -> OnnxRuntime:
        """See `Runtime.load`."""
        return OnnxRuntime(graph, options, fixed)


RUNTIME = _Runtime()
