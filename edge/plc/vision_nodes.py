"""What the OPC UA server shows of a station: nodes with the browse names of OPC 40100-1, and their values.

The types of the companion specification are not loaded, since its node set is not free to ship: the nodes have base
types, in the namespace of this project.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from edge.plc.codes import STATE_CODES
from edge.plc.process_image import Entry, Readable
from edge.verdict import Heartbeat, State

NAMESPACE = "urn:edge-inspect:vision"
NAMES = {number: state for state, number in STATE_CODES.items()}

Value = str | int | float | bool | list[str] | None
Values = dict[str, Value]
"""By the node's path below the station's object; None: the value is not known now."""

OF_STATE = {
    State.PREOPERATIONAL: ("Preoperational", ""),
    State.READY: ("Operational", "Ready"),
    State.EXECUTING: ("Operational", "ContinuousExecution"),
    State.SUSPENDED: ("Operational", "Initialized"),
    State.HELD: ("Error", ""),
    State.ERROR: ("Error", ""),
    State.STOPPED: ("Halted", ""),
}
"""State of VisionStateMachine, and of its AutomaticModeStateMachine."""


class VisionNode(NamedTuple):
    """A variable: its path, its OPC UA type, [] for an array, and its meaning."""

    path: str
    type: str
    meaning: str


LAST_RESULT = "ResultManagement.LastResult"
NODES = (
    VisionNode("VisionStateMachine.CurrentState", "String", "state in the words of OPC 40100-1"),
    VisionNode("VisionStateMachine.AutomaticMode", "String", "Initialized, Ready or ContinuousExecution; else empty"),
    VisionNode("VisionStateMachine.State", "String", "state in the station's own words"),
    VisionNode("VisionStateMachine.Ready", "Boolean", "parts that come now are judged"),
    VisionNode("VisionStateMachine.Epoch", "String", "the station's present run"),
    VisionNode("VisionStateMachine.Cause", "String", "what holds the station, for people"),
    VisionNode(f"{LAST_RESULT}.ResultId", "String", "EPOCH-SEQ"),
    VisionNode(f"{LAST_RESULT}.PartId", "String", "the part's id"),
    VisionNode(f"{LAST_RESULT}.Epoch", "String", "run of the station that the result is of"),
    VisionNode(f"{LAST_RESULT}.Seq", "Int64", "the verdict's number in that run"),
    VisionNode(f"{LAST_RESULT}.Number", "UInt32", "number of the part in the handshake"),
    VisionNode(f"{LAST_RESULT}.Event", "String", "pass, fail, withdrawn (a pass bit that fell) or overrun"),
    VisionNode(f"{LAST_RESULT}.Code", "UInt16", "why, as in the register map"),
    VisionNode(f"{LAST_RESULT}.Reason", "String", "the same in a word"),
    VisionNode(f"{LAST_RESULT}.CreationTime", "String", "when edge-plc showed it; UTC, ISO 8601"),
    VisionNode("ResultManagement.Result", "String", "all of LastResult as JSON, of one moment"),
    VisionNode("Counters.Accepted", "Int64", "parts of this run"),
    VisionNode("Counters.Good", "Int64", "verdicts good of this run"),
    VisionNode("Counters.Reject", "Int64", "verdicts reject of this run"),
    VisionNode("Counters.Unknown", "Int64", "verdicts unknown of this run"),
    VisionNode("Counters.InFlight", "Int64", "parts without a verdict"),
    VisionNode("Counters.Overruns", "Int64", "results that the handshake dropped"),
    VisionNode("Counters.MissedTriggers", "Int64", "triggers whose parts were not inspected"),
    VisionNode("Alarms.Active", "String[]", "what is wrong, for people"),
    VisionNode("Alarms.Error", "UInt16", "last error of the handshake, as in the register map"),
)


def state_values(image: Readable, heartbeat: Heartbeat | None) -> Values:
    """The values of the state, the counters and the alarms. What a station that is not heard would say is not known."""
    state = NAMES.get(image.state)
    current, mode = (None, None) if state is None else OF_STATE[state]
    heard = heartbeat if state is not None else None
    ledger = None if heard is None else heard.ledger
    alarms = [] if heard is None else list(heard.alarms)
    if image.error:
        alarms.append(f"handshake: {image.error.meaning}")
    if state is None:
        alarms.append("the station is not heard")
    return {
        "VisionStateMachine.CurrentState": current,
        "VisionStateMachine.AutomaticMode": mode,
        "VisionStateMachine.State": None if state is None else str(state),
        "VisionStateMachine.Ready": image.ready,
        "VisionStateMachine.Epoch": image.epoch,
        "VisionStateMachine.Cause": "" if heard is None else heard.cause or "",
        "Counters.Accepted": None if ledger is None else ledger.accepted,
        "Counters.Good": None if ledger is None else ledger.good,
        "Counters.Reject": None if ledger is None else ledger.reject,
        "Counters.Unknown": None if ledger is None else ledger.unknown,
        "Counters.InFlight": None if ledger is None else ledger.in_flight,
        "Counters.Overruns": image.overruns,
        "Counters.MissedTriggers": image.missed_triggers,
        "Alarms.Active": alarms,
        "Alarms.Error": int(image.error),
    }


def result_values(entry: Entry) -> Values:
    """The values of a result, without `ResultManagement.Result`."""
    epoch, seq = entry.epoch or "", entry.seq or 0
    said: dict[str, Value] = {
        "ResultId": f"{epoch}-{seq}", "PartId": entry.part, "Epoch": epoch, "Seq": seq, "Number": entry.number,
        "Event": entry.event, "Code": int(entry.code), "Reason": entry.code.name.lower(),
        "CreationTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }  # fmt: skip
    return {f"{LAST_RESULT}.{name}": value for name, value in said.items()}
