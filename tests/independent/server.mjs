// A plant and an analyser behind the second OPC UA stack, with its own DI and ADI nodesets.
//
// First line on standard input: {port, certificate, privateKey, trusted: [DER files], users, scratch, foreign, speed,
// cycleS, tags, plant}; foreign: so many strange namespaces come before ours. Then one command a line:
// {do: "set", plant?, disturb?, apc?, mv?}, {do: "tick", seconds}, {do: "state"}, {do: "drop"}, {do: "hang", ms},
// {do: "end"}; each is answered. speed: line seconds a second, 0: line time goes on by "tick" alone.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import {
  DataType, DataValue, MessageSecurityMode, OPCUACertificateManager, OPCUAServer, SecurityPolicy,
  StatusCodes, Variant, VariantArrayType, coerceLocalizedText, nodesets,
} from "node-opcua";
import { AxisInformation, AxisScaleEnumeration, EUInformation, Range } from "node-opcua-types";
import { Plant } from "./plant.mjs";

const TICK_S = 1;
const QUALITY = { good: StatusCodes.Good, uncertain: StatusCodes.UncertainSensorNotAccurate, bad: StatusCodes.BadDeviceFailure };
const WRITTEN = { good: StatusCodes.Good, clamped: StatusCodes.GoodClamped, refused: StatusCodes.BadUserAccessDenied, range: StatusCodes.BadOutOfRange };
const KINDS = { double: DataType.Double, doubles: DataType.Double, uint32: DataType.UInt32, uint16: DataType.UInt16,
                int32: DataType.Int32, bool: DataType.Boolean, string: DataType.String, datetime: DataType.DateTime };

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = JSON.parse((await lines.next()).value);
const plant = new Plant(told.plant);

function say(what) { process.stdout.write(`${JSON.stringify(what)}\n`); }

function variant(kind, value) {
  const dataType = KINDS[kind];
  if (kind === "doubles") return new Variant({ dataType, arrayType: VariantArrayType.Array, value: Float64Array.from(value) });
  if (kind === "datetime") return new Variant({ dataType, value: new Date(1000 * value) });
  return new Variant({ dataType, value });
}

function shown(tag) {
  const [value, quality, timeS] = plant.tag(tag.name);
  const bad = quality === "bad";
  return new DataValue({
    value: bad ? new Variant({ dataType: DataType.Null }) : variant(tag.kind, value), statusCode: QUALITY[quality],
    sourceTimestamp: new Date(1000 * timeS), serverTimestamp: new Date(),
  });
}

function bind(node, tag) {
  const binding = { timestamped_get: () => shown(tag) };
  if (tag.writer) {
    binding.timestamped_set = async (dataValue) => {
      noteBeat(tag.name);
      return WRITTEN[plant.write(tag.name, dataValue.value.value)];
    };
  }
  node.bindVariable(binding, true);
}

// A namespace before ours, with nothing in it: what another version of the firmware might bring.
function strange(count) {
  return Array.from({ length: count }, (_, i) => {
    const uri = `urn:foreign:${i}`;
    const file = path.join(told.scratch, `foreign${i}.xml`);
    fs.writeFileSync(file, `<?xml version="1.0" encoding="utf-8"?>
<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"><NamespaceUris><Uri>${uri}</Uri></NamespaceUris>
<Models><Model ModelUri="${uri}" Version="1.0" PublicationDate="2020-01-01T00:00:00Z"/></Models></UANodeSet>`);
    return file;
  });
}

function flatTags(addressSpace) {
  const namespace = addressSpace.registerNamespace(told.namespace);
  const root = namespace.addFolder("ObjectsFolder", { browseName: "Plant", nodeId: "s=Plant" });
  const places = {};
  for (const tag of told.tags) {
    const [place, leaf] = tag.name.split(".");
    places[place] ??= namespace.addFolder(root, { browseName: place, nodeId: `s=${place}` });
    const writable = tag.writer === "edge";
    const node = namespace.addVariable({
      componentOf: places[place], browseName: leaf, nodeId: `s=${tag.name}`, dataType: DataType[KINDS[tag.kind]],
      valueRank: tag.kind === "doubles" ? 1 : -1, accessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
      userAccessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
    });
    if (tag.unit) {
      namespace.addVariable({
        propertyOf: node, browseName: { name: "EngineeringUnits", namespaceIndex: 0 }, dataType: "EUInformation",
        value: { dataType: DataType.ExtensionObject, value: new EUInformation({ displayName: coerceLocalizedText(tag.unit), unitId: -1 }) },
      });
    }
    bind(node, writable ? tag : { ...tag, writer: "" });
  }
}

// A spectrometer of ADI: device, channel and stream made from the types of the nodeset.
function spectrometer(addressSpace) {
  const adi = addressSpace.getNamespaceIndex("http://opcfoundation.org/UA/ADI/");
  const di = addressSpace.getNamespaceIndex("http://opcfoundation.org/UA/DI/");
  const namespace = addressSpace.registerNamespace("urn:spectrometer");
  const optionals = told.parameterSet === false ? [] : ["ParameterSet"];
  const make = (type, browseName, componentOf) =>
    addressSpace.findObjectType(type, adi).instantiate({ browseName, componentOf, namespace, optionals });
  const device = make("SpectrometerDeviceType", "NIR7", addressSpace.findNode(`ns=${di};i=5001`));
  const channel = make("AnalyserChannelType", "Channel1", device);
  const stream = make("SpectrometerDeviceStreamType", "Stream1", channel);
  const part = (object, ...names) => names.reduce((node, name) => {
    const found = node.findReferencesExAsObject("HierarchicalReferences").find((each) => each.browseName.name === name);
    if (!found) throw new Error(`no ${name} in ${node.browseName}`);
    return found;
  }, object);
  const groups = { AcquisitionCounter: "AcquisitionData", AcquisitionResultStatus: "AcquisitionData",
                   AcquisitionEndTime: "AcquisitionData", ExecutionCycle: "AcquisitionStatus", IsActive: "AcquisitionStatus",
                   DiagnosticStatus: "Status" };
  const kinds = Object.fromEntries(told.tags.filter((tag) => tag.name.startsWith("Nir.")).map((tag) => [tag.name.slice(4), tag.kind]));
  for (const [name, group] of Object.entries(groups)) bind(part(stream, group, name), { name: `Nir.${name}`, kind: kinds[name] });
  const owner = part(stream, optionals.length > 0 ? "ParameterSet" : "AcquisitionData");
  scaledData(addressSpace, namespace, adi, owner, part(stream, "AcquisitionData"));
  fixed(part(channel, "Status", "ActiveStream"), DataType.String, () => plant.activeStream ?? "Stream1");
  fixed(part(channel, "Status", "DiagnosticStatus"), DataType.Int32, () => plant.channelDiagnostic ?? 0);
  fixed(part(device, "Status", "DiagnosticStatus"), DataType.Int32, () => plant.deviceDiagnostic ?? 0);
  fixed(part(channel, "ChannelStateMachine", "CurrentState"), DataType.LocalizedText, () => coerceLocalizedText(plant.channelState ?? "Operating"));
  fixed(part(device, "AnalyserStateMachine", "CurrentState"), DataType.LocalizedText, () => coerceLocalizedText(plant.deviceState ?? "Operating"));
  const serial = device.findReferencesExAsObject("HierarchicalReferences").find((each) => each.browseName.name === "SerialNumber");
  fixed(serial, DataType.String, () => "SN-4711");
}

function fixed(node, dataType, read) {
  node.bindVariable({ timestamped_get: () => new DataValue({
    value: new Variant({ dataType, value: read() }), sourceTimestamp: new Date(1000 * plant.timeS) }) }, true);
}

// The type leaves open what ScaledData is: here an array over an axis (Part 8).
function scaledData(addressSpace, namespace, adi, owner, group) {
  const plain = group.findReferencesExAsObject("HierarchicalReferences").find((each) => each.browseName.name === "ScaledData");
  addressSpace.deleteNode(plain);
  const axis = told.plant.spectra.axis;
  const node = addressSpace.findVariableType("YArrayItemType").instantiate({
    browseName: { name: "ScaledData", namespaceIndex: adi }, componentOf: owner, namespace, dataType: "Double", valueRank: 1,
    arrayDimensions: [axis.length],
  });
  if (owner !== group) group.addReference({ referenceType: "Organizes", nodeId: node });
  const unit = new EUInformation({ displayName: coerceLocalizedText("nm"), unitId: 0x433435, namespaceUri: "http://www.opcfoundation.org/UA/units/un/cefact" });
  const definition = new AxisInformation({
    engineeringUnits: unit, eURange: new Range({ low: axis[0], high: axis[axis.length - 1] }), title: coerceLocalizedText("wavelength"),
    axisScaleType: AxisScaleEnumeration.Linear, axisSteps: Float64Array.from(axis),
  });
  node.getPropertyByName("XAxisDefinition").setValueFromSource({ dataType: DataType.ExtensionObject, value: definition });
  bind(node, { name: "Nir.ScaledData", kind: "doubles" });
}

const pki = new OPCUACertificateManager({ rootFolder: path.join(told.scratch, "pki"), automaticallyAcceptUnknownCertificate: false });
await pki.initialize();
for (const file of told.trusted) await pki.trustCertificate(fs.readFileSync(file));

const server = new OPCUAServer({
  port: told.port, hostname: "127.0.0.1", alternateHostname: "127.0.0.1", allowAnonymous: false,
  certificateFile: told.certificate, privateKeyFile: told.privateKey, serverCertificateManager: pki,
  serverInfo: { applicationUri: told.applicationUri, applicationName: { text: "plant of another stack" } },
  securityPolicies: [SecurityPolicy.Basic256Sha256], securityModes: [MessageSecurityMode.SignAndEncrypt],
  nodeset_filename: [nodesets.standard, ...strange(told.foreign ?? 0), nodesets.di, nodesets.adi],
  userManager: { isValidUser: (name, password) => told.users[name] !== undefined && told.users[name] === password },
  disableDiscovery: false,
});
await server.initialize();
const addressSpace = server.engine.addressSpace;
flatTags(addressSpace);
spectrometer(addressSpace);
await server.start();

// Line time stands still a little when the service's next heartbeat is late, so that a slow machine is no fault.
let beatWall = Date.now(), beatLineS = 0;
function noteBeat(name) {
  if (name === "Apc.HeartbeatIn") { beatWall = Date.now(); beatLineS = plant.elapsedS; }
}
const ticking = told.speed > 0 && setInterval(() => {
  const waiting = plant.apc.ModeRequest > 0 && plant.elapsedS - beatLineS >= 1.4 * told.cycleS && Date.now() - beatWall < 1500;
  if (!waiting) plant.tick();
}, (1000 * TICK_S) / told.speed);

function state() {
  return {
    timeS: plant.timeS, remote: plant.remote, mode: plant.mode, shedReason: plant.shedReason, apiPct: plant.apiPct,
    apc: plant.apc, counter: plant.acquisition.counter, accepted: plant.accepted.length,
    working: Object.fromEntries(Object.values(plant.mvs).map((mv) => [mv.name, mv.working])),
    remoteSp: Object.fromEntries(Object.values(plant.mvs).map((mv) => [mv.name, mv.remote])),
    sessions: server.engine.currentSessionCount, subscriptions: server.engine.currentSubscriptionCount,
  };
}

const verbs = {
  set: ({ plant: own, disturb, apc, mv }) => {
    Object.assign(plant, own);
    if (disturb) plant.disturb = disturb;
    Object.assign(plant.apc, apc);
    for (const [name, values] of Object.entries(mv ?? {})) Object.assign(plant.mvs[name], values);
  },
  state: () => {},
  tick: ({ seconds }) => { for (let i = 0; i < seconds; i += 1) plant.tick(); },
  drop: () => { for (const endpoint of server.endpoints) endpoint.abruptlyInterruptChannels?.(); },
  hang: ({ ms }) => { const until = Date.now() + ms; while (Date.now() < until); },
};

say({ ready: true, url: `opc.tcp://127.0.0.1:${told.port}` });
for await (const line of lines) {
  const asked = JSON.parse(line);
  if (asked.do === "end") break;
  try {
    verbs[asked.do](asked);
    say({ done: asked.do, ...state() });
  } catch (error) {
    say({ failed: asked.do, why: String(error.message) });
  }
}
if (ticking) clearInterval(ticking);
await server.shutdown(100);
process.exit(0);
