// Reads the station line1 of edge-plc with node-opcua: node read.mjs ENDPOINT EVENTS PATH...
// Prints a line of JSON for the objects of VisionSystemType, for each PATH below the station, for a call of Halt, when it has
// subscribed, and for each of EVENTS events of ResultReadyEventType or a subtype; then ends.
import { AttributeIds, OPCUAClient, TimestampsToReturn, constructEventFilter, ofType } from "node-opcua-client";

const [endpoint, events, ...paths] = process.argv.slice(2);
const say = (kind, said) => console.log(JSON.stringify({ kind, ...said }));
const kindOf = (value) => (value === null || value === undefined ? null : value.constructor.name);

const client = OPCUAClient.create({
  endpointMustExist: false,
  connectionStrategy: { maxRetry: 100, initialDelay: 200, maxDelay: 1000 },
});
await client.connect(endpoint);
const session = await client.createSession();
const namespaces = await session.readNamespaceArray();
const ours = namespaces.indexOf("urn:edge-inspect:vision");
const theirs = namespaces.indexOf("http://opcfoundation.org/UA/MachineVision");
const id = (path) => `ns=${ours};s=line1${path && "."}${path}`;

const { references } = await session.browse("ObjectsFolder");
const systems = references.filter((one) => one.typeDefinition.toString() === `ns=${theirs};i=1003`);
say("systems", { names: systems.map((one) => one.browseName.name) });

for (const path of paths) {
  const { statusCode, value } = await session.read({ nodeId: id(path), attributeId: AttributeIds.Value });
  say("value", { path, status: statusCode.name, type: kindOf(value.value), value: value.value });
}

const call = await session.call({ objectId: id("VisionStateMachine"), methodId: id("VisionStateMachine.Halt") });
say("call", { status: call.statusCode.name });

const subscription = await session.createSubscription2({
  requestedPublishingInterval: 50,
  requestedLifetimeCount: 1000,
  requestedMaxKeepAliveCount: 10,
  maxNotificationsPerPublish: 0,
  publishingEnabled: true,
  priority: 1,
});
const names = ["ResultId", "PartId", "ResultState", "IsSimulated", "InternalRecipeId", "ProcessingTimes", "CreationTime"];
const fields = [...names.map((name) => `${theirs}:${name}`), `${ours}:Number`, `${ours}:Code`];
const item = await subscription.monitor(
  { nodeId: "Server", attributeId: AttributeIds.EventNotifier },
  { samplingInterval: 10, discardOldest: true, queueSize: 100, filter: constructEventFilter(fields, ofType(`ns=${theirs};i=1024`)) },
  TimestampsToReturn.Both,
);
let came = 0;
item.on("changed", async (values) => {
  say("event", Object.fromEntries(fields.map((field, at) => [field.split(":")[1], values[at].value])));
  came += 1;
  if (came === Number(events)) {
    await client.disconnect();
    process.exit(0);
  }
});
say("subscribed", {});
