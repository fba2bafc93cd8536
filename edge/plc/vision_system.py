"""The nodes of a station in the server: an object of VisionSystemType of OPC 40100-1, and the nodes of this project."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from asyncua import Server, ua
from asyncua.common.events import get_event_obj_from_type_node

from edge.plc import machine_vision as mv
from edge.plc.vision_nodes import BUNDLE, LAST_RESULT, NODES, OF_STATE, OWN_FIELDS, RESULT, Value, Values
from edge.verdict import State

MACHINE, MODE = "VisionStateMachine", "VisionStateMachine.AutomaticModeStateMachine"
ACTIVE, LATEST = "RecipeManagement.Recipes.Active", "ResultManagement.Results.Latest"
OPTIONAL = {
    "SystemState",
    f"{MACHINE}.LastTransition",
    f"{MACHINE}.SelectModeAutomatic",
    MODE,
    f"{MODE}.LastTransition",
    "RecipeManagement",
    "RecipeManagement.Recipes",
    "ResultManagement",
    "ResultManagement.Results",
}
"""Optional nodes of VisionSystemType that a station has."""

OPTIONAL_OF_RESULT = {"HasTransferableDataOnFile", "IsSimulated", "PartId", "ProcessingTimes", "ResultContent"}
HASH = "the first 6 bytes of the SHA-256 of manifest.json"
EVENT_TYPE = "InspectionResultReadyEventType"
"""The type of the events of results, in the namespace of this project: a subtype of ResultReadyEventType."""

KINDS = {node.path: node.type for node in NODES}
NOT_HEARD, NO_DATA, NOT_ACTIVE = (
    ua.StatusCode(ua.UInt32(code))
    for code in (ua.StatusCodes.BadNoCommunication, ua.StatusCodes.BadNoData, ua.StatusCodes.BadStateNotActive)
)


class Types(NamedTuple):
    """What the stations share: indices of both namespaces, instances, state machines and the event type of results."""

    ours: int
    theirs: int
    instances: mv.Instances
    machine: mv.States
    mode: mv.States
    result_ready: ua.NodeId

    @classmethod
    async def make(cls, server: Server, ours: int) -> "Types":
        """Import the node set, and add the event type."""
        theirs = await mv.load(server)
        machine = await mv.States.read(server, ua.NodeId(mv.STATE_MACHINE, theirs))
        mode = await mv.States.read(server, ua.NodeId(mv.AUTOMATIC_MODE, theirs))
        base = server.get_node(ua.NodeId(mv.RESULT_READY, theirs))
        kind = await base.add_object_type(ua.NodeId(EVENT_TYPE, ours), ua.QualifiedName(EVENT_TYPE, ours))
        for name in OWN_FIELDS:
            first = _variant(_nothing(of := KINDS[f"{LAST_RESULT}.{name}"]), of)
            where = ua.NodeId(f"{EVENT_TYPE}.{name}", ours)
            field = await kind.add_property(where, ua.QualifiedName(name, ours), first)
            await field.set_modelling_rule(True)
        return cls(ours, theirs, mv.Instances(server), machine, mode, kind.nodeid)


class Machine:
    """A state machine of a station: its last known state, and the last transition that was seen."""

    def __init__(self, path: str, kind: mv.States) -> None:
        """No state is known yet."""
        self.path, self.kind = path, kind
        self.state: str | None = None
        self.last: mv.Transition | None = None

    def move(self, state: str | None) -> list[mv.Transition]:
        """Take the state now, None if it is not active. Returns the transitions that lead there."""
        way = [] if self.state is None or state is None else self.kind.path(self.state, state)
        self.state = state
        self.last = way[-1] if way else self.last
        return way


class VisionSystem:
    """The nodes of a station. A value is written when it has changed."""

    def __init__(self, server: Server, types: Types, station: str) -> None:
        """Make no node yet."""
        self._server, self._types, self._station = server, types, station
        self._written: dict[ua.NodeId, ua.Variant | ua.StatusCode] = {}
        self._events: dict[ua.NodeId, Any] = {}
        self._machine, self._mode = Machine(MACHINE, types.machine), Machine(MODE, types.mode)
        self._epoch = ""

    def _id(self, path: str) -> ua.NodeId:
        return ua.NodeId(f"{self._station}.{path}" if path else self._station, self._types.ours)

    def _name(self, name: str) -> ua.QualifiedName:
        return ua.QualifiedName(name, self._types.ours)

    def _type(self, number: int) -> ua.NodeId:
        return ua.NodeId(number, self._types.theirs)

    # ------------------------------------------------------------------------------------------------------ nodes

    async def add(self) -> None:
        """Make the nodes; nothing is known of the station yet."""
        objects, instances = ua.NodeId(ua.ObjectIds.ObjectsFolder), self._types.instances
        await instances.add(objects, self._type(mv.VISION_SYSTEM), self._id(""), self._name(self._station), OPTIONAL)
        for path, number, optional in ((ACTIVE, mv.RECIPE, set()), (LATEST, mv.RESULT, OPTIONAL_OF_RESULT)):
            parent, _, name = path.rpartition(".")
            await instances.add(self._id(parent), self._type(number), self._id(path), self._name(name), optional)
        for path, kind, meaning in NODES:
            await self._add_own(path, kind, meaning)
        station = self._server.get_node(self._id(""))
        await station.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        await self._server.nodes.server.add_reference(station, ua.ObjectIds.HasNotifier)
        operational = self._server.get_node(self._id(f"{MACHINE}.Operational"))
        await operational.add_reference(self._id(MODE), ua.ObjectIds.HasSubStateMachine)
        await self.show(dict.fromkeys(KINDS))
        for name in ("", *_result_variants(None)):
            await self._write(f"{LATEST}.{name}".rstrip("."), NOT_HEARD)

    async def _add_own(self, path: str, kind: str, meaning: str) -> None:
        """A variable of this project, and the objects above it that are missing."""
        *parents, name = path.split(".")
        above = self._server.get_node(self._id(""))
        for depth, parent in enumerate(parents, 1):
            where = self._id(".".join(parents[:depth]))
            if where not in self._server.iserver.aspace:
                await above.add_object(where, self._name(parent))
            above = self._server.get_node(where)
        node = await above.add_variable(self._id(path), self._name(name), _variant(_nothing(kind), kind))
        meant = ua.DataValue(ua.Variant(ua.LocalizedText(meaning)))
        await node.write_attribute(ua.AttributeIds.Description, meant)

    async def _write(self, path: str, value: ua.Variant | ua.StatusCode) -> None:
        """Write a value, or the status that says why there is none, if it has changed."""
        where = self._id(path)
        if self._written.get(where) == value:
            return
        self._written[where] = value
        now = datetime.now(UTC)
        if isinstance(value, ua.StatusCode):
            said = ua.DataValue(ua.Variant(), value, SourceTimestamp=now)
        else:
            said = ua.DataValue(value, SourceTimestamp=now)
        await self._server.get_node(where).write_value(said)

    async def forget(self) -> None:
        """Say of every value that it is not known."""
        prefix = len(self._station) + 1
        for where in list(self._written):
            await self._write(where.Identifier[prefix:], NOT_HEARD)

    # ------------------------------------------------------------------------------------------------------ state

    async def show(self, values: Values) -> None:
        """Take the values of the nodes of this project, by path, and show the state with them."""
        for path, value in values.items():
            await self._write(path, NOT_HEARD if value is None else _variant(value, KINDS[path]))
        said = values[f"{MACHINE}.State"]
        shown = None if said is None else OF_STATE[State(str(said))]
        if shown is not None:
            epoch, cause = (str(values[f"{MACHINE}.{name}"] or "") for name in ("Epoch", "Cause"))
            await self._move(shown.state, shown.mode, epoch, cause)
        for machine in (self._machine, self._mode):
            await self._show_machine(machine, shown is not None)
        system = None if shown is None else shown.system
        await self._write("SystemState", _system(system, str(said)) if system else NO_DATA if shown else NOT_HEARD)
        await self._show_recipe(values)

    async def _move(self, state: str, mode: str | None, epoch: str, cause: str) -> None:
        self._epoch = epoch if epoch else self._epoch
        for one in self._machine.move(state):
            await self._tell(self._machine, one, cause)
            if one.after == "Operational":
                self._mode.state = "Initialized"
        for one in self._mode.move(mode):
            await self._tell(self._mode, one, cause)

    async def _show_machine(self, machine: Machine, is_heard: bool) -> None:
        state, last, none = machine.state, machine.last, NO_DATA if is_heard else NOT_HEARD
        if is_heard and state is not None:
            await self._write(f"{machine.path}.CurrentState", _text(state))
            await self._write(f"{machine.path}.CurrentState.Id", ua.Variant(machine.kind.states[state]))
        else:
            for path in (f"{machine.path}.CurrentState", f"{machine.path}.CurrentState.Id"):
                await self._write(path, NOT_ACTIVE if is_heard else NOT_HEARD)
        known = last is not None and is_heard
        await self._write(f"{machine.path}.LastTransition", _text(last.name) if last and known else none)
        await self._write(f"{machine.path}.LastTransition.Id", ua.Variant(last.where) if last and known else none)

    async def _tell(self, machine: Machine, transition: mv.Transition, cause: str) -> None:
        """The events of a transition, as the node set names them."""
        states = machine.kind.states
        fields = {
            "Transition": _text(transition.name), "Transition/Id": ua.Variant(transition.where),
            "FromState": _text(transition.before), "FromState/Id": ua.Variant(states[transition.before]),
            "ToState": _text(transition.after), "ToState/Id": ua.Variant(states[transition.after]),
            "JobId": ua.Variant(ua.JobIdDataType(Id=self._epoch)),
        }  # fmt: skip
        for kind in transition.events:
            await self._fire(kind, machine.path, fields, f"{transition.name}: {cause}" if cause else transition.name)

    async def _show_recipe(self, values: Values) -> None:
        bundle, is_ready = values[BUNDLE], values[f"{MACHINE}.Ready"]
        is_known = bundle is not None and is_ready is not None
        await self._write(f"{ACTIVE}.InternalId", ua.Variant(_recipe(str(bundle))) if is_known else NOT_HEARD)
        await self._write(f"{ACTIVE}.IsPrepared", ua.Variant(bool(is_ready)) if is_known else NOT_HEARD)
        await self._write(f"{ACTIVE}.LastModified", NO_DATA if is_known else NOT_HEARD)

    # ------------------------------------------------------------------------------------------------------ results

    async def result(self, said: Values) -> None:
        """Take a result, of `edge.plc.vision_nodes.result_values`: its nodes, then its event."""
        named = {name: value for name, value in said.items() if f"{LAST_RESULT}.{name}" in KINDS}
        text = json.dumps(named)
        for name, value in named.items():
            path = f"{LAST_RESULT}.{name}"
            await self._write(path, NOT_HEARD if value is None else _variant(value, KINDS[path]))
        await self._write(RESULT, _variant(text, "String"))
        fields = _result_variants(said, text)
        for name, variant in fields.items():
            await self._write(f"{LATEST}.{name}", NO_DATA if variant is None else variant)
        structure = {name: None if variant is None else variant.Value for name, variant in fields.items()}
        await self._write(LATEST, ua.Variant(ua.ResultDataType(**structure)))
        known = {name: variant for name, variant in fields.items() if name != "HasTransferableDataOnFile"}
        own = {name: _variant(said[name], KINDS[f"{LAST_RESULT}.{name}"]) for name in OWN_FIELDS}
        message = f"{said['Event']}: part {said['PartId']}"
        await self._fire(self._types.result_ready, "", known | own, message)

    async def _fire(self, kind: ua.NodeId, source: str, fields: dict[str, ua.Variant | None], message: str) -> None:
        """Send an event of the node `source` to those who subscribed at the station's object or at the server's."""
        if kind not in self._events:
            self._events[kind] = await get_event_obj_from_type_node(self._server.get_node(kind))
        event = self._events[kind]
        for name, variant in fields.items():
            if variant is None:
                event.add_property(name, None, ua.VariantType.Null)
            else:
                event.add_property(name, variant.Value, variant.VariantType)
        event.EventId, event.Time = uuid4().bytes, datetime.now(UTC)
        event.ReceiveTime, event.Message = event.Time, ua.LocalizedText(message)
        event.SourceNode, event.SourceName = self._id(source), source.rpartition(".")[2] or self._station
        for emitter in (self._id(""), ua.NodeId(ua.ObjectIds.Server)):
            event.emitting_node = emitter
            await self._server.iserver.subscription_service.trigger_event(event)


def _variant(value: Value, kind: str) -> ua.Variant:
    return ua.Variant(value, ua.VariantType[kind.removesuffix("[]")], is_array=kind.endswith("[]"))


def _nothing(kind: str) -> Value:
    if kind.endswith("[]"):
        return []
    return "" if kind == "String" else False if kind == "Boolean" else 0


def _text(text: str) -> ua.Variant:
    return ua.Variant(ua.LocalizedText(text))


def _system(state: str, description: str) -> ua.Variant:
    return ua.Variant(
        ua.SystemStateDescriptionDataType(State=ua.SystemStateDataType[state], StateDescription=description)
    )


def _recipe(bundle: str) -> Any:
    """The id of the recipe that a bundle is, from its label NAME@DIGEST; an empty id for an empty label."""
    if not bundle:
        return ua.RecipeIdInternalDataType(Id=None)
    name, _, digest = bundle.rpartition("@")
    try:
        return ua.RecipeIdInternalDataType(Id=name or bundle, Hash=bytes.fromhex(digest), HashAlgorithm=HASH)
    except ValueError:
        return ua.RecipeIdInternalDataType(Id=bundle)


def _result_variants(said: Values | None, text: str = "") -> dict[str, ua.Variant | None]:
    """The components of ResultType that a station has, and the fields of ResultReadyEventType; None: no value.

    Without `said` the names alone count.
    """
    said = said or {}
    start, end, is_simulated = (said.get(name) for name in ("Start", "End", "Simulated"))
    created = str(said.get("End") or said.get("CreationTime") or datetime.now(UTC).isoformat())
    times = ua.Variant(
        ua.ProcessingTimesDataType(
            StartTime=_time(str(start)), EndTime=_time(str(end)),
            AcquisitionDuration=said.get("AcquisitionMs"), ProcessingDuration=said.get("ProcessingMs"),
        )
    ) if start and end else None  # fmt: skip
    part = str(said.get("PartId") or "")
    return {
        "ResultId": ua.Variant(ua.ResultIdDataType(Id=str(said.get("ResultId") or ""))),
        "HasTransferableDataOnFile": ua.Variant(False),
        "IsPartial": ua.Variant(False),
        "IsSimulated": None if is_simulated is None else ua.Variant(is_simulated),
        "ResultState": ua.Variant(said.get("State") or 0, ua.VariantType.Int32),
        "PartId": ua.Variant(ua.PartIdDataType(Id=part)) if part else None,
        "InternalRecipeId": ua.Variant(_recipe(str(said.get("Bundle") or ""))),
        "InternalConfigurationId": ua.Variant(ua.ConfigurationIdDataType(Id=None)),
        "JobId": ua.Variant(ua.JobIdDataType(Id=str(said.get("Epoch") or ""))),
        "CreationTime": ua.Variant(_time(created)),
        "ProcessingTimes": times,
        "ResultContent": ua.Variant([ua.Variant(text)], ua.VariantType.Variant),
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
