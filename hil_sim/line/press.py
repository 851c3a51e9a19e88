"""Rotary press: die filling, Kawakita compaction, Ryshkewitch-Duckworth strength, ejection."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, pi, sqrt
from random import Random

from hil_sim.line.parameters import PressParameters

FORCE_CEILING_KN = 80.0


@dataclass(frozen=True)
class Tablets:
    """The tablets of one step: true means, and what the force cells say."""

    count: float
    weight_mg: float
    force_kn: float
    hardness_n: float
    thickness_mm: float
    ejection_n: float
    measured_force_kn: float
    measured_force_sd_kn: float


class Press:
    """Turret, fill depth and thickness follow their orders with a lag; step() presses the tablets of dt_s.

    force_cell_gain is set by faults: what the force cell says over what it feels.
    """

    def __init__(self, parameters: PressParameters, api_pct: float, seed: str) -> None:
        self._p = parameters
        self._random = Random(seed)
        self._api_reference_pct = api_pct
        self.turret_rpm = parameters.turret_rpm
        self.fill_depth_mm = parameters.fill_depth_mm
        self.min_thickness_mm = parameters.min_thickness_mm
        self._running_s = 0.0
        self.force_cell_gain = 1.0

    def follow(self, dt_s: float, turret_rpm: float, fill_depth_mm: float, thickness_mm: float | None = None) -> None:
        """Move turret, filling cam and pressure roll towards their orders (limits, lag, resolution).

        thickness_mm: least distance of the punches, taken in the drive's steps; None leaves it as it is.
        """
        p = self._p
        turret = min(p.turret_max_rpm, max(0.0, turret_rpm))
        self.turret_rpm += (1.0 - exp(-dt_s / p.turret_tau_s)) * (turret - self.turret_rpm)
        depth = min(p.fill_max_mm, max(p.fill_min_mm, fill_depth_mm))
        self.fill_depth_mm += (1.0 - exp(-dt_s / p.fill_tau_s)) * (depth - self.fill_depth_mm)
        if thickness_mm is not None:
            thickness = round(thickness_mm / p.thickness_resolution_mm) * p.thickness_resolution_mm
            self.min_thickness_mm += (1.0 - exp(-dt_s / p.thickness_tau_s)) * (thickness - self.min_thickness_mm)

    def step(
        self, dt_s: float, *, density_ratio: float, fill: float, paddle_rpm: float, api_pct: float,
        moisture_shift_pct: float, strength_factor: float,
    ) -> Tablets:
        """Press for dt_s.

        density_ratio: bulk density over the reference; fill: feed frame fill (starved below 0.3); api_pct: % w/w;
        moisture_shift_pct: water above the reference, % w/w; strength_factor: what lubrication left.
        """
        p = self._p
        self._running_s += dt_s
        count = self.turret_rpm / 60.0 * p.stations * dt_s
        scatter = p.weight_rsd / sqrt(max(1.0, count)) * self._random.gauss(0.0, 1.0)
        weight = self.die_weight_mg(density_ratio, paddle_rpm) * min(1.0, fill / 0.3) * (1.0 + scatter)
        api_shift = api_pct - self._api_reference_pct
        hardening = 1.0 + p.api_hardening_per_pct * api_shift + p.moisture_softening_per_pct * moisture_shift_pct
        force = self.force_kn(weight, hardening)
        strength = strength_factor * (1.0 + p.api_strength_per_pct * api_shift)
        drift = 1.0 + p.force_drift_per_h * self._running_s / 3600.0
        spread = sqrt(p.force_rsd**2 + p.station_rsd**2)
        noise = p.force_rsd / sqrt(max(1.0, count)) * self._random.gauss(0.0, 1.0)
        return Tablets(
            count=count,
            weight_mg=weight,
            force_kn=force,
            hardness_n=self.hardness_n(weight, strength),
            thickness_mm=self.min_thickness_mm * (1.0 + p.elastic_recovery),
            ejection_n=p.ejection_n_per_kn * force,
            measured_force_kn=force * drift * (1.0 + noise) * self.force_cell_gain,
            measured_force_sd_kn=force * spread * (1.0 + 0.1 * self._random.gauss(0.0, 1.0)),
        )

    def die_weight_mg(self, density_ratio: float, paddle_rpm: float) -> float:
        """Mean die weight, mg: rho V (1 - xi1 n_T/n_F + xi2 H/D) (form of Huang et al., Processes 2021, 9, 1612)."""
        p = self._p
        depth = round(self.fill_depth_mm / p.fill_resolution_mm) * p.fill_resolution_mm
        volume_mm3 = 0.25 * pi * p.die_diameter_mm**2 * depth
        filling = 1.0 - p.speed_loss * self.turret_rpm / max(1.0, paddle_rpm) + p.head_gain * depth / p.die_diameter_mm
        return p.die_density_g_ml * density_ratio * volume_mm3 * max(0.0, filling)

    def relative_density(self, weight_mg: float) -> float:
        """In-die relative density at minimum thickness."""
        p = self._p
        volume_mm3 = 0.25 * pi * p.die_diameter_mm**2 * self.min_thickness_mm
        return weight_mg / volume_mm3 / p.true_density_g_ml

    def force_kn(self, weight_mg: float, hardening: float = 1.0) -> float:
        """Main compression force, kN, by Kawakita: P = (1/b) (rho - rho_c) / (rho (a - 1) + rho_c)."""
        p = self._p
        rho = self.relative_density(weight_mg)
        room = max(1e-3, rho * (p.kawakita_a - 1.0) + p.critical_density)
        pressure_mpa = p.kawakita_inv_b_mpa * hardening * max(0.0, rho - p.critical_density) / room
        return min(FORCE_CEILING_KN, pressure_mpa * 0.25 * pi * p.die_diameter_mm**2 / 1000.0)

    def hardness_n(self, weight_mg: float, strength_factor: float = 1.0) -> float:
        """Breaking force, N: sigma_0 exp(-k porosity) pi D t / 2 after elastic recovery (Ryshkewitch-Duckworth)."""
        p = self._p
        solid = self.relative_density(weight_mg) / (1.0 + p.elastic_recovery)
        thickness_mm = self.min_thickness_mm * (1.0 + p.elastic_recovery)
        strength_mpa = p.strength_mpa * strength_factor * exp(-p.strength_k * (1.0 - min(1.0, solid)))
        return strength_mpa * pi * p.die_diameter_mm * thickness_mm / 2.0
