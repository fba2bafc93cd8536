"""What the OPC UA server shows of a station: values of nodes of this project, and what the nodes of OPC 40100-1 need.

`edge.plc.vision_system` makes the nodes, in the server's process.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from edge.plc.codes import STATE_CODES, Code
from edge.plc.process_image import Entry, Readable
from edge.verdict import Heartbeat, State, Verdict

NAMESPACE = "urn:edge-inspect:vision"
NAMES = {number: state for state, number in STATE_CODES.items()}

Value = str | int | float | bool | list[str] | None
Values = dict[str, Value]
"""By the node's path below the station's object; None: the value is not known now."""


class Shown(NamedTuple):
    """A state in the words of OPC 40100-1: of the VisionStateMachine, of the AutomaticModeStateMachine while the former
    is Operational, and of the SystemState by SEMI E10, None if the station cannot know it.
    """

    state: str
    mode: str | None
    system: str | None


OF_STATE = {
    State.PREOPERATIONAL: Shown("Preoperational", None, "SBY_2"),
    State.READY: Shown("Operational", "Ready", "SBY_2"),
    State.EXECUTING: Shown("Operational", "ContinuousExecution", "PRD_1"),
    State.SUSPENDED: Shown("Operational", "Initialized", "SBY_2"),
    State.HELD: Shown("Error", None, "UDT_5"),
    State.ERROR: Shown("Error", None, "UDT_5"),
    State.STOPPED: Shown("Halted", None, None),
}

COMPLETED, FAILED = 1, 4
"""Values of ResultState (OPC 40100-1, 12.19)."""


class VisionNode(NamedTuple):
    """A variable: its path, its OPC UA type, [] for an array, and its meaning."""

    path: str
    type: str
    meaning: str


LAST_RESULT, RESULT, BUNDLE = "ResultManagement.LastResult", "ResultManagement.Result", "RecipeManagement.Bundle"
NODES = (
    VisionNode("VisionStateMachine.State", "String", "state in the station's own words"),
    VisionNode("VisionStateMachine.Ready", "Boolean", "parts that come now are judged"),
    VisionNode("VisionStateMachine.Epoch", "String", "the station's present run"),
    VisionNode("VisionStateMachine.Cause", "String", "what holds the station, for people"),
    VisionNode(BUNDLE, "String", "bundle of the run's last verdict: NAME@DIGEST"),
    VisionNode(f"{LAST_RESULT}.ResultId", "String", "EPOCH-SEQ"),
    VisionNode(f"{LAST_RESULT}.PartId", "String", "the part's id"),
    VisionNode(f"{LAST_RESULT}.Epoch", "String", "run of the station that the result is of"),
    VisionNode(f"{LAST_RESULT}.Seq", "Int64", "the verdict's number in that run"),
    VisionNode(f"{LAST_RESULT}.Number", "UInt32", "number of the part in the handshake"),
    VisionNode(f"{LAST_RESULT}.Event", "String", "pass, fail, withdrawn (a pass bit that fell) or overrun"),
    VisionNode(f"{LAST_RESULT}.Code", "UInt16", "why, as in the register map"),
    VisionNode(f"{LAST_RESULT}.Reason", "String", "the same in a word"),
    VisionNode(f"{LAST_RESULT}.Kind", "String", "kind of a reject's defect; empty if it has none"),
    VisionNode(f"{LAST_RESULT}.KindNumber", "UInt16", "its number in the bundle's list, from 1; 0 if it has none"),
    VisionNode(f"{LAST_RESULT}.CreationTime", "String", "when edge-plc showed it; UTC, ISO 8601"),
    VisionNode(RESULT, "String", "all of LastResult as JSON, of one moment"),
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
OWN_FIELDS = ("Epoch", "Seq", "Number", "Event", "Code", "Reason", "Kind", "KindNumber")
"""Fields of a result that OPC 40100-1 does not have."""


def state_values(image: Readable, heartbeat: Heartbeat | None, bundle: str | None) -> Values:
    """The values of the state, the counters and the alarms. What a station that is not heard would say is not known."""
    state = NAMES.get(image.state)
    heard = heartbeat if state is not None else None
    ledger = None if heard is None else heard.ledger
    alarms = [] if heard is None else list(heard.alarms)
    if image.error:
        alarms.append(f"handshake: {image.error.meaning}")
    if state is None:
        alarms.append("the station is not heard")
    return {
        "VisionStateMachine.State": None if state is None else str(state),
        "VisionStateMachine.Ready": image.ready,
        "VisionStateMachine.Epoch": image.epoch,
        "VisionStateMachine.Cause": "" if heard is None else heard.cause or "",
        BUNDLE: None if state is None else bundle,
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
    """The values of `LastResult` by the names of its nodes, then what the standard nodes of the result need besides:
    `State` (of ResultStateDataType), and of the verdict, None without one, `Bundle`, `Simulated`, `Start` and `End`
    (UTC, ISO 8601), `AcquisitionMs` and `ProcessingMs`.
    """
    epoch, seq, verdict = entry.epoch or "", entry.seq or 0, entry.verdict
    name = f"{epoch}-{seq}" if entry.seq is not None else f"{epoch}-n{entry.number}"
    now = datetime.now(UTC)
    timing = None if verdict is None else verdict.timing
    start, end = (None, None) if verdict is None else _times(verdict, now)
    is_judged = entry.code in (Code.CLEAR, Code.DEFECT)
    return {
        "ResultId": f"{name}-withdrawn" if entry.event == "withdrawn" else name,
        "PartId": entry.part, "Epoch": epoch, "Seq": seq, "Number": entry.number,
        "Event": entry.event, "Code": int(entry.code), "Reason": entry.code.name.lower(),
        "Kind": "" if verdict is None else verdict.kind or "",
        "KindNumber": 0 if verdict is None else verdict.kind_number or 0,
        "CreationTime": _text(now),
        "State": COMPLETED if is_judged else FAILED,
        "Bundle": None if verdict is None else verdict.bundle,
        "Simulated": None if verdict is None else verdict.simulated,
        "Start": start,
        "End": end,
        "AcquisitionMs": None if timing is None else _ms(timing.captured, timing.in_ring),
        "ProcessingMs": None if timing is None else _ms(timing.inference_start, timing.inference_end),
    }  # fmt: skip


def _times(verdict: Verdict, now: datetime) -> tuple[str, str]:
    """When the part was exposed and its verdict published, by the station's clock; now if the label is no time."""
    try:
        said = datetime.fromisoformat(verdict.time)
        end = said.astimezone(UTC) if said.tzinfo else said.replace(tzinfo=UTC)
        return _text(end - timedelta(milliseconds=verdict.age_ms)), _text(end)
    except (ValueError, OverflowError):
        return _text(now), _text(now)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")


def _ms(start: int | None, end: int | None) -> float | None:
    return None if start is None or end is None else (end - start) / 1e6
