"""Loss-in-weight feeder: screw and hopper physics with the feeder's own gravimetric controller.

Structure: m = ff(W) N with ff(W) = ff_max - exp(-beta W) (ff_max - ff_min) (Metta et al., Processes 2019, 7, 234),
refill in volumetric mode with densification, AR(1) flow noise, screw pulsation, load cell noise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import exp, pi, sin, sqrt
from random import Random

from hil_sim.line.material import LOOSE, PARTS, WATER, Masses
from hil_sim.line.parameters import FeederParameters

MOISTURE_TAU_S = 1800.0
MAX_TRIM = 0.6


class LossInWeightFeeder:
    """One feeder delivering component `component`; steps on line time.

    Public state: hopper_kg (true), weight_kg (what the load cell says), screw_rpm, phase ("gravimetric", "refill",
    "settle"), measured_kg_h (frozen while volumetric), saturated, density (bulk density of the powder in the hopper
    over its reference lot's). Set by faults, 1 when healthy: flow_factor (share of the flow that is left),
    lot_density (density of what a refill brings), weighed_share (share of a change of weight that the load cell
    bears), setpoint_span (how much of a change of setpoint the drive's input makes of it). A setpoint of 0 stops it.
    """

    def __init__(self, parameters: FeederParameters, component: int, setpoint_kg_h: float, seed: str) -> None:
        self._p = parameters
        self._component = component
        self._random = Random(seed)
        p = parameters
        low, high = p.refill_low * p.capacity_kg, p.refill_high * p.capacity_kg
        # A seeded fill level, away from the trigger, de-phases the refills from run to run.
        self.hopper_kg = low + (high - low) * (0.15 + 0.8 * self._random.random())
        self.measured_kg_h = setpoint_kg_h
        self.weight_kg = self.hopper_kg
        self.flow_factor = self.lot_density = self.density = 1.0
        self.weighed_share = self.setpoint_span = 1.0
        self.phase = "gravimetric"
        self.saturated = False
        self.refilled_kg = 0.0
        self.moisture = p.moisture
        self._ff_hat = self.feed_factor(0.5 * (low + high))
        self._trim = self._ff_hat / self.feed_factor(self.hopper_kg) - 1.0
        self.screw_rpm = setpoint_kg_h * 1000.0 / 60.0 / self._ff_hat * (1.0 + self._trim)
        self._densification = 0.0
        self._noise = 0.0
        self._turns = self._random.random()
        self._phase_s = 0.0
        self._frozen_rpm = self.screw_rpm
        self._frozen_setpoint = self._calibrated_at = self._ran_at_kg_h = setpoint_kg_h
        self._borne_kg = 0.0
        self._sent_for = False
        self._weighed_kg = self.hopper_kg
        self._weights: deque[float] = deque()
        self._sum = 0.0
        self._ramp_sum = 0.0
        self._low_kg, self._high_kg = low, high
        self._pace = _pace(p, 0.5)

    @property
    def volumetric(self) -> bool:
        """True while the speed is not corrected by weight (refill, and settling after it)."""
        return self.phase != "gravimetric"

    def feed_factor(self, hopper_kg: float) -> float:
        """Feed factor at a hopper mass, g/rev."""
        p = self._p
        span = p.feed_factor_max_g_rev * (1.0 - p.feed_factor_min_ratio)
        return p.feed_factor_max_g_rev - exp(-p.feed_factor_beta_1_kg * hopper_kg) * span

    def refill_now(self) -> None:
        """Begin a refill with the next step, whatever the hopper holds; one that is on its way goes on as it is."""
        self._sent_for = True

    def step(self, dt_s: float, setpoint_kg_h: float) -> Masses:
        """Advance by dt_s at a mass flow setpoint; returns the delivered kg a component."""
        if dt_s != self._pace.dt_s:
            self._pace = _pace(self._p, dt_s)
        heard_kg_h = self._heard(setpoint_kg_h) if setpoint_kg_h > 0.0 else 0.0
        delivered = self._deliver(dt_s)
        density = self.density
        self._refill(dt_s, heard_kg_h)
        self._weigh(dt_s)
        if setpoint_kg_h > 0.0:
            self._drive(dt_s, heard_kg_h)
            self._ran_at_kg_h = heard_kg_h
        else:
            self._stand()
        parcel = [0.0] * PARTS
        parcel[self._component] = dry = delivered * (1.0 - self.moisture)
        parcel[WATER] += delivered * self.moisture
        if density != 1.0:
            parcel[LOOSE] = dry / self._p.bulk_density_g_ml * (1.0 / density - 1.0)
        return parcel

    def _heard(self, setpoint_kg_h: float) -> float:
        # A wrong span is right at the setpoint where the signal was last calibrated: where it was when the fault began.
        if self.setpoint_span == 1.0:
            self._calibrated_at = setpoint_kg_h
            return setpoint_kg_h
        return self._calibrated_at + self.setpoint_span * (setpoint_kg_h - self._calibrated_at)

    def _stand(self) -> None:
        """At a standstill it weighs nothing; it starts again blind, at the speed it had."""
        if self.screw_rpm > 0.0 and not self.volumetric:
            self._frozen_rpm, self._frozen_setpoint = self.screw_rpm, self._ran_at_kg_h
        if self.phase != "refill":
            self.phase, self._phase_s = "settle", 0.0
        self._forget_weights()
        self.screw_rpm = self.measured_kg_h = 0.0

    def _deliver(self, dt_s: float) -> float:
        p, pace, gauss = self._p, self._pace, self._random.gauss
        self._noise = pace.noise_kept * self._noise + pace.noise_kick * gauss(0.0, 1.0)
        wander = pace.moisture_kick * gauss(0.0, 1.0)
        self.moisture = min(1.0, max(0.0, p.moisture + pace.moisture_kept * (self.moisture - p.moisture) + wander))
        self._turns += self.screw_rpm / 60.0 * dt_s
        pulse = p.pulsation * sin(2.0 * pi * p.flights * self._turns)
        flow_kg_s = self.feed_factor(self.hopper_kg) * self.screw_rpm / 60_000.0
        flow_kg_s *= (1.0 + self._densification) * (1.0 + self._noise + pulse) * self.flow_factor
        flow_kg_s *= self.density
        delivered = min(self.hopper_kg, max(0.0, flow_kg_s * dt_s))
        self.hopper_kg -= delivered
        return delivered

    def _refill(self, dt_s: float, setpoint_kg_h: float) -> None:
        p = self._p
        self._densification *= self._pace.densification_kept
        self._phase_s += dt_s
        sent_for, self._sent_for = self._sent_for, False
        if self.phase == "gravimetric" and (sent_for or self.hopper_kg < self._low_kg):
            self.phase, self._phase_s = "refill", 0.0
            self._frozen_rpm, self._frozen_setpoint = self.screw_rpm, setpoint_kg_h
            self._forget_weights()
        elif self.phase == "refill":
            added = (p.refill_high - p.refill_low) * p.capacity_kg * dt_s / p.refill_s
            if self.lot_density != self.density:
                volume = self.hopper_kg / self.density + added / self.lot_density
                self.density = (self.hopper_kg + added) / volume
            self.hopper_kg += added
            self.refilled_kg += added
            self._densification += p.densify * dt_s / p.refill_s
            if self.hopper_kg >= self._high_kg:
                self.phase, self._phase_s = "settle", 0.0

    def _weigh(self, dt_s: float) -> None:
        # Least-squares slope over a moving window, kept as two running sums so that a step costs the same always.
        self._borne_kg += (1.0 - self.weighed_share) * (self.hopper_kg - self._weighed_kg)
        self._weighed_kg = self.hopper_kg
        weight_g = 1000.0 * (self.hopper_kg - self._borne_kg) + self._random.gauss(0.0, self._p.load_cell_g)
        self.weight_kg = 0.001 * weight_g
        if self.phase == "refill" or (self.phase == "settle" and self._phase_s < self._p.settle_s):
            return
        size = self._pace.window
        if len(self._weights) == size:
            oldest = self._weights.popleft()
            self._ramp_sum -= self._sum - oldest
            self._sum -= oldest
        self._ramp_sum += len(self._weights) * weight_g
        self._sum += weight_g
        self._weights.append(weight_g)
        if len(self._weights) == size:
            slope = (self._ramp_sum - 0.5 * (size - 1) * self._sum) * 12.0 / (size * (size * size - 1.0)) / dt_s
            self.measured_kg_h = -3.6 * slope
            self.phase = "gravimetric"

    def _forget_weights(self) -> None:
        self._weights.clear()
        self._sum = 0.0
        self._ramp_sum = 0.0

    def _drive(self, dt_s: float, setpoint_kg_h: float) -> None:
        p = self._p
        nominal_rpm = setpoint_kg_h * 1000.0 / 60.0 / self._ff_hat
        if self.volumetric:
            scale = setpoint_kg_h / self._frozen_setpoint if self._frozen_setpoint > 0.0 else 0.0
            wanted = self._frozen_rpm * scale
            self._trim = wanted / nominal_rpm - 1.0 if nominal_rpm > 0.0 else self._trim
        else:
            error = 1.0 - self.measured_kg_h / setpoint_kg_h if setpoint_kg_h > 0.0 else 0.0
            if len(self._weights) >= self._pace.window:
                self._trim = min(MAX_TRIM, max(-MAX_TRIM, self._trim + error * dt_s / p.integral_s))
            else:
                error = 0.0
            wanted = nominal_rpm * (1.0 + self._trim + p.gain * error)
        self.saturated = wanted > p.max_rpm
        self.screw_rpm = min(p.max_rpm, max(0.0, wanted))


@dataclass(frozen=True)
class _Pace:
    """What only depends on the step: shares kept and kicks of the noises a step, and weights in the window."""

    dt_s: float
    noise_kept: float
    noise_kick: float
    moisture_kept: float
    moisture_kick: float
    densification_kept: float
    window: int


def _pace(p: FeederParameters, dt_s: float) -> _Pace:
    kept = exp(-dt_s / p.noise_tau_s)
    return _Pace(
        dt_s=dt_s,
        noise_kept=kept,
        noise_kick=sqrt(1.0 - kept * kept) * p.noise_rsd,
        moisture_kept=1.0 - dt_s / MOISTURE_TAU_S,
        moisture_kick=sqrt(2.0 * dt_s / MOISTURE_TAU_S) * p.moisture_sd,
        densification_kept=exp(-dt_s / p.densify_tau_s),
        window=max(4, round(p.window_s / dt_s)),
    )
