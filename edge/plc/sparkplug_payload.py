"""Payloads of Sparkplug B as protocol buffers, with the field numbers of the Eclipse Sparkplug 3.0 specification.

Only the fields that edge-plc writes and reads are described; protobuf passes over all others.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

LARGEST_COMMAND = 64 * 2**10
"""Bytes of a command that is read."""

Value = str | int | float | bool | None


class Type(IntEnum):
    """Data types of the metrics."""

    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


VALUE_FIELDS = {
    Type.INT64: "long_value",
    Type.DOUBLE: "double_value",
    Type.BOOLEAN: "boolean_value",
    Type.STRING: "string_value",
}
PAYLOAD = (("timestamp", 1, Field.TYPE_UINT64), ("metrics", 2, Field.TYPE_MESSAGE), ("seq", 3, Field.TYPE_UINT64))
METRIC = (
    ("name", 1, Field.TYPE_STRING),
    ("alias", 2, Field.TYPE_UINT64),
    ("timestamp", 3, Field.TYPE_UINT64),
    ("datatype", 4, Field.TYPE_UINT32),
    ("is_historical", 5, Field.TYPE_BOOL),
    ("is_null", 7, Field.TYPE_BOOL),
    ("int_value", 10, Field.TYPE_UINT32),
    ("long_value", 11, Field.TYPE_UINT64),
    ("float_value", 12, Field.TYPE_FLOAT),
    ("double_value", 13, Field.TYPE_DOUBLE),
    ("boolean_value", 14, Field.TYPE_BOOL),
    ("string_value", 15, Field.TYPE_STRING),
)


@dataclass(frozen=True)
class Metric:
    """A metric with its value, None for null, and the time of it in milliseconds since 1970, UTC."""

    name: str
    type: Type
    value: Value
    at_ms: int
    is_historical: bool = False


def _payload_class() -> Any:
    file = FileDescriptorProto(name="edge_sparkplug.proto", package="edge.sparkplug", syntax="proto2")
    payload, metric = file.message_type.add(name="Payload"), file.message_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for name, number, kind in METRIC:
        field = metric.field.add(name=name, number=number, type=kind, label=Field.LABEL_OPTIONAL)
        if name.endswith("_value"):
            field.oneof_index = 0
    for name, number, kind in PAYLOAD:
        label = Field.LABEL_REPEATED if name == "metrics" else Field.LABEL_OPTIONAL
        field = payload.field.add(name=name, number=number, type=kind, label=label)
        if name == "metrics":
            field.type_name = ".edge.sparkplug.Metric"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("edge.sparkplug.Payload"))


Payload = _payload_class()


def encode(metrics: list[Metric], at_ms: int, seq: int | None) -> bytes:
    """The payload of a message sent at `at_ms`; NDEATH has no `seq`.

    Each metric has its type, which DDATA can do without: there are clients that read each message by itself.
    """
    payload = Payload(timestamp=at_ms)
    if seq is not None:
        payload.seq = seq
    for metric in metrics:
        one = payload.metrics.add(name=metric.name, timestamp=metric.at_ms, datatype=metric.type)
        if metric.is_historical:
            one.is_historical = True
        if metric.value is None:
            one.is_null = True
        else:
            setattr(one, VALUE_FIELDS[metric.type], metric.value)
    return bytes(payload.SerializeToString())


def commands(content: bytes) -> dict[str, Value]:
    """The values of a command's metrics by name. Raises ValueError if it is no payload or longer than a command is."""
    if len(content) > LARGEST_COMMAND:
        raise ValueError(f"{len(content)} bytes, more than {LARGEST_COMMAND}")
    try:
        payload = Payload.FromString(content)
    except DecodeError as error:
        raise ValueError("no payload of Sparkplug B") from error
    return {one.name: _value(one) for one in payload.metrics}


def _value(metric: Any) -> Value:
    which = metric.WhichOneof("value")
    value: Value = None if which is None else getattr(metric, which)
    return value
