"""The node set of OPC 40100-1 (machine vision) in an asyncua server: its types, state machines and nodes for a station.

`edge/plc/nodesets` has the node set of the OPC Foundation, unchanged but compressed.
"""

import gzip
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

from asyncua import Server, ua
from asyncua.common.structures104 import load_custom_struct_xml_import
from asyncua.server import monitored_item_service

NODE_SET = "nodesets/Opc.Ua.MachineVision.NodeSet2.xml.gz"
URI = "http://opcfoundation.org/UA/MachineVision"
VISION_SYSTEM, STATE_MACHINE, AUTOMATIC_MODE, RECIPE, RESULT, RESULT_READY = 1003, 1017, 1021, 1002, 2002, 1024
"""Types of the node set by their numbers in its namespace."""


class OfType(monitored_item_service.WhereClauseEvaluator):  # type: ignore[misc]
    """The filters of event subscriptions, with an operator OfType that takes subtypes, as OPC 10000-4 says; that of
    asyncua 2.1 takes the type alone.
    """

    def _eval_el(self, index: int, event: Any) -> Any:
        element = self.elements[index]
        if element.FilterOperator != ua.FilterOperator.OfType:
            return super()._eval_el(index, event)
        wanted, found = self._eval_op(element.FilterOperands[0], event), event.EventType
        while found is not None and found != wanted:
            above = (one for one in self._aspace[found].references if _is_supertype(one))
            found = next((one.NodeId for one in above), None)
        return found is not None


def _is_supertype(reference: ua.ReferenceDescription) -> bool:
    return not reference.IsForward and reference.ReferenceTypeId == ua.NodeId(ua.ObjectIds.HasSubtype)


async def load(server: Server) -> int:
    """Import the node set, and return the index of its namespace."""
    monitored_item_service.WhereClauseEvaluator = OfType
    text = gzip.decompress(files("edge.plc").joinpath(NODE_SET).read_bytes()).decode("utf-8-sig")
    await server.import_xml(xmlstring=text)
    index: int = await server.get_namespace_index(URI)
    await _complete_structures(server, index)
    await _complete_data_types(server, index)
    return index


async def _complete_structures(server: Server, index: int) -> None:
    """Give the structures without fields of their own those of their base: asyncua 2.1 takes them for its aliases, and
    would encode them as their base, which is abstract.
    """
    base = server.get_node(ua.NodeId(3019, index))  # BinaryIdBaseDataType
    fields = (await base.read_data_type_definition()).Fields
    for node in await base.get_children(refs=ua.ObjectIds.HasSubtype):
        attributes = ua.DataTypeAttributes(DisplayName=await node.read_display_name())
        encodings = await node.get_references(ua.ObjectIds.HasEncoding, ua.BrowseDirection.Forward)
        definition = ua.StructureDefinition(
            DefaultEncodingId=next(one.NodeId for one in encodings if one.BrowseName.Name == "Default Binary"),
            BaseDataType=base.nodeid,
            StructureType=ua.StructureType.StructureWithOptionalFields,
            Fields=fields,
        )
        attributes.DataTypeDefinition = definition
        await node.write_attribute(ua.AttributeIds.DataTypeDefinition, ua.DataValue(ua.Variant(definition)))
        delattr(ua, attributes.DisplayName.Text)
        await load_custom_struct_xml_import(node.nodeid, attributes)


async def _complete_data_types(server: Server, index: int) -> None:
    """Give variables without a data type the default of the XML schema, which asyncua 2.1 leaves out."""
    space, kind = server.iserver.aspace, ua.AttributeIds.DataType
    for where in [where for where in space.keys() if where.NamespaceIndex == index]:  # noqa: SIM118
        if kind in space[where].attributes and space.read_attribute_value(where, kind).Value.Value.is_null():
            default = ua.Variant(ua.NodeId(ua.ObjectIds.BaseDataType), ua.VariantType.NodeId)
            await server.write_attribute_value(where, ua.DataValue(default), kind)


async def _refuse(parent: ua.NodeId, *arguments: Any) -> ua.StatusCode:
    return ua.StatusCode(ua.StatusCodes.BadNotExecutable)


async def forbid(server: Server, indices: Iterable[int]) -> None:
    """Refuse every method and every write of these namespaces, also on their types."""
    space = server.iserver.aspace
    for where in [where for where in space.keys() if where.NamespaceIndex in indices]:  # noqa: SIM118
        attributes = space[where].attributes
        denied: dict[ua.AttributeIds, ua.Variant] = {
            ua.AttributeIds.Executable: ua.Variant(False),
            ua.AttributeIds.UserExecutable: ua.Variant(False),
            ua.AttributeIds.AccessLevel: ua.Variant(1, ua.VariantType.Byte),
            ua.AttributeIds.UserAccessLevel: ua.Variant(1, ua.VariantType.Byte),
        }
        for attribute in denied.keys() & attributes.keys():
            await server.write_attribute_value(where, ua.DataValue(denied[attribute]), attribute)
        if ua.AttributeIds.Executable in attributes:
            server.iserver.isession.add_method_callback(where, _refuse)


# ------------------------------------------------------------------------------------------------------ state machines


class Transition(NamedTuple):
    """A transition of a type of state machine, and the types of the events that it causes."""

    name: str
    where: ua.NodeId
    before: str
    after: str
    events: list[ua.NodeId]


class States:
    """The states of a type of state machine by name, and the transitions that need no method call."""

    def __init__(self, states: dict[str, ua.NodeId], transitions: list[Transition]) -> None:
        """Take what `read` has read."""
        self.states, self._transitions = states, transitions

    @classmethod
    async def read(cls, server: Server, where: ua.NodeId) -> "States":
        """Read the type from the server's nodes."""
        states: dict[str, ua.NodeId] = {}
        automatic = []
        for one in await server.get_node(where).get_references(ua.ObjectIds.HasComponent, ua.BrowseDirection.Forward):
            if one.TypeDefinition == ua.NodeId(ua.ObjectIds.StateType):
                states[one.BrowseName.Name] = one.NodeId
            elif one.TypeDefinition == ua.NodeId(ua.ObjectIds.TransitionType) and one.BrowseName.Name.endswith("Auto"):
                automatic.append(one)
        names = {number: name for name, number in states.items()}
        transitions = []
        for one in automatic:
            node = server.get_node(one.NodeId)
            ends = [await _targets(node, kind) for kind in (ua.ObjectIds.FromState, ua.ObjectIds.ToState)]
            before, after = (names.get(end[0]) for end in ends)
            if before is not None and after is not None:  # others lead into another state machine
                effects = await _targets(node, ua.ObjectIds.HasEffect)
                transitions.append(Transition(one.BrowseName.Name, one.NodeId, before, after, effects))
        return cls(states, transitions)

    def path(self, before: str, after: str) -> list[Transition]:
        """The shortest way from a state to another: what was passed through between two updates is not known."""
        ways: deque[tuple[str, list[Transition]]] = deque([(before, [])])
        seen = {before}
        while ways:
            state, way = ways.popleft()
            if state == after:
                return way
            for one in self._transitions:
                if one.before == state and one.after not in seen:
                    seen.add(one.after)
                    ways.append((one.after, [*way, one]))
        return []


async def _targets(node: Any, kind: int) -> list[ua.NodeId]:
    return [one.NodeId for one in await node.get_references(kind, ua.BrowseDirection.Forward)]


# ------------------------------------------------------------------------------------------------------ instances


class Child(NamedTuple):
    """A child of a type or of its declaration, with its attributes."""

    name: ua.QualifiedName
    kind: ua.NodeClass
    where: ua.NodeId
    reference: ua.NodeId
    type: ua.NodeId
    is_optional: bool
    attributes: Any


class Instances:
    """Makes instances of types: the mandatory children, and those optional ones that are asked for."""

    def __init__(self, server: Server) -> None:
        """Make nothing yet."""
        self._server = server
        self._children: dict[tuple[ua.NodeId, ua.NodeId], list[Child]] = {}

    async def add(
        self, parent: ua.NodeId, kind: ua.NodeId, where: ua.NodeId, name: ua.QualifiedName, optional: set[str]
    ) -> None:
        """Add an instance of the type `kind` with the string id `where` below `parent`. `optional` has paths of
        optional children below it, such as "ResultManagement.Results".
        """
        is_folder = parent == ua.NodeId(ua.ObjectIds.ObjectsFolder)
        node = self._server.get_node(kind)
        is_object = await node.read_node_class() == ua.NodeClass.ObjectType
        of = ua.NodeClass.Object if is_object else ua.NodeClass.Variable
        reference = ua.NodeId(ua.ObjectIds.Organizes if is_folder else ua.ObjectIds.HasComponent)
        attributes = await self._attributes(node, of)
        attributes.DisplayName = ua.LocalizedText(name.Name)
        await self._add(parent, Child(name, of, kind, reference, kind, False, attributes), where, "", optional)

    async def _add(self, parent: ua.NodeId, child: Child, where: ua.NodeId, path: str, optional: set[str]) -> None:
        item = ua.AddNodesItem(
            ParentNodeId=parent, ReferenceTypeId=child.reference, RequestedNewNodeId=where, BrowseName=child.name,
            NodeClass=child.kind, NodeAttributes=child.attributes, TypeDefinition=child.type,
        )  # fmt: skip
        (result,) = await self._server.iserver.isession.add_nodes([item])
        result.StatusCode.check()
        for one in await self._declared(child.where, child.type):
            below = f"{path}.{one.name.Name}".lstrip(".")
            if not one.is_optional or below in optional:
                name = ua.NodeId(f"{where.Identifier}.{one.name.Name}", where.NamespaceIndex)
                await self._add(where, one, name, below, optional)

    async def _declared(self, declaration: ua.NodeId, kind: ua.NodeId) -> list[Child]:
        """The children that a declaration of this type has: its own ones, then those of the type and its supertypes."""
        if (declaration, kind) in self._children:
            return self._children[declaration, kind]
        found: dict[str, Child] = {}
        for node in dict.fromkeys([declaration, *([] if kind.is_null() else await self._with_supertypes(kind))]):
            for one in await self._server.get_node(node).get_references(
                ua.ObjectIds.Aggregates, ua.BrowseDirection.Forward
            ):
                rules = await _targets(self._server.get_node(one.NodeId), ua.ObjectIds.HasModellingRule)
                if not rules or one.BrowseName.Name in found or one.BrowseName.Name.startswith("<"):
                    continue
                of = one.TypeDefinition if one.NodeClass != ua.NodeClass.Method else ua.NodeId()
                attributes = await self._attributes(self._server.get_node(one.NodeId), one.NodeClass)
                is_optional = rules[0] != ua.NodeId(ua.ObjectIds.ModellingRule_Mandatory)
                found[one.BrowseName.Name] = Child(
                    one.BrowseName, one.NodeClass, one.NodeId, one.ReferenceTypeId, of, is_optional, attributes
                )
        self._children[declaration, kind] = list(found.values())
        return self._children[declaration, kind]

    async def _with_supertypes(self, kind: ua.NodeId) -> list[ua.NodeId]:
        found = [kind]
        while above := await self._server.get_node(found[-1]).get_references(
            ua.ObjectIds.HasSubtype, ua.BrowseDirection.Inverse
        ):
            found.append(above[0].NodeId)
        return found

    async def _attributes(self, node: Any, kind: ua.NodeClass) -> Any:
        """Attributes of an instance of this class, as the declaration `node` has them."""
        made = {
            ua.NodeClass.Object: ua.ObjectAttributes,
            ua.NodeClass.Variable: ua.VariableAttributes,
            ua.NodeClass.Method: ua.MethodAttributes,
        }[kind]()
        names = ["DisplayName", "Description"]
        if kind == ua.NodeClass.Variable:
            names += ["DataType", "ValueRank", "ArrayDimensions", "Value"]
        for name in names:
            said = await node.read_attribute(ua.AttributeIds[name], raise_on_bad_status=False)
            if said.StatusCode.is_good() and said.Value is not None:
                setattr(made, name, said.Value if name == "Value" else said.Value.Value)
        return made
