// A stranger's client: walks a server whole and tries everything that should not work; prints what it found as JSON.
//
// Standard input: {url, serverCertificate (PEM), trusted: {certificate, privateKey}, stranger: {certificate, privateKey},
// applicationUri, users: {name: password}}; certificates and keys are PEM files.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import {
  AttributeIds, ClientSecureChannelLayer, DataType, DataValue, MessageSecurityMode, NodeClass, OPCUAClient,
  OPCUACertificateManager, SecurityPolicy, UserTokenType, Variant,
  ActivateSessionRequest, AnonymousIdentityToken, CallRequest, CreateSessionRequest, FindServersRequest,
  GetEndpointsRequest, ReadRequest, RegisterServerRequest, UserNameIdentityToken, WriteRequest, coerceNodeId,
} from "node-opcua";
import { readCertificate } from "node-opcua-crypto";
import { hasNaN, inBatches, walk, wrongs } from "./walk.mjs";

const told = JSON.parse(fs.readFileSync(0, "utf8"));
const pki = new OPCUACertificateManager({ rootFolder: told.scratch, automaticallyAcceptUnknownCertificate: true });
await pki.initialize();

const once = { maxRetry: 0, initialDelay: 50, maxDelay: 50 };

function client(who, policy, mode) {
  return OPCUAClient.create({
    applicationName: "stranger", applicationUri: told.applicationUri, clientCertificateManager: pki,
    certificateFile: who.certificate, privateKeyFile: who.privateKey, securityPolicy: policy, securityMode: mode,
    connectionStrategy: once, endpointMustExist: false, keepSessionAlive: false, requestedSessionTimeout: 30000,
    defaultTransactionTimeout: 8000, transportTimeout: 5000,
  });
}

function bounded(promise, ms) {
  let timer;
  const late = new Promise((_, no) => { timer = setTimeout(() => no(new Error("no answer")), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Does it let us in? "in", or why not.
async function tried({ who = told.trusted, policy = SecurityPolicy.Basic256Sha256,
                       mode = MessageSecurityMode.SignAndEncrypt, user = null, password = null }) {
  const one = client(who, policy, mode);
  one.on("backoff", () => one.disconnect().catch(() => {}));
  try {
    await bounded(one.connect(told.url), 8000);
    const identity = user === null ? { type: UserTokenType.Anonymous }
      : { type: UserTokenType.UserName, userName: user, password };
    const session = await bounded(one.createSession(identity), 8000);
    await session.close();
    return "in";
  } catch (error) {
    return String(error.message).split("\n")[0].slice(0, 160);
  } finally {
    await bounded(one.disconnect(), 3000).catch(() => {});
  }
}

async function doors() {
  const [name, password] = Object.entries(told.users)[0];
  const none = { policy: SecurityPolicy.None, mode: MessageSecurityMode.None };
  const sign = { mode: MessageSecurityMode.Sign };
  const cases = {
    "known user, trusted certificate": { user: name, password },
    "anonymous": {},
    "anonymous, no security": none,
    "known user, no security": { ...none, user: name, password },
    "known user, signed only": { ...sign, user: name, password },
    "anonymous, signed only": sign,
    "known user, old policy Basic256": { policy: SecurityPolicy.Basic256, user: name, password },
    "known user, untrusted certificate": { who: told.stranger, user: name, password },
    "wrong password": { user: name, password: `${password}x` },
    "no password": { user: name, password: "" },
    "unknown user": { user: "nobody-here", password },
  };
  for (const user of ["admin", "Admin", "root"]) {
    cases[`${user} with its name as password`] = { user, password: user };
    cases[`${user} without a password`] = { user, password: "" };
  }
  const found = {};
  for (const [what, how] of Object.entries(cases)) found[what] = await tried(how);
  return found;
}

async function logged(user) {
  const one = client(told.trusted, SecurityPolicy.Basic256Sha256, MessageSecurityMode.SignAndEncrypt);
  await bounded(one.connect(told.url), 8000);
  const session = await bounded(
    one.createSession({ type: UserTokenType.UserName, userName: user, password: told.users[user] }), 8000);
  return { one, session };
}

// A bare channel, without the courtesy of looking up first what the server offers.
async function channel(securityMode, securityPolicy, patienceMs = 5000) {
  const bare = new ClientSecureChannelLayer({
    securityMode, securityPolicy, connectionStrategy: once, transportTimeout: patienceMs, defaultTransactionTimeout: 3000,
    defaultSecureTokenLifetime: 60000,
    ...(securityMode === MessageSecurityMode.None ? {} : {
      serverCertificate: readCertificate(told.serverCertificate), parent: client(told.trusted, securityPolicy, securityMode),
    }),
  });
  await bounded(new Promise((yes, no) => bare.create(told.url, (error) => (error ? no(error) : yes()))), 8000);
  const ask = (request, token) => bounded(new Promise((yes, no) => {
    if (token) request.requestHeader.authenticationToken = token;
    bare.performMessageTransaction(request, (error, answer) => (error ? no(error) : yes(answer)));
  }), 4000);
  const close = () => bounded(new Promise((done) => bare.close(() => done())), 2000).catch(() => {});
  return { ask, close };
}

const codeOf = (error) => error.response?.responseHeader?.serviceResult?.name ?? String(error.message).split("\n")[0].slice(0, 120);

// Channels that the server does not offer, opened all the same; and a log-in over the unsecured one.
async function channels() {
  const found = {};
  const kinds = {
    "signed only": [MessageSecurityMode.Sign, SecurityPolicy.Basic256Sha256],
    "old policy Basic256": [MessageSecurityMode.SignAndEncrypt, SecurityPolicy.Basic256],
    "old policy Basic128Rsa15": [MessageSecurityMode.SignAndEncrypt, SecurityPolicy.Basic128Rsa15],
  };
  for (const [what, [mode, policy]] of Object.entries(kinds)) {
    found[what] = await channel(mode, policy, 1500).then(async ({ close }) => { await close(); return "open"; }, codeOf);
  }
  const [userName, password] = Object.entries(told.users)[0];
  const identities = {
    "unsecured, anonymous": new AnonymousIdentityToken({ policyId: "anonymous" }),
    "unsecured, known user": new UserNameIdentityToken({ policyId: "username", userName, password: Buffer.from(password) }),
  };
  for (const [what, userIdentityToken] of Object.entries(identities)) {
    const { ask, close } = await channel(MessageSecurityMode.None, SecurityPolicy.None);
    try {
      const made = await ask(new CreateSessionRequest({
        endpointUrl: told.url, sessionName: "bare", requestedSessionTimeout: 20000, clientNonce: randomBytes(32),
        clientDescription: { applicationUri: told.applicationUri, applicationName: { text: "bare" }, applicationType: 1 },
      }));
      await ask(new ActivateSessionRequest({ userIdentityToken }), made.authenticationToken);
      await ask(new ReadRequest({ nodesToRead: [{ nodeId: coerceNodeId("i=2258"), attributeId: AttributeIds.Value }] }),
                made.authenticationToken);
      found[what] = "open";
    } catch (error) {
      found[what] = codeOf(error);
    } finally {
      await close();
    }
  }
  return found;
}

// Through an unsecured channel, with the token of somebody who is logged in, and with tokens that count up.
async function takeover() {
  const { one, session } = await logged(Object.keys(told.users)[0]);
  const tokens = [session.authenticationToken, ...Array.from({ length: 60 }, (_, i) => coerceNodeId(`i=${1000 + i}`))];
  const found = { opened: false, answered: [], registered: "", servers: [], endpoints: [] };
  const { ask, close } = await channel(MessageSecurityMode.None, SecurityPolicy.None);
  found.opened = true;
  try {
    const nodeId = coerceNodeId("i=2258");
    for (const token of tokens) {
      const identity = new AnonymousIdentityToken({ policyId: "anonymous" });
      await ask(new ActivateSessionRequest({ userIdentityToken: identity }), token).catch(() => {});
      const tries = {
        read: new ReadRequest({ nodesToRead: [{ nodeId, attributeId: AttributeIds.Value }] }),
        write: new WriteRequest({ nodesToWrite: [{
          nodeId, attributeId: AttributeIds.Value, value: { value: new Variant({ dataType: DataType.Double, value: 1 }) } }] }),
        call: new CallRequest({ methodsToCall: [{ objectId: coerceNodeId("i=2253"), methodId: coerceNodeId("i=11492") }] }),
      };
      for (const [what, request] of Object.entries(tries)) {
        await ask(request, token).then(() => found.answered.push(`${what} with ${token}`), () => {});
      }
    }
    const evil = { serverUri: "urn:evil", serverNames: [{ text: "evil" }], discoveryUrls: ["opc.tcp://192.0.2.1:4840"],
                   isOnline: true };
    found.registered = await ask(new RegisterServerRequest({ server: evil })).then(() => "Good", codeOf);
    const listed = await ask(new FindServersRequest({ endpointUrl: told.url }));
    found.servers = listed.servers.map((each) => each.applicationUri);
    const offered = await ask(new GetEndpointsRequest({ endpointUrl: told.url }));
    found.endpoints = offered.endpoints.map((each) => ({
      mode: MessageSecurityMode[each.securityMode], policy: each.securityPolicyUri.split("#")[1],
      tokens: each.userIdentityTokens.map((token) => UserTokenType[token.tokenType]),
      said: `${each.server.applicationName.text} ${each.server.productUri} ${each.server.applicationUri}`,
    }));
  } finally {
    await close();
    await session.close().catch(() => {});
    await bounded(one.disconnect(), 3000).catch(() => {});
  }
  return found;
}

async function everything(user) {
  const { one, session } = await logged(user);
  const found = { nodes: 0, variables: 0, methods: 0, readable: 0, nan: [], written: [], taken: [], called: [], other: [],
                  refusals: {} };
  const count = (what, code) => {
    const key = `${what}: ${code.name}`;
    found.refusals[key] = (found.refusals[key] ?? 0) + 1;
  };
  try {
    const seen = await walk(session);
    found.nodes = seen.size;
    const variables = [...seen].filter(([, node]) => node.nodeClass === NodeClass.Variable).map(([id]) => id);
    const methods = [...seen].filter(([, node]) => node.nodeClass === NodeClass.Method).map(([id, node]) => [id, node.parent]);
    found.variables = variables.length;
    found.methods = methods.length;
    const values = await inBatches(variables, (ids) => session.read(
      ids.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value }))));
    const notBad = (code) => (code.value & 0x80000000) === 0;
    values.forEach((value, k) => {
      if (notBad(value.statusCode)) found.readable += 1;
      if (hasNaN(value.value?.value)) found.nan.push(variables[k]);
    });
    for (const what of Object.keys(wrongs(new Variant({ dataType: DataType.Boolean, value: true })))) {
      const own = what === "its own value";
      const thorough = own || what === "NaN"; // the standard's own nodes with these two, a server's with all
      const targets = variables.map((id, k) => [id, values[k].value])
        .filter(([id]) => thorough || !id.startsWith("ns=0;"))
        .filter(([, value]) => !own || (value?.dataType ?? 0) !== 0);
      const codes = await inBatches(targets, (some) => session.write(some.map(([nodeId, value]) => ({
        nodeId, attributeId: AttributeIds.Value, value: new DataValue({ value: own ? value : wrongs(null)[what] }) }))));
      codes.forEach((code, k) => {
        if (notBad(code)) (own ? found.written : found.taken).push({ node: targets[k][0], what, code: code.name });
        else count("write", code);
      });
    }
    // Other attributes: names, access levels and whether it is historised must stand.
    for (const attributeId of [AttributeIds.AccessLevel, AttributeIds.UserAccessLevel, AttributeIds.DisplayName, AttributeIds.Historizing]) {
      const kinds = { [AttributeIds.DisplayName]: [DataType.LocalizedText, { text: "mine" }], [AttributeIds.Historizing]: [DataType.Boolean, true] };
      const [dataType, value] = kinds[attributeId] ?? [DataType.Byte, 255];
      const some = variables.slice(0, 400).concat(variables.slice(-400));
      const codes = await inBatches(some, (ids) => session.write(ids.map((nodeId) => ({
        nodeId, attributeId, value: new DataValue({ value: new Variant({ dataType, value }) }) }))));
      codes.forEach((code, k) => { if (notBad(code)) found.other.push({ node: some[k], what: AttributeIds[attributeId] }); });
    }
    const junk = [[], [new Variant({ dataType: DataType.Double, value: NaN })],
                  [new Variant({ dataType: DataType.String, value: "x".repeat(5000) }), new Variant({ dataType: DataType.Double, value: NaN })]];
    for (const inputArguments of junk) {
      const codes = await inBatches(methods, (some) => session.call(
        some.map(([methodId, objectId]) => ({ objectId, methodId, inputArguments }))).then((all) => all.map((each) => each.statusCode)));
      codes.forEach((code, k) => {
        if (notBad(code)) found.called.push({ node: methods[k][0], given: inputArguments.length });
        else count("call", code);
      });
    }
    const after = await inBatches(variables, (ids) => session.read(
      ids.map((nodeId) => ({ nodeId, attributeId: AttributeIds.Value }))));
    after.forEach((value, k) => { if (hasNaN(value.value?.value)) found.nan.push(`${variables[k]} afterwards`); });
  } finally {
    await session.close().catch(() => {});
    await bounded(one.disconnect(), 3000).catch(() => {});
  }
  return found;
}

const report = { users: {} };
for (const user of Object.keys(told.users)) report.users[user] = await everything(user);
report.takeover = await takeover();
report.channels = await channels();
report.doors = await doors(); // last: wrong passwords make a server wary of whoever tried them
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(0);
