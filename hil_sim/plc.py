"""The line's PLC: level-1 loops, clamps, interlocks, watchdog and the remote handshake, on line time."""

from __future__ import annotations

from dataclasses import dataclass

from hil_sim.handshake import Authority, PlcMode, Shed
from hil_sim.line.line import Line, Orders
from hil_sim.line.parameters import FEEDERS, LineParameters
from hil_sim.press_loops import LEVEL_HIGH_PCT, LEVEL_LOW_PCT, LOOP_DRIVEN, PressLoops
from hil_sim.setpoints import SATURATED, SetpointSlot, Verdict
from hil_sim.tags import FEEDER_MVS, MVS

REFUSALS_TO_SHED = 3
FORCE_TRIP_KN = 20.0
FORCE_TRIP_S = 5.0
FORCE_FILTER_S = 1.6  # one revolution at 37 rpm
REFILL_EARLY = 0.5  # of what a refill brings: a feeder that still holds more of it is not refilled before its time
FORCE_EXPONENT = 7.0  # d ln F / d ln W of the reference tablet at constant thickness


@dataclass
class Recipe:
    """What the recipe asks for; owned by the line, changed by operator or scenario."""

    api_pct: float
    throughput_kg_h: float
    tablet_weight_mg: float


class Plc:
    """Setpoint slots, handshake and press loops; scan() turns what the line measures into orders.

    Gate policy: without a live controller the material stays on the feeders' ratio. A divert request that was active
    when the controller died stays active (fail-safe); with reject_when_silent the gate also diverts from when a
    controller in charge fell silent until it is heard again.
    While held (a pause), feeders, blender and press stand still and every setpoint stays where it is. With the feeders
    stopped the rest goes on.
    A feeder refills by itself at its low level, always; before that when it is asked to, in remote, while it weighs and
    every other feeder does, too. What is asked holds for one scan.
    The press's handles are its own until a remote setpoint of theirs is accepted (see PressLoops). So an operator's
    local setpoint is taken for Thickness, but bad_invalid_state for FillDepth and TurretSpeed: a loop has them.
    """

    def __init__(
        self, parameters: LineParameters, start_time_s: float, *, reject_when_silent: bool = False
    ) -> None:
        self.reject_when_silent = reject_when_silent
        self._p = parameters
        r = parameters.recipe
        self.recipe = Recipe(r.api_pct, r.throughput_kg_h, r.tablet_weight_mg)
        self.authority = Authority(start_time_s)
        self.press = PressLoops(parameters)
        recipe_slots = {mv.name: SetpointSlot(mv, self._recipe_setpoints()[mv.name]) for mv in MVS}
        self._recipe_slots = tuple(recipe_slots.values())
        self.slots = {**recipe_slots, **self.press.slots}
        self.divert_request = False
        self.diverting = False
        self.held = self.feeders_stopped = False
        self.refill_asked: set[str] = set()
        self.force_kn = r.main_force_kn
        self.level_pct = parameters.chute.level_pct
        self._force_high_s = 0.0
        self._refused = dict.fromkeys(self.slots, 0)

    def write(self, tag: str, value: float | int | bool | str) -> str:
        """Take a checked write; returns its status ("good", "clamped", "bad_invalid_state", "bad_out_of_range")."""
        name, _, part = tag.partition(".")
        if name == "Apc":
            return self._write_authority(part, value)
        if name == "Recipe":
            return self._write_recipe(part, float(value))
        return self._write_slot(self.slots[name], part, value)

    def change_recipe(
        self, *, api_pct: float | None = None, throughput_kg_h: float | None = None,
        tablet_weight_mg: float | None = None,
    ) -> None:
        """Step the recipe; local setpoints follow (rate limited) unless a controller is in charge."""
        recipe = self.recipe
        recipe.api_pct = recipe.api_pct if api_pct is None else api_pct
        recipe.throughput_kg_h = recipe.throughput_kg_h if throughput_kg_h is None else throughput_kg_h
        recipe.tablet_weight_mg = recipe.tablet_weight_mg if tablet_weight_mg is None else tablet_weight_mg
        if self.authority.mode in (PlcMode.LOCAL, PlcMode.ADVISORY):
            for name, setpoint in self._recipe_setpoints().items():
                self.slots[name].local = setpoint

    def scan(self, time_s: float, dt_s: float, line: Line) -> Orders:
        """One PLC scan: measure, decide who is in control, move setpoints, run the press loops."""
        tablets, press = line.tablets, self.press
        share = min(1.0, dt_s / FORCE_FILTER_S)
        if not self.held:
            self.force_kn += share * (tablets.measured_force_kn - self.force_kn)
        self.level_pct = line.chute.measure_level_pct()
        self._force_high_s = self._force_high_s + dt_s if self.force_kn > FORCE_TRIP_KN else 0.0
        was_remote = self.authority.remote_active
        self.authority.step(time_s, interlocks_ok=self.interlocks_ok)
        if self.authority.remote_active and not was_remote:
            self._enter_remote()
        elif self.authority.remote_active:
            self._judge(time_s)
        silent = self.authority.mode is PlcMode.SHED and not self.authority.watchdog_ok
        self.diverting = self.divert_request or (self.reject_when_silent and silent)
        self._refill(line)
        line.blender.rpm = 0.0 if self.held else self._p.blender.rpm
        if self.held:
            return Orders((0.0, 0.0, 0.0, 0.0), 0.0, press.fill_depth_mm, press.thickness_mm)
        self._move_setpoints(dt_s, line)
        short_kn = self.slots["MainForce"].working - self.force_kn
        press.step(dt_s, self.authority.mode, force_short_kn=short_kn, level_pct=self.level_pct)
        api, mcc, lac, mgst = (0.0 if self.feeders_stopped else self.slots[name].working for name in FEEDER_MVS)
        return Orders((api, mcc, lac, mgst), press.turret_rpm, press.fill_depth_mm, press.thickness_mm)

    @property
    def interlocks_ok(self) -> bool:
        """Force below its trip and powder in the press hopper between its limits."""
        return self._force_high_s < FORCE_TRIP_S and LEVEL_LOW_PCT < self.level_pct < LEVEL_HIGH_PCT

    def _enter_remote(self) -> None:
        self._refused = dict.fromkeys(self.slots, 0)
        self.press.release(self.level_pct)  # one remote period may follow another within a pause, unseen by the loops
        for slot in self.slots.values():
            slot.initialise_remote()

    def _judge(self, time_s: float) -> None:
        for name, slot in self.slots.items():
            verdict = slot.judge()
            if verdict is Verdict.ACCEPTED:
                self._refused[name] = 0
                if name in self.press.slots:
                    self.press.accept(name)
            elif verdict in (Verdict.INVALID, Verdict.DEVIATION):
                self._refused[name] += 1
                if self._refused[name] >= REFUSALS_TO_SHED:
                    reason = Shed.SETPOINT_INVALID if verdict is Verdict.INVALID else Shed.DEVIATION
                    self.authority.shed(reason, time_s)

    def _move_setpoints(self, dt_s: float, line: Line) -> None:
        mode = self.authority.mode
        for slot in self._recipe_slots:
            if mode is PlcMode.REMOTE:
                slot.follow_remote(dt_s)
            elif mode is PlcMode.SHED:
                slot.hold()
            else:
                slot.follow_local(dt_s)
        for name, feeder in zip(FEEDER_MVS, FEEDERS, strict=True):
            if line.feeders[feeder].saturated:
                self.slots[name].flags |= SATURATED

    def _refill(self, line: Line) -> None:
        """Send for the refill that was asked for, one at most, if it may be now; nothing asked is kept."""
        asked, self.refill_asked = self.refill_asked, set()
        if not self.authority.remote_active or self.held or any(f.volumetric for f in line.feeders.values()):
            return
        for name, key in zip(FEEDER_MVS, FEEDERS, strict=True):
            p, feeder = self._p.feeders[key], line.feeders[key]
            early_kg = p.capacity_kg * (p.refill_low + REFILL_EARLY * (p.refill_high - p.refill_low))
            if name in asked and feeder.weight_kg <= early_kg:
                feeder.refill_now()
                return

    def _recipe_setpoints(self) -> dict[str, float]:
        fixed, recipe = self._p.recipe, self.recipe
        flow = recipe.throughput_kg_h
        rest = flow * (1.0 - (recipe.api_pct + fixed.mgst_pct) / 100.0)
        parts = fixed.mcc_parts + fixed.lac_parts
        return {
            "FeederApi": flow * recipe.api_pct / 100.0,
            "FeederMcc": rest * fixed.mcc_parts / parts,
            "FeederLac": rest * fixed.lac_parts / parts,
            "FeederMgst": flow * fixed.mgst_pct / 100.0,
            "MainForce": fixed.main_force_kn * (recipe.tablet_weight_mg / fixed.tablet_weight_mg) ** FORCE_EXPONENT,
        }

    def _write_authority(self, part: str, value: float | int | bool | str) -> str:
        authority = self.authority
        if part == "SessionId":
            if int(value) != authority.session_id:
                for slot in self.slots.values():
                    slot.start_session()
            authority.start_session(int(value))
        elif part == "DivertRequest":
            self.divert_request = bool(value)
        else:
            names = {
                "HeartbeatIn": "heartbeat_in", "ModeRequest": "mode_request", "Request": "request",
                "OperatorEnable": "operator_enable", "Reset": "reset", "ConfigHash": "config_hash",
                "ModelVersion": "model_version",
            }
            setattr(authority, names[part], value)
        return "good"

    def _write_recipe(self, part: str, value: float) -> str:
        if part == "ApiPct":
            self.change_recipe(api_pct=value)
        elif part == "ThroughputKgH":
            self.change_recipe(throughput_kg_h=value)
        else:
            self.change_recipe(tablet_weight_mg=value)
        return "good"

    def _write_slot(self, slot: SetpointSlot, part: str, value: float | int | bool | str) -> str:
        number = float(value)
        if part == "RefillRequest":
            if value and not self.authority.remote_active:
                return "bad_invalid_state"
            (self.refill_asked.add if value else self.refill_asked.discard)(slot.spec.name)
            return "good"
        if part == "SP_Remote":
            return slot.write_remote(number) if self.authority.remote_active else "bad_invalid_state"
        if part == "SP_RemoteSeq":
            if not self.authority.remote_active:
                return "bad_invalid_state"
            slot.write_sequence(int(value))
        elif part == "SP_Local":
            if self.authority.remote_active or slot.spec.name in LOOP_DRIVEN:
                return "bad_invalid_state"
            if not slot.low <= number <= slot.high:
                return "bad_out_of_range"
            slot.local = number
        elif part == "SP_LoLim":
            if not slot.spec.low <= number <= slot.high:
                return "bad_out_of_range"
            slot.low = number
        elif part == "SP_HiLim":
            if not slot.low <= number <= slot.spec.high:
                return "bad_out_of_range"
            slot.high = number
        return "good"
