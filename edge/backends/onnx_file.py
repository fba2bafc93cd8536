"""The outside of an ONNX file, read before a runtime is given it: that it is one, and whole in itself.

A file may keep its weights in others, by names of the writer's choice. A bundle knows files by their hashes, so a graph
that would make a runtime open a file is refused. Only the fields of onnx.proto on the way to tensors are followed.
"""

from typing import TypeAlias

MOST_FIELDS = 1_000_000
"""Fields that are looked at, a second or so; the graph of the demonstration bundle has 7,000."""

MOST_DEPTH = 100
"""Messages within messages: protobuf's own limit."""

_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1

_Followed: TypeAlias = "dict[int, str]"
"""Kind of message by number of field."""

_KINDS: dict[str, _Followed] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}


class OnnxError(Exception):
    """Why a file is no ONNX graph that a bundle may hold, in a few words."""


def check_onnx(content: bytes) -> None:
    """Raise OnnxError if it is no ONNX file, or has tensors that lie in other files."""
    left, has_graph = MOST_FIELDS, False
    inner = [(0, len(content), "model", 0)]
    while inner:
        at, end, kind, depth = inner.pop()
        followed = _KINDS[kind]
        while at < end:
            number, wire, value, at = _field(content, at, end)
            left -= 1
            if not left:
                raise OnnxError(f"more than {MOST_FIELDS} fields")
            if kind == "tensor" and (number == _EXTERNAL_DATA or (number, value) == (_DATA_LOCATION, _EXTERNAL)):
                raise OnnxError("its weights lie in another file, which no bundle may have")
            if wire == _BYTES and number in followed:
                has_graph |= kind == "model" and number == 7
                if depth == MOST_DEPTH:
                    raise OnnxError(f"messages within messages, more than {MOST_DEPTH}")
                inner.append((at - value, at, followed[number], depth + 1))
    if not has_graph:
        raise OnnxError("no ONNX graph")


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _field(content: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Number of a field, its wire type, its value or its length in bytes, and where it ends."""
    tag, at = _varint(content, at, end)
    wire = tag & 7
    if wire == _VARINT:
        value, at = _varint(content, at, end)
    elif wire == _BYTES:
        value, at = _varint(content, at, end)
        at += value
    elif wire in (_FIXED64, _FIXED32):
        value = 8 if wire == _FIXED64 else 4
        at += value
    else:
        raise OnnxError("no ONNX graph")
    if at > end or not tag >> 3:
        raise OnnxError("no ONNX graph, or cut short")
    return tag >> 3, wire, value, at


def _varint(content: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = content[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
    raise OnnxError("no ONNX graph, or cut short")
