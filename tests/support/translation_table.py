"""Exports in tests share PyTorch's table of ONNX translations. PyTorch builds it for each, which takes 0.7 s."""

import functools

from torch.onnx._internal.exporter import _registration


def share_translation_table() -> None:
    """Build the table once in this process. Nothing changes it: no export of this project translates in its own way."""
    if not hasattr(_registration.ONNXRegistry.from_torchlib, "cache_info"):
        shared = functools.cache(_registration.ONNXRegistry.from_torchlib)
        _registration.ONNXRegistry.from_torchlib = staticmethod(shared)  # type: ignore[assignment, method-assign]
