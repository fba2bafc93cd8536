"""The metrics of an edge node and its devices, one device a station."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from edge.plc.codes import STATE_CODES
from edge.plc.process_image import Readable
from edge.plc.sparkplug_payload import Metric, Type, Value, encode

NODE_REBIRTH, DEVICE_REBIRTH, BD_SEQ = "Node Control/Rebirth", "Device Control/Rebirth", "bdSeq"
FIELD = "Fields/"
"""Before the name of a part's free field."""

MOST_FIELD_NAMES = 64
"""Of a station; with a further one the names are forgotten that the verdict does not have."""

STATE: tuple[tuple[str, Type, str], ...] = (
    ("State/Name", Type.STRING, "the station's state in its own words; null while it is not heard"),
    ("State/Ready", Type.BOOLEAN, "parts that come now are judged"),
    ("State/Epoch", Type.STRING, "the station's present run"),
    ("State/Overruns", Type.INT64, "results that the handshake dropped"),
    ("State/Error", Type.STRING, "last error of the handshake"),
)
VERDICT: tuple[tuple[str, Type, str, str], ...] = (
    ("Result/Verdict", Type.STRING, "verdict", "good, reject or unknown"),
    ("Result/PartId", Type.STRING, "part", "the part's id"),
    ("Result/Score", Type.DOUBLE, "score", "higher is worse; null exactly for unknown"),
    ("Result/Threshold", Type.DOUBLE, "threshold", "a score from it on is a reject"),
    ("Result/Reason", Type.STRING, "reason", "why"),
    ("Result/Detail", Type.STRING, "detail", "the reason in words, for people"),
    ("Result/AgeMs", Type.DOUBLE, "age_ms", "from capture to publication"),
    ("Result/Bundle", Type.STRING, "bundle", "the model that judged"),
    ("Result/Kind", Type.STRING, "kind", "kind of a reject's defect; null if it has none"),
    ("Result/KindNumber", Type.INT64, "kind_number", "its number in the bundle's list, from 1"),
    ("Station/Epoch", Type.STRING, "epoch", "run of the station that the verdict is of"),
    ("Station/Seq", Type.INT64, "seq", "the verdict's number in that run"),
)
NAMES = {number: str(state) for state, number in STATE_CODES.items()}


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return int(datetime.now(UTC).timestamp() * 1000)


class Device:
    """What was last published of a station; a birth says all of it."""

    def __init__(self) -> None:
        """Nothing has been published yet."""
        self.is_born = False
        self.batch = 0  # of its last verdict
        self._state: dict[str, Metric] = {}
        nothing = [Metric(name, kind, None, 0) for name, kind, _, _ in VERDICT]
        self._verdict = {metric.name: metric for metric in nothing}

    def state_changes(self, image: Readable) -> list[Metric]:
        """The state's metrics that differ from the last ones."""
        values = (NAMES.get(image.state), image.ready, image.epoch or None, image.overruns, image.error.name.lower())
        found = []
        for (name, kind, _), value in zip(STATE, values, strict=True):
            if name not in self._state or self._state[name].value != value:
                found.append(Metric(name, kind, value, now_ms()))
        self._state |= {metric.name: metric for metric in found}
        return found

    def enter(self, text: str, is_historical: bool) -> tuple[list[Metric], bool]:
        """The metrics of a verdict in JSON with its part's fields, and whether a birth must name new ones.

        Raises AttributeError, OverflowError, RecursionError, TypeError or ValueError if it is no verdict or cannot be
        encoded; the device then keeps its former one.
        """
        said: dict[str, Any] = json.loads(text)
        at_ms = _time_ms(said.get("time"))
        fields: dict[str, str] = {f"{FIELD}{name}": value for name, value in (said.get("fields") or {}).items()}
        known = [name for name in self._verdict if name.startswith(FIELD)]
        has_new = not set(fields) <= set(known)
        if has_new and len(set(known) | set(fields)) > MOST_FIELD_NAMES:
            known = []
        values: list[tuple[str, Type, Any]] = [(name, kind, said.get(key)) for name, kind, key, _ in VERDICT]
        values += [(name, Type.STRING, fields.get(name)) for name in dict.fromkeys([*known, *fields])]
        metrics = [Metric(name, kind, _value(value, kind), at_ms, is_historical) for name, kind, value in values]
        encode(metrics, at_ms, None)
        self._verdict = {metric.name: metric for metric in metrics}
        return metrics, has_new

    def birth(self) -> list[Metric]:
        """Every metric of the device, with its last value."""
        rebirth = Metric(DEVICE_REBIRTH, Type.BOOLEAN, False, now_ms())
        verdict = [
            replace(metric, at_ms=metric.at_ms or now_ms(), is_historical=False) for metric in self._verdict.values()
        ]
        return [rebirth, *self._state.values(), *verdict]


def _value(said: Any, kind: Type) -> Value:
    if said is None:
        return None
    if kind is Type.STRING:
        return str(said).encode(errors="replace").decode()
    return int(said) if kind is Type.INT64 else float(said)


def _time_ms(said: Any) -> int:
    """The verdict's own time."""
    return int(datetime.fromisoformat(str(said)).timestamp() * 1000)
