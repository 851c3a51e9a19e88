// The plant behind the second stack's server: setpoints, handshake, material and an analyser, in line time.
//
// Written from the tag list alone (no code of the product or of its own simulator): what a supplier's PLC might do.

const WATCHDOG_S = 20;
const WINDOW = 20; // a sequence number counts when it is 1 to this many above the last accepted one
const SHED = { none: 0, watchdog: 1, operator: 2, quality: 3, invalid: 4, interlock: 5, deviation: 6, session: 7 };
const MODE = { local: 0, advisory: 1, remote: 2, shed: 3 };
const FLAG = { remote: 1, high: 2, low: 4, rate: 8, notInvited: 16 };

export class Plant {
  constructor({ mvs, spectra, startS }) {
    this.mvs = Object.fromEntries(mvs.map((mv) => [mv.name, {
      ...mv, remote: mv.start, target: mv.start, local: mv.start, working: mv.start, pv: mv.start, written: false,
      bad: false, seq: 0, echo: 0, flags: FLAG.notInvited, hopper: 10,
    }]));
    this.spectra = spectra;
    this.startS = startS;
    this.elapsedS = 0;
    this.apc = { HeartbeatIn: 0, SessionId: 0, ModeRequest: 0, Request: false, OperatorEnable: true, Reset: false,
                 DivertRequest: false, ConfigHash: "", ModelVersion: "" };
    this.mode = MODE.local;
    this.shedReason = SHED.none;
    this.beat = { value: 0, atS: -1e9 };
    this.armed = true;
    this.heartbeatStopped = false;
    this.ignoring = false;
    this.refusing = false;
    this.loss = 0; // share of the API that is weighed but not delivered
    this.apiPct = 10;
    this.acquisition = { counter: 0, values: null, endS: startS, result: 1, cycle: 16, active: true, diagnostic: 0, quality: "good" };
    this.disturb = {};
    this.accepted = [];
    this.member = 0;
  }

  get timeS() { return this.startS + this.elapsedS; }

  get remote() { return this.mode === MODE.remote; }

  get permit() { return this.apc.OperatorEnable && this.mode !== MODE.shed; }

  get watchdogOk() { return this.apc.HeartbeatIn !== 0 && this.elapsedS - this.beat.atS <= WATCHDOG_S; }

  // One second of the line.
  tick() {
    this.elapsedS += 1;
    if (this.apc.HeartbeatIn !== this.beat.value) this.beat = { value: this.apc.HeartbeatIn, atS: this.elapsedS };
    this.authority();
    for (const mv of Object.values(this.mvs)) this.move(mv);
    this.mix();
    if (this.elapsedS % 5 === 0) this.acquire();
  }

  authority() {
    if (!this.apc.Request) this.armed = true;
    if (this.mode === MODE.remote) {
      if (this.sessionChanged) this.shed(SHED.session);
      else if (!this.watchdogOk) this.shed(SHED.watchdog);
      else if (!this.apc.OperatorEnable) this.shed(SHED.operator);
      else if (!this.apc.Request || this.apc.ModeRequest !== 2) { this.mode = MODE.advisory; this.armed = !this.apc.Request; }
    } else if (this.mode === MODE.shed) {
      if (this.apc.Reset && !this.apc.Request) { this.mode = MODE.local; this.shedReason = SHED.none; }
    } else {
      const alive = this.watchdogOk && this.apc.ModeRequest >= 1;
      this.mode = alive ? MODE.advisory : MODE.local;
      if (alive && this.apc.Request && this.armed && this.permit && this.apc.ModeRequest === 2) this.invite();
    }
    this.sessionChanged = false;
    this.apc.Reset = false;
  }

  invite() {
    this.mode = MODE.remote;
    this.armed = false;
    for (const mv of Object.values(this.mvs)) Object.assign(mv, { remote: mv.working, target: mv.working, written: false, bad: false });
  }

  shed(reason) {
    this.mode = MODE.shed;
    this.shedReason = reason;
    this.armed = false;
    for (const mv of Object.values(this.mvs)) mv.target = mv.local = mv.working;
  }

  move(mv) {
    if (this.remote && mv.bad) this.shed(SHED.invalid);
    mv.bad = false;
    if (this.remote && mv.written && !this.ignoring) {
      const ahead = mv.seq - mv.echo;
      if (ahead >= 1 && ahead <= WINDOW && Math.abs(mv.remote - mv.working) <= mv.devLimit) {
        mv.echo = mv.seq;
        mv.target = mv.remote;
        this.accepted.push([mv.name, mv.seq, mv.remote]);
      }
    }
    mv.written = false;
    const goal = this.remote ? mv.target : this.mode === MODE.shed ? mv.working : mv.local;
    const wanted = Math.min(mv.high, Math.max(mv.low, goal));
    const next = Math.min(mv.working + mv.rate, Math.max(mv.working - mv.rate, wanted));
    mv.flags = (this.remote ? FLAG.remote : FLAG.notInvited) | (goal > mv.high ? FLAG.high : 0) | (goal < mv.low ? FLAG.low : 0)
      | (next === wanted ? 0 : FLAG.rate);
    mv.working = next;
    if (this.remote) mv.local = next;
    mv.pv += (mv.working - mv.pv) / mv.lagS + 0.001 * mv.working * gauss();
  }

  mix() {
    const feeders = Object.values(this.mvs).filter((mv) => mv.feeder);
    const delivered = (mv) => mv.pv * (mv.feeder === "api" ? 1 - this.loss : 1);
    const total = feeders.reduce((sum, mv) => sum + delivered(mv), 0);
    const api = feeders.filter((mv) => mv.feeder === "api").reduce((sum, mv) => sum + delivered(mv), 0);
    this.apiPct += ((100 * api) / total - this.apiPct) / 150; // blender and feed frame as one tank
  }

  // A new spectrum every five line seconds, as the analyser's own fault settings have it.
  acquire() {
    const faults = this.disturb;
    if (faults.stall) return;
    const one = this.acquisition;
    one.counter += 1 + (faults.skip ?? 0);
    faults.skip = 0;
    one.endS = this.timeS - 2 + (faults.timeOffsetS ?? 0);
    one.result = faults.result ?? 1;
    one.cycle = faults.cycle ?? 16;
    one.active = faults.active ?? true;
    one.diagnostic = faults.diagnostic ?? 0;
    one.quality = faults.quality ?? "good";
    if (faults.freeze && one.values) return;
    one.values = shaped(this.spectrum(), faults.shape);
  }

  // Between the two neighbouring levels of a table of spectra; each time another of its members.
  spectrum() {
    const { levels, members } = this.spectra;
    const place = Math.min(levels.length - 1.000001, Math.max(0, (this.apiPct - levels[0]) / (levels[1] - levels[0])));
    const low = Math.floor(place), share = place - low;
    this.member = (this.member + 1) % members[0].length;
    const below = members[low][this.member], above = members[low + 1][this.member];
    return below.map((value, i) => value + share * (above[i] - value));
  }

  // What a client's write becomes: "good", "clamped", "refused", "range".
  write(name, value) {
    const [place, leaf] = name.split(".");
    if (this.refusing && leaf.startsWith("SP_")) return "refused";
    if (typeof value === "number" && !Number.isFinite(value)) {
      if (this.mvs[place]) this.mvs[place].bad = true;
      return "range";
    }
    if (place === "Apc") {
      if (leaf === "SessionId" && value !== this.apc.SessionId) this.begin();
      this.apc[leaf] = value;
      return "good";
    }
    const mv = this.mvs[place];
    if (leaf === "RefillRequest") return this.remote ? "good" : "refused"; // taken, and fallen back at once
    if (leaf === "SP_RemoteSeq") { mv.seq = value; mv.written = true; return "good"; }
    if (value < mv.euLow || value > mv.euHigh) { mv.bad = true; return "range"; }
    mv.remote = value;
    return value < mv.low || value > mv.high ? "clamped" : "good";
  }

  begin() {
    this.sessionChanged = true;
    this.beat = { value: this.apc.HeartbeatIn, atS: -1e9 };
    for (const mv of Object.values(this.mvs)) Object.assign(mv, { seq: 0, echo: 0, written: false, bad: false });
  }

  // The value of a tag: [value, quality, source time].
  tag(name) {
    const [place, leaf] = name.split(".");
    const now = this.timeS;
    if (this.mvs[place]) return [this.loop(this.mvs[place], leaf), "good", now];
    if (place === "Nir") return this.stream(leaf);
    if (place === "Apc") return [this.shake(leaf), "good", now];
    const plain = {
      "Line.Time": now, "Line.State": 6, "Line.BatchId": "B-0001", "Recipe.ApiPct": 10, "Recipe.ThroughputKgH": 20,
      "Recipe.TabletWeightMg": 250, "Gate.Diverting": false, "Press.FillDepthMm": 8, "Press.TurretRpm": 37.04,
      "Press.HopperLevelPct": 60, "Press.ThicknessMm": 4.1, "Lab.ResultCounter": 0, "Lab.SampleId": "",
      "Lab.SampleTime": now, "Lab.ResultTime": now,
    };
    return [plain[name] ?? 0, "good", now];
  }

  loop(mv, leaf) {
    const of = {
      SP_Remote: mv.remote, SP_RemoteSeq: mv.seq, SP_SeqEcho: mv.echo, SP_Local: mv.local, SP_Working: mv.working,
      SP_LoLim: mv.low, SP_HiLim: mv.high, SP_RateLim: mv.rate, LimitFlags: mv.flags, BkCal: mv.working, Available: true,
      DevLimit: mv.devLimit, PV: mv.pv, HopperKg: mv.hopper, ScrewRpm: mv.pv * mv.rpmPerKgH, Refilling: false,
      Volumetric: false, RefillRequest: false,
    };
    return of[leaf];
  }

  shake(leaf) {
    const of = {
      HeartbeatOut: this.heartbeatStopped ? 7 : this.elapsedS, WatchdogTimeoutMs: 1000 * WATCHDOG_S,
      WatchdogOk: this.watchdogOk, Permit: this.permit, RemoteActive: this.remote, Mode: this.mode,
      ShedReason: this.shedReason, ShedTime: this.timeS,
    };
    return leaf in of ? of[leaf] : this.apc[leaf];
  }

  stream(leaf) {
    const one = this.acquisition;
    const of = {
      AcquisitionCounter: one.counter, AcquisitionResultStatus: one.result, AcquisitionEndTime: one.endS,
      ExecutionCycle: one.cycle, IsActive: one.active, DiagnosticStatus: one.diagnostic, ScaledData: one.values ?? [],
      Axis: this.spectra.axis, AxisUnit: "nm",
    };
    const quality = leaf === "ScaledData" ? (one.values ? one.quality : "bad") : "good";
    return [of[leaf], quality, leaf.startsWith("Axis") ? this.startS : one.endS];
  }
}

function shaped(values, shape) {
  const made = [...values];
  if (shape === "nan") made[60] = NaN;
  if (shape === "inf") made[60] = Infinity;
  if (shape === "spike") made[60] += 1;
  if (shape === "shift") return made.map((value) => value + 0.8);
  if (shape === "short") return made.slice(0, 100);
  if (shape === "empty") return [];
  return made;
}

function gauss() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
