"""The nodes of OPC 40100-1 that edge-plc serves, compared with the node set itself and read by a client."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from asyncua import Node, ua
from support.opcua import EXECUTING, JUDGED, PATIENCE_S, VERDICT, NodeSet, Reader, reads, serving
from support.plc import until

from edge.plc import opcua
from edge.plc.codes import STATE_CODES, Code
from edge.plc.process_image import Entry, Readable
from edge.plc.vision_nodes import result_values
from edge.verdict import State

NODE_SET = NodeSet()
MODE = "VisionStateMachine.AutomaticModeStateMachine"


def image(state: State, ready: bool = True) -> Readable:
    return replace(EXECUTING, state=STATE_CODES[state], ready=ready)


# ------------------------------------------------------------------------------------------------------ the node set


async def definition(node: Node) -> str:
    """The type definition of a node as the node set writes it, empty for a method."""
    found = await node.read_type_definition()
    return f"{'ns=1;' if found.NamespaceIndex else ''}i={found.Identifier}" if found else ""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "VisionSystemType"),
        ("VisionStateMachine", "VisionStateMachineType"),
        (MODE, "VisionAutomaticModeStateMachineType"),
        ("ResultManagement", "ResultManagementType"),
        ("ResultManagement.Results", "ResultFolderType"),
        ("ResultManagement.Results.Latest", "ResultType"),
        ("RecipeManagement", "RecipeManagementType"),
        ("RecipeManagement.Recipes", "RecipeFolderType"),
        ("RecipeManagement.Recipes.Active", "RecipeType"),
    ],
)
def test_an_object_has_the_type_of_the_node_set_and_all_that_is_mandatory_there(
    path: str, kind: str, shared_server: str
) -> None:
    async def look(reader: Reader) -> None:
        node = reader.node(path)
        where = f"ns=1;i={NODE_SET.named(kind)}"
        assert await definition(node) == where
        found = {(await child.read_browse_name()).Name: child for child in await node.get_children()}
        for name, declared in NODE_SET.mandatory(where):
            wanted = NODE_SET.references(declared, "HasTypeDefinition")
            assert [await definition(found[name])] == (wanted or [""]), name

    reads(shared_server, look)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[str]:
    with serving(heard=(None, "demo@0123456789ab")) as server:
        server.enter("line1", JUDGED)
        yield server.endpoint


def test_the_station_is_found_by_browsing_for_objects_of_the_type(shared_server: str) -> None:
    async def look(reader: Reader) -> None:
        objects = await reader.client.nodes.objects.get_children()
        kind = ua.NodeId(NODE_SET.named("VisionSystemType"), reader.theirs)
        found = [one for one in objects if await one.read_type_definition() == kind]
        assert [str((await one.read_browse_name()).Name) for one in found] == ["line1"]

    reads(shared_server, look)


# ------------------------------------------------------------------------------------------------------ states


class Events:
    """Collects the events of a subscription."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    async def until(self, count: int) -> list[Any]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.events) < count:
                await asyncio.sleep(0.02)
        return self.events


def test_each_state_has_the_id_of_the_node_set_and_each_transition_its_events() -> None:
    async def look(reader: Reader) -> None:
        async def shown(path: str) -> tuple[object, object]:
            text, number = await reader.read(path), await reader.read(f"{path}.Id")
            return text and text.Text, number and number.Identifier

        async def until_state(name: str, path: str = "VisionStateMachine") -> None:
            number = ua.NodeId(NODE_SET.named(name), reader.theirs)
            await reader.until(f"{path}.CurrentState.Id", number)
            assert await shown(f"{path}.CurrentState") == (name, number.Identifier)

        await until_state("Operational")
        await until_state("ContinuousExecution", MODE)
        assert await reader.read("VisionStateMachine.LastTransition") is None, "none was seen"
        events = Events()
        subscription = await reader.client.create_subscription(20, events)
        changed = reader.client.get_node(f"ns={reader.theirs};i={NODE_SET.named('StateChangedEventType')}")
        await subscription.subscribe_events(reader.node(""), changed, queuesize=100)

        server._board.show(0, image(State.HELD, ready=False))
        await until_state("Error")
        inactive = await reader.node(f"{MODE}.CurrentState").read_data_value(raise_on_bad_status=False)
        assert inactive.StatusCode.value == ua.StatusCodes.BadStateNotActive
        last = NODE_SET.named("OperationalToErrorAuto")
        assert await shown("VisionStateMachine.LastTransition") == ("OperationalToErrorAuto", last)
        server._board.show(0, image(State.EXECUTING))
        await until_state("ContinuousExecution", MODE)
        server._board.show(0, image(State.STOPPED, ready=False))
        await until_state("Halted")
        server._board.show(0, image(State.READY))
        await until_state("Ready", MODE)

        names = [
            "OperationalToErrorAuto", "ErrorToOperationalAuto", "InitializedToReadyAuto",
            "ReadyToContinuousExecutionAuto", "OperationalToHaltedAuto", "HaltedToPreoperationalAuto",
            "PreoperationalToOperationalAuto", "InitializedToReadyAuto",
        ]  # fmt: skip
        told = [event for event in await events.until(len(names)) if event.EventType == changed.nodeid]
        assert [event.Transition.Text for event in told] == names
        ids = [getattr(event, "Transition/Id").Identifier for event in told]
        assert ids == [NODE_SET.named(name) for name in names]
        assert (told[0].FromState.Text, told[0].ToState.Text) == ("Operational", "Error")
        assert told[0].SourceName == "VisionStateMachine"

    with serving() as server:
        reads(server.endpoint, look)


@pytest.mark.parametrize(
    ("state", "system"),
    [(State.EXECUTING, "PRD_1"), (State.READY, "SBY_2"), (State.HELD, "UDT_5"), (State.STOPPED, None)],
)
def test_the_system_state_follows_the_station(state: State, system: str | None) -> None:
    async def look(reader: Reader) -> None:
        await reader.client.load_data_type_definitions()
        await reader.until("VisionStateMachine.State", str(state))
        found = await reader.node("SystemState").read_data_value(raise_on_bad_status=False)
        if system is None:
            assert found.StatusCode.value == ua.StatusCodes.BadNoData
        else:
            assert (found.Value.Value.State.name, found.Value.Value.StateDescription) == (system, str(state))

    with serving(image=image(state)) as server:
        reads(server.endpoint, look)


# ------------------------------------------------------------------------------------------------------ results


def test_a_result_is_an_event_of_the_type_of_the_node_set_with_its_fields_and_ours() -> None:
    async def look(reader: Reader) -> None:
        await reader.client.load_data_type_definitions()
        await reader.until("VisionStateMachine.State", "executing")
        events = Events()
        subscription = await reader.client.create_subscription(20, events)
        ready = reader.client.get_node(f"ns={reader.theirs};i={NODE_SET.named('ResultReadyEventType')}")
        (own,) = await ready.get_children(refs=ua.ObjectIds.HasSubtype)
        select = [
            ua.SimpleAttributeOperand(BrowsePath=[ua.QualifiedName(name)]) for name in ("EventType", "SourceName")
        ]
        for kind, index in ((ready, reader.theirs), (own, reader.index)):
            for field in await kind.get_properties():
                assert (await field.read_browse_name()).NamespaceIndex == index
                select.append(ua.SimpleAttributeOperand(BrowsePath=[await field.read_browse_name()]))
        for one in select:
            one.AttributeId, one.TypeDefinitionId = ua.AttributeIds.Value, ua.NodeId(ua.ObjectIds.BaseEventType)
        where = ua.ContentFilterElement(ua.FilterOperator.OfType, [ua.LiteralOperand(ua.Variant(ready.nodeid))])
        chosen = ua.EventFilter(SelectClauses=select, WhereClause=ua.ContentFilter([where]))
        await subscription.subscribe_events(ua.ObjectIds.Server, ua.ObjectIds.BaseEventType, evfilter=chosen)
        server._board.show(0, image(State.HELD))  # an event that the filter leaves out
        await reader.until("VisionStateMachine.State", "held")
        server.enter("line1", JUDGED)
        server.enter("line1", replace(JUDGED, event="withdrawn", code=Code.EXPIRED))
        server.enter("line1", Entry("fail", "ab12", None, "", 4712, Code.GAP))
        passed, fell, lost = await events.until(3)
        assert passed.EventType == own.nodeid
        assert passed.SourceName == "line1"
        check(passed)
        assert (passed.Event, passed.Code, passed.Number, passed.Seq, passed.Epoch) == ("pass", 1, 4711, 7, "ab12")
        assert (fell.ResultId.Id, fell.ResultState, fell.PartId.Id) == ("ab12-7-withdrawn", 4, "P7")
        assert (lost.ResultId.Id, lost.ResultState, lost.PartId) == ("ab12-n4712", 4, None)
        assert (lost.IsSimulated, lost.ProcessingTimes, lost.InternalRecipeId.Id) == (None, None, None)

    with serving() as server:
        reads(server.endpoint, look)


def check(told: Any) -> None:
    """A result, or its event, says what `JUDGED` is."""
    assert (told.ResultId.Id, told.ResultState, told.IsPartial, told.IsSimulated) == ("ab12-7", 1, False, True)
    assert (told.PartId.Id, told.JobId.Id) == ("P7", "ab12")
    assert type(told.InternalRecipeId).__name__ == "RecipeIdInternalDataType"
    assert (told.InternalRecipeId.Id, told.InternalRecipeId.Hash) == ("demo", bytes.fromhex("0123456789ab"))
    assert (type(told.InternalConfigurationId).__name__, told.InternalConfigurationId.Id) == (
        "ConfigurationIdDataType",
        None,
    )
    assert told.CreationTime.isoformat() == "2026-03-04T05:06:07.250000+00:00"
    assert told.ProcessingTimes.EndTime == told.CreationTime
    assert told.ProcessingTimes.StartTime.isoformat() == "2026-03-04T05:06:07.200000+00:00"
    assert (told.ProcessingTimes.AcquisitionDuration, told.ProcessingTimes.ProcessingDuration) == (2.0, 8.0)


def test_the_latest_result_is_a_variable_of_result_type_with_components() -> None:
    async def look(reader: Reader) -> None:
        await reader.client.load_data_type_definitions()
        async with asyncio.timeout(PATIENCE_S):
            while (found := await reader.read("ResultManagement.Results.Latest")) is None:
                await asyncio.sleep(0.02)
        assert type(found).__name__ == "ResultDataType"
        check(found)
        node = reader.node("ResultManagement.Results.Latest")
        told: dict[str, Any] = {}
        for child in await node.get_children():
            name = (await child.read_browse_name()).Name
            told[name] = await child.read_value()
        check(type("Told", (), told))
        assert found.ResultContent == told["ResultContent"]
        assert '"Event": "pass"' in told["ResultContent"][0].Value

    with serving() as server:
        server.enter("line1", JUDGED)
        reads(server.endpoint, look)


@pytest.mark.parametrize("time", ["yesterday", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00", ""])
def test_a_result_without_a_usable_time_is_of_now(time: str) -> None:
    told = result_values(replace(JUDGED, verdict=VERDICT.model_copy(update={"time": time})))
    assert (told["Start"], told["End"]) == (told["CreationTime"], told["CreationTime"])


def test_a_result_whose_verdict_has_no_known_number_has_an_id_of_its_own() -> None:
    assert result_values(replace(JUDGED, seq=None))["ResultId"] == "ab12-n4711"


def test_the_recipe_is_the_bundle_of_the_last_verdict(shared_server: str) -> None:
    async def look(reader: Reader) -> None:
        await reader.client.load_data_type_definitions()
        await reader.until("RecipeManagement.Recipes.Active.IsPrepared", True)
        told = await reader.read("RecipeManagement.Recipes.Active.InternalId")
        assert (type(told).__name__, told.Id, told.Hash) == (
            "RecipeIdInternalDataType",
            "demo",
            bytes.fromhex("0123456789ab"),
        )
        modified = await reader.node("RecipeManagement.Recipes.Active.LastModified").read_data_value(False)
        assert modified.StatusCode.value == ua.StatusCodes.BadNoData

    reads(shared_server, look)


# ------------------------------------------------------------------------------------------------------ nothing moves


async def below(node: Node) -> list[Node]:
    """All nodes below one."""
    found = []
    for child in await node.get_children():
        found += [child, *await below(child)]
    return found


def test_every_method_exists_and_is_refused_also_by_the_id_of_its_type(shared_server: str) -> None:
    async def look(reader: Reader) -> None:
        methods = {}
        for node in await below(reader.node("")):
            if await node.read_node_class() == ua.NodeClass.Method:
                methods[str(node.nodeid.Identifier).removeprefix("line1.")] = node
        automatic = {f"{MODE}.{name}" for name in ("StartSingleJob", "StartContinuous", "Stop", "Abort")}
        machine = {f"VisionStateMachine.{name}" for name in ("Halt", "Reset", "SelectModeAutomatic")}
        assert automatic | machine < set(methods)
        for path, node in methods.items():
            parent = reader.node(path.rpartition(".")[0])
            for kind in (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable):
                assert (await node.read_attribute(kind)).Value.Value is False, path
            with pytest.raises(ua.UaStatusCodeError, match="BadNotExecutable"):
                await parent.call_method(node)
        halt = reader.client.get_node(f"ns={reader.theirs};i=7094")
        with pytest.raises(ua.UaStatusCodeError, match="BadNotExecutable"):
            await reader.node("VisionStateMachine").call_method(halt, 0)

    reads(shared_server, look)


def test_no_value_of_the_station_or_of_the_types_is_written(shared_server: str) -> None:
    async def look(reader: Reader) -> None:
        types = [reader.client.get_node(f"ns={reader.theirs};i={number}") for number in (1003, 1017, 1021, 1024, 2002)]
        count = 0
        for top in (reader.node(""), *types):
            for node in await below(top):
                if await node.read_node_class() == ua.NodeClass.Variable:
                    count += 1
                    with pytest.raises(ua.UaStatusCodeError, match="BadUserAccessDenied"):
                        await node.write_value(ua.DataValue(ua.Variant(1)))
        assert count > 100

    reads(shared_server, look)


# ------------------------------------------------------------------------------------------------------ not known


def test_of_a_silent_station_no_standard_value_is_known() -> None:
    async def unknown(reader: Reader) -> set[str]:
        found = set()
        for node in await below(reader.node("")):
            if await node.read_node_class() == ua.NodeClass.Variable:
                status = (await node.read_data_value(raise_on_bad_status=False)).StatusCode
                if status.value == ua.StatusCodes.BadNoCommunication:
                    found.add(str(node.nodeid.Identifier).removeprefix("line1."))
        return found

    async def look(reader: Reader) -> None:
        await reader.until("ResultManagement.Results.Latest.IsPartial", False)
        assert not await unknown(reader) & standard
        server._board.show(0, Readable())
        await reader.until("VisionStateMachine.CurrentState", None)
        assert standard <= await unknown(reader)

    machines = {f"{path}.CurrentState{name}" for path in ("VisionStateMachine", MODE) for name in ("", ".Id")}
    active = "RecipeManagement.Recipes.Active"
    standard = machines | {"SystemState", f"{active}.InternalId", f"{active}.IsPrepared"}
    with serving(heard=(None, "demo@0123456789ab")) as server:
        server.enter("line1", JUDGED)
        reads(server.endpoint, look)


def test_without_updates_nothing_at_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(reader: Reader) -> None:
        await reader.until("ResultManagement.Results.Latest.IsPartial", False)
        monkeypatch.setattr(opcua, "TURN_S", 20.0)
        for path in ("ResultManagement.Results.Latest", "ResultManagement.Results.Latest.IsPartial", "SystemState"):
            await reader.until(path, None)
        await reader.until("VisionStateMachine.CurrentState.Id", None)

    with serving() as server:
        server.enter("line1", JUDGED)
        reads(server.endpoint, look)


def test_a_server_that_does_not_listen_in_time_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua, "START_S", 0.01)
    monkeypatch.setattr(opcua, "RESTART_S", 0.1)
    with serving() as server:
        until(lambda: server.starts > 1)
