"""The rig: line, PLC, NIR, laboratory and a scripted operator on one clock, read and written by tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hil_sim.faults import HEALTHY, Conditions, conditions
from hil_sim.handshake import PlcMode
from hil_sim.lab import Laboratory
from hil_sim.line.line import Line, fed_fractions
from hil_sim.line.material import API, Masses
from hil_sim.line.parameters import FEEDERS, LineParameters, ParameterError, load_parameters, scaled
from hil_sim.plain import PLAIN_TAGS, PlainPlc
from hil_sim.plc import Plc
from hil_sim.probe.nir import NirProbe, Presentation
from hil_sim.scenario import Scenario, ScenarioError
from hil_sim.snapshot import snapshot
from hil_sim.tags import FEEDER_MVS, MVS, TAGS, TagValue, Value, check_write

PlcKind = Literal["full", "plain"]
"""Which handshake the line's PLC has: all of it, or request, permit, heartbeat and setpoint."""

NIR_PERIOD_S = 5.0
NOT_ARRIVED = "bad_communication_error"


@dataclass(frozen=True)
class Truth:
    """What only the simulator knows; api_lc_pct is the feed frame's exit in % of the recipe's target."""

    time_s: float
    api_pct: float
    api_lc_pct: float
    target_api_pct: float
    target_throughput_kg_h: float
    tablet_weight_mg: float
    target_weight_mg: float
    hardness_n: float
    thickness_mm: float
    force_kn: float
    throughput_kg_h: float
    diverted: bool
    api_gain: float
    nir_drift: float
    fouling: float
    setpoints: Mapping[str, float]


@dataclass(frozen=True)
class Acquisition:
    """The analyser's last acquisition: counter 0 and no values before the first."""

    counter: int = 0
    end_time_s: float = 0.0
    good: bool = False
    absorbance: tuple[float, ...] = ()


class Rig:
    """One simulated line in one scenario; same scenario, seed and writes give the same run.

    Starts full (of product or of placebo, as the scenario says), feeders in local gravimetric ratio; tags: what its PLC
    has. Raises ScenarioError or ParameterError for wrong files.
    """

    def __init__(
        self, scenario: Scenario, seed: int, line_parameters: Path | None = None,
        start_time_s: float = 1_760_000_000.0, plc: PlcKind = "full",
    ) -> None:
        self.scenario = scenario
        self.parameters = _truth_of(scenario, load_parameters(line_parameters))
        self.start_time_s = self.time_s = start_time_s
        made, self.tags = (Plc, TAGS) if plc == "full" else (PlainPlc, PLAIN_TAGS)
        self.plc = made(self.parameters, start_time_s, reject_when_silent=scenario.gate_when_silent == "reject")
        feeds = tuple(self.plc.slots[name].working for name in FEEDER_MVS)
        holding = _placebo(self.parameters, feeds) if scenario.filled_with == "placebo" else None
        self.line = Line(self.parameters, feeds, seed, holding)
        self.probe = NirProbe(seed)
        self.laboratory = Laboratory(start_time_s, seed, 60.0 * scenario.lab_every_min)
        self.acquisition = Acquisition()
        self.conditions: Conditions = HEALTHY
        self.axis = tuple(float(x) for x in self.probe.axis_nm)
        self._next_nir_s = start_time_s + NIR_PERIOD_S
        self._steps = sorted(scenario.recipe, key=lambda step: step.at_min)
        self._acts = sorted(scenario.operator, key=lambda act: act.at_min)

    @property
    def elapsed_s(self) -> float:
        """Line time since the start, s."""
        return self.time_s - self.start_time_s

    @property
    def finished(self) -> bool:
        """True when the scenario's hours are over."""
        return self.elapsed_s >= 3600.0 * self.scenario.hours

    @property
    def link_up(self) -> bool:
        """False while the network link is dead: whoever plays the controller gets nothing through."""
        return self.conditions.link_up

    def step(self, dt_s: float = 0.5) -> None:
        """Advance everything by dt_s of line time (0.1 to 1 s)."""
        minute = self.elapsed_s / 60.0
        self._disturb(minute)
        self._play_script(minute)
        orders = self.plc.scan(self.time_s, dt_s, self.line)
        self.line.step(dt_s, orders)
        self.time_s += dt_s
        if self.time_s >= self._next_nir_s:
            self._next_nir_s += NIR_PERIOD_S
            self._acquire()
        tablets = self.line.tablets
        self.laboratory.step(
            self.time_s,
            api_pct=100.0 * self.line.fractions[API],
            target_api_pct=self.plc.recipe.api_pct,
            weight_mg=tablets.weight_mg,
            hardness_n=tablets.hardness_n,
            thickness_mm=tablets.thickness_mm,
        )

    def read(self) -> Mapping[str, TagValue]:
        """Every tag that this PLC has, with value, status and source time; a new mapping each call."""
        shown = snapshot(self)
        return shown if self.tags is TAGS else {name: shown[name] for name in self.tags}

    def write(self, tag: str, value: Value, *, user: str) -> str:
        """Write as "edge" or "operator" would over the wire.

        Returns "good", "clamped", "bad_node_unknown", "bad_not_writable", "bad_user_access", "bad_type",
        "bad_out_of_range", "bad_invalid_state" (remote setpoint while not remote, local one while a loop or remote has
        it), "bad_communication_error" (link down).
        """
        if user == "edge" and not self.link_up:
            return NOT_ARRIVED
        if tag not in self.tags:
            return "bad_node_unknown"
        status = check_write(self.tags[tag], value, user)
        if status == "good" and not isinstance(value, tuple):
            return self.plc.write(tag, value)
        if status == "bad_out_of_range" and tag.endswith(".SP_Remote") and isinstance(value, int | float):
            # The PLC must know: the sequence number that follows may not revive the previous setpoint.
            return self.plc.write(tag, value)
        return status

    def truth(self) -> Truth:
        """The true state now."""
        line, plc = self.line, self.plc
        api_pct = 100.0 * line.fractions[API]
        return Truth(
            time_s=self.time_s,
            api_pct=api_pct,
            api_lc_pct=100.0 * api_pct / plc.recipe.api_pct,
            target_api_pct=plc.recipe.api_pct,
            target_throughput_kg_h=plc.recipe.throughput_kg_h,
            tablet_weight_mg=line.tablets.weight_mg,
            target_weight_mg=plc.recipe.tablet_weight_mg,
            hardness_n=line.tablets.hardness_n,
            thickness_mm=line.tablets.thickness_mm,
            force_kn=line.tablets.force_kn,
            throughput_kg_h=line.throughput_kg_h,
            diverted=plc.diverting,
            api_gain=line.api_gain,
            nir_drift=self.conditions.nir_drift,
            fouling=self.conditions.fouling,
            setpoints={mv.name: plc.slots[mv.name].working for mv in MVS},
        )

    def _disturb(self, minute: float) -> None:
        if not self.scenario.fault:
            return
        self.conditions = now = conditions(self.scenario.fault, minute)
        self.line.api_gain = now.api_gain
        self.line.press.force_cell_gain = now.force_gain
        for name in FEEDERS:
            feeder = self.line.feeders[name]
            feeder.flow_factor = now.flow_factors.get(name, 1.0)
            feeder.lot_density = now.lot_densities.get(name, 1.0)
            feeder.weighed_share = now.weighed_shares.get(name, 1.0)
            feeder.setpoint_span = now.setpoint_spans.get(name, 1.0)

    def _play_script(self, minute: float) -> None:
        while self._steps and minute >= self._steps[0].at_min:
            step = self._steps.pop(0)
            self.plc.change_recipe(
                api_pct=step.api_pct, throughput_kg_h=step.throughput_kg_h, tablet_weight_mg=step.tablet_weight_mg
            )
        authority = self.plc.authority
        while self._acts and minute >= self._acts[0].at_min:
            act = self._acts.pop(0)
            if act.action == "reset":
                authority.reset = True
            elif act.action in ("pause", "resume"):
                self.plc.held = act.action == "pause"
            elif act.action == "stop_feeders":
                self.plc.feeders_stopped = True
            elif act.action in ("enable", "disable"):
                authority.operator_enable = act.action == "enable"
        after_s = self.scenario.reset_after_s
        if authority.mode is PlcMode.SHED and after_s is not None:
            rested = self.time_s >= authority.shed_time_s + after_s
            authority.reset = authority.reset or (rested and not authority.request)

    def _acquire(self) -> None:
        self.probe.settle_temperature(NIR_PERIOD_S)
        frame = self.line.feed_frame
        presentation = Presentation(
            density_ratio=frame.density_ratio,
            fill=frame.fill,
            drift=self.probe.installed_bias + self.conditions.nir_drift,
            fouling=self.conditions.fouling,
        )
        absorbance = self.probe.measure(self.line.fractions, presentation)
        if self.conditions.cleaning:
            return
        self.acquisition = Acquisition(
            self.acquisition.counter + 1, self.time_s, True, tuple(float(a) for a in absorbance)
        )


def _truth_of(scenario: Scenario, parameters: LineParameters) -> LineParameters:
    try:
        return scaled(parameters, scenario.scale)
    except ParameterError as error:
        raise ScenarioError(f"scenario '{scenario.name}': scale: {error}") from error


def _placebo(parameters: LineParameters, feeds_kg_h: tuple[float, ...]) -> Masses:
    """The recipe's blend without its API, mass fractions."""
    whole = fed_fractions(parameters, feeds_kg_h)
    return [0.0 if i == API else share / (1.0 - whole[API]) for i, share in enumerate(whole)]
