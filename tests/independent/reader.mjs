// A client of another stack that uses the box's server as its owner would: finds soft sensors by type, hears alarms,
// acknowledges one, asks for a mode. Prints what it found as JSON.
//
// Standard input: {url, certificate, privateKey, applicationUri, scratch, user, password, line}.
import fs from "node:fs";
import {
  AttributeIds, BrowseDirection, ClientMonitoredItem, DataType, MessageSecurityMode, NodeClass, OPCUACertificateManager,
  OPCUAClient, SecurityPolicy, TimestampsToReturn, UserTokenType, constructEventFilter,
} from "node-opcua";

const MVA_MODEL = 2009, HAS_OUTPUT = 4003, HAS_INPUT = 4002, HAS_DATA_SOURCE = 4001;
const told = JSON.parse(fs.readFileSync(0, "utf8"));
const pki = new OPCUACertificateManager({ rootFolder: told.scratch, automaticallyAcceptUnknownCertificate: true });
await pki.initialize();
const client = OPCUAClient.create({
  applicationName: "historian", applicationUri: told.applicationUri, clientCertificateManager: pki,
  certificateFile: told.certificate, privateKeyFile: told.privateKey, securityPolicy: SecurityPolicy.Basic256Sha256,
  securityMode: MessageSecurityMode.SignAndEncrypt, connectionStrategy: { maxRetry: 0 }, requestedSessionTimeout: 30000,
});
await client.connect(told.url);
const session = await client.createSession({ type: UserTokenType.UserName, userName: told.user, password: told.password });
const namespaces = await session.readNamespaceArray();
const adi = namespaces.indexOf("http://opcfoundation.org/UA/ADI/");
const own = namespaces.indexOf("urn:patloop:opcua");

async function browse(nodeId, referenceTypeId = "i=33") {
  const result = await session.browse({
    nodeId, referenceTypeId, includeSubtypes: true, browseDirection: BrowseDirection.Forward, nodeClassMask: 0, resultMask: 63 });
  return result.references ?? [];
}

async function value(nodeId) {
  const found = await session.read({ nodeId, attributeId: AttributeIds.Value });
  return { value: found.value.value, status: found.statusCode.name, sourceMs: found.sourceTimestamp?.getTime() ?? null };
}

async function models(start) {
  const found = [], seen = new Set();
  let front = [start];
  while (front.length > 0) {
    const next = [];
    for (const id of front) {
      for (const ref of await browse(id)) {
        const key = ref.nodeId.toString();
        if (seen.has(key)) continue;
        seen.add(key);
        if (ref.typeDefinition.namespace === adi && ref.typeDefinition.value === MVA_MODEL) found.push(ref);
        if (ref.nodeClass === NodeClass.Object) next.push(key);
      }
    }
    front = next;
  }
  return found;
}

const report = { models: [], events: [] };
for (const model of await models("i=85")) {
  const outputs = await browse(model.nodeId, `ns=${adi};i=${HAS_OUTPUT}`);
  const inputs = await browse(model.nodeId, `ns=${adi};i=${HAS_INPUT}`);
  const parts = Object.fromEntries((await browse(outputs[0].nodeId)).map((ref) => [ref.browseName.name, ref.nodeId]));
  const source = (await browse(`ns=${own};s=${told.line}/ProcessVariables/${model.browseName.name}`, `ns=${adi};i=${HAS_DATA_SOURCE}`))[0];
  report.models.push({
    name: model.browseName.name, outputs: outputs.map((ref) => ref.browseName.name), prediction: await value(outputs[0].nodeId),
    alarmState: (await value(parts.AlarmState)).value, alarmLimits: (await value(parts.AlarmLimits)).value,
    unit: (await value(parts.EngineeringUnits)).value.displayName.text, t2: (await value(parts.T2)).value,
    channels: (await value(inputs[0].nodeId)).value.length, source: source.nodeId.toString() === outputs[0].nodeId.toString(),
  });
}

const subscription = await session.createSubscription2({ requestedPublishingInterval: 100, requestedLifetimeCount: 60,
  requestedMaxKeepAliveCount: 20, maxNotificationsPerPublish: 100, publishingEnabled: true, priority: 1 });
const fields = ["EventId", "ConditionName", "Severity", "Message", "Retain", "ActiveState.Id"];
const eventFilter = constructEventFilter(fields);
const item = ClientMonitoredItem.create(subscription, { nodeId: "i=2253", attributeId: AttributeIds.EventNotifier },
  { filter: eventFilter, queueSize: 100, discardOldest: true }, TimestampsToReturn.Both);
const first = new Promise((heard) => {
  item.on("changed", (values) => {
    const event = Object.fromEntries(fields.map((field, k) => [field, values[k].value]));
    if (event.ConditionName) {
      report.events.push({ name: event.ConditionName, severity: event.Severity, text: event.Message?.text, retain: event.Retain,
                           active: event["ActiveState.Id"] });
      heard(event);
    }
  });
});
await new Promise((ready, no) => { item.on("initialized", ready); item.on("err", (words) => no(new Error(words))); });
process.stdout.write("listening\n");
const event = await Promise.race([first, new Promise((_, no) => setTimeout(() => no(new Error("no event came")), 60000))]);

const condition = `ns=${own};s=${told.line}/Alarms/${event.ConditionName}`;
report.acknowledged = (await session.acknowledgeCondition(condition, event.EventId, "seen from afar")).name;
const text = (words) => ({ dataType: DataType.String, value: words });
const asked = await session.call({ objectId: `ns=${own};s=${told.line}/State`, methodId: `ns=${own};s=${told.line}/State/RequestMode`,
  inputArguments: [text("monitor"), text("asked from afar")] });
report.mode = { status: asked.statusCode.name, record: Number(asked.outputArguments?.[0]?.value?.[1] ?? 0) };
const args = await session.getArgumentDefinition(`ns=${own};s=${told.line}/State/RequestMode`);
report.arguments = args.inputArguments.map((each) => each.name);
process.stdout.write(`${JSON.stringify(report)}\n`);
await session.close();
await client.disconnect();
process.exit(0);
