"""The ONNX artifact: one graph with letterbox and network."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from onnx import compose, helper, version_converter

from edge.letterbox.contract import LetterboxContract
from export.float16 import store_half
from export.letterbox_graph import IR_VERSION, OPSET, letterbox_model
from export.onnx_model import OnnxNetwork


def write_onnx(network: torch.nn.Module, contract: LetterboxContract, path: Path, metadata: dict[str, str]) -> None:
    """Write the ONNX artifact: `frame` uint8 of any size, as for `letterbox_model` → `score` float32 [1] and, if the
    network has them, `map` float32 [1, h, w] and `kind` float32 [kinds].

    `network` takes (image [1,C,S,S], mask [1,1,S,S]) and returns (score [1], map [1,h,w] or None), or as WithKinds; an
    OnnxNetwork has its own graph. Constants that float16 represents exactly, as in a network from
    `export.float16.halved`, are stored as float16.
    """
    inner = (
        network.graph if isinstance(network, OnnxNetwork) else network_model(network, contract.channels, contract.side)
    )
    model = compose.merge_models(
        _alike(letterbox_model(contract), inner),
        inner,
        io_map=[(value.name, value.name) for value in inner.graph.input],
        outputs=[value.name for value in inner.graph.output],
    )
    helper.set_model_props(model, metadata)
    model.graph.name = "edge-inspect"
    store_half(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _alike(letterbox: onnx.ModelProto, inner: onnx.ModelProto) -> onnx.ModelProto:
    """The letterbox model, raised to the opset and IR version of a newer network: only equal versions can be merged."""
    opset = max(entry.version for entry in inner.opset_import if entry.domain in ("", "ai.onnx"))
    if opset != OPSET:
        letterbox = version_converter.convert_version(letterbox, opset)
    letterbox.ir_version = inner.ir_version
    return letterbox


def network_model(network: torch.nn.Module, channels: int, side: int) -> onnx.ModelProto:
    """The network without letterbox as ONNX, all shapes static: inputs `image` and `mask`, outputs `score` and, if the
    network has them, `map` and `kind`.
    """
    inputs = (torch.zeros(1, channels, side, side), torch.ones(1, 1, side, side))
    with torch.no_grad():
        given = network(*inputs)
    outputs = [name for name, value in zip(("score", "map", "kind"), given, strict=False) if value is not None]
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            inputs,
            input_names=["image", "mask"],
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
