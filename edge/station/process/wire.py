"""The bytes of the messages between the supervisor and its children.

The messages that come with every part are fixed records with one text of any length at their end. All others, and
those of these with a field that the record lacks, are pickled. Both sides are processes of one station, started from
one installation: the bytes are stored nowhere.
"""

import pickle
from collections.abc import Callable
from struct import Struct
from typing import Any

from edge.station.process.messages import Captured, GiveSlot, Infer, Inferred

MORE = b"\xff"
"""First byte of a packet after which the message goes on."""

_PICKLED, _GIVE_SLOT, _CAPTURED, _INFER, _INFERRED = range(5)
_NONE = -(2**63)

_GIVE = Struct("<Bqq")
_CAPTURE = Struct("<B8q2dB?")
_ORDER = Struct("<B5q3?")
_RESULT = Struct("<Bqd4q")

_TRUTHS = (None, "good", "bad")


def encode(message: tuple[Any, ...]) -> bytes:
    """The bytes of a message, not beginning with MORE."""
    pack = _PACKERS.get(type(message))
    packed = None if pack is None else pack(message)
    return b"\0" + pickle.dumps(message, pickle.HIGHEST_PROTOCOL) if packed is None else packed


def decode(data: memoryview) -> Any:
    """The message with these bytes, which are not used afterwards."""
    return _UNPACKERS[data[0]](data)


def _pack_give_slot(m: GiveSlot) -> bytes | None:
    return None if m.refusal is not None else _GIVE.pack(_GIVE_SLOT, m.slot, m.capacity) + m.memory.encode()


def _unpack_give_slot(data: memoryview) -> GiveSlot:
    _, slot, capacity = _GIVE.unpack_from(data)
    return GiveSlot(slot, str(data[_GIVE.size :], "utf-8"), capacity)


def _pack_captured(m: Captured) -> bytes | None:
    if m.fault is not None or m.mark is not None or m.truth not in _TRUTHS:
        return None
    slot = -1 if m.slot is None else m.slot
    captured_ns = _NONE if m.captured_ns is None else m.captured_ns
    seen = m.seen or (0.0, 0.0)
    numbers = slot, m.position, m.height, m.width, captured_ns, m.in_ring_ns, m.dropped, m.frames, *seen
    name = m.name.encode(errors="surrogatepass")
    return _CAPTURE.pack(_CAPTURED, *numbers, _TRUTHS.index(m.truth), m.seen is not None) + name


def _unpack_captured(data: memoryview) -> Captured:
    (_, slot, position, height, width, captured_ns, in_ring_ns, dropped, frames, bright, sharp, truth, is_seen) = (
        _CAPTURE.unpack_from(data)
    )
    return Captured(
        None if slot < 0 else slot,
        position,
        str(data[_CAPTURE.size :], "utf-8", "surrogatepass"),
        height,
        width,
        None if captured_ns == _NONE else captured_ns,
        in_ring_ns,
        None,
        _TRUTHS[truth],
        dropped,
        frames,
        None,
        (bright, sharp) if is_seen else None,
    )


def _pack_infer(m: Infer) -> bytes:
    flags = m.wants_map, m.keeps_map, m.is_part
    return _ORDER.pack(_INFER, m.seq, m.height, m.width, m.seat, m.frames, *flags) + m.memory.encode()


def _unpack_infer(data: memoryview) -> Infer:
    _, seq, height, width, seat, frames, *flags = _ORDER.unpack_from(data)
    return Infer(seq, str(data[_ORDER.size :], "utf-8"), height, width, seat, frames, *flags)


def _pack_inferred(m: Inferred) -> bytes | None:
    if any(field is not None for field in (m.fault, m.located, m.measured, m.summed, m.coarse, m.kind)):
        return None
    return _RESULT.pack(_INFERRED, m.seq, m.score, m.start_ns, m.end_ns, m.seat, m.worst)


def _unpack_inferred(data: memoryview) -> Inferred:
    _, seq, score, start_ns, end_ns, seat, worst = _RESULT.unpack_from(data)
    return Inferred(seq, score, None, start_ns, end_ns, None, seat, worst)


def _unpickle(data: memoryview) -> Any:
    return pickle.loads(data[1:])


_PACKERS: dict[type, Callable[[Any], bytes | None]] = {
    GiveSlot: _pack_give_slot,
    Captured: _pack_captured,
    Infer: _pack_infer,
    Inferred: _pack_inferred,
}

_UNPACKERS: dict[int, Callable[[memoryview], Any]] = {
    _PICKLED: _unpickle,
    _GIVE_SLOT: _unpack_give_slot,
    _CAPTURED: _unpack_captured,
    _INFER: _unpack_infer,
    _INFERRED: _unpack_inferred,
}
