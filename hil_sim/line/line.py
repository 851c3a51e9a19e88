"""The line: feeders -> blender -> chute -> feed frame -> press, with a mass ledger."""

from __future__ import annotations

from dataclasses import dataclass, field

from hil_sim.line.blender import Blender
from hil_sim.line.feed_frame import Chute, FeedFrame
from hil_sim.line.feeder import LossInWeightFeeder
from hil_sim.line.material import API, COMPONENTS, LOOSE, PARTS, WATER, Masses
from hil_sim.line.parameters import FEEDERS, LineParameters
from hil_sim.line.press import Press, Tablets


@dataclass(frozen=True)
class Orders:
    """What the PLC drives: mass flow setpoints in the order of FEEDERS, turret speed, fill depth, thickness.

    thickness_mm: least distance of the punches; None leaves them where they are.
    """

    feeds_kg_h: tuple[float, float, float, float]
    turret_rpm: float
    fill_depth_mm: float
    thickness_mm: float | None = None


@dataclass
class Ledger:
    """Component masses since start, kg: fed into the blender, lost on the way in, left as tablets."""

    fed: Masses = field(default_factory=lambda: [0.0] * 5)
    lost: Masses = field(default_factory=lambda: [0.0] * 5)
    tablets: Masses = field(default_factory=lambda: [0.0] * 5)


class Line:
    """CDC line started full and running at its recipe; step() advances it.

    holding: mass fractions of the powder it is full of at the start, order of COMPONENTS (default: as it is fed).

    api_gain is set by faults: the share of weighed API that reaches the blender (the rest is on `ledger.lost`).
    """

    def __init__(
        self, parameters: LineParameters, feeds_kg_h: tuple[float, ...], seed: int, holding: Masses | None = None
    ) -> None:
        self.parameters = parameters
        total = sum(feeds_kg_h)
        self.feeders = {
            name: LossInWeightFeeder(parameters.feeders[name], i, feeds_kg_h[i], f"{seed}/feeder/{name}")
            for i, name in enumerate(FEEDERS)
        }
        fractions = fed_fractions(parameters, feeds_kg_h)
        held = fractions if holding is None else holding
        self.blender = Blender(parameters.blender, held, total)
        self.chute = Chute(parameters.chute, held, total, f"{seed}/chute")
        self.feed_frame = FeedFrame(parameters.feed_frame, held, total, f"{seed}/feed_frame")
        self.press = Press(parameters.press, 100.0 * fractions[API], f"{seed}/press")
        self.ledger = Ledger()
        self.api_gain = 1.0
        self._water_reference = fractions[WATER]
        self._volume_reference = self._specific_volume(fractions)
        self._out_kg_s = total / 3600.0
        self.fractions = held
        self.feed_kg_h = total
        self.tablets: Tablets = self._press(0.5)

    @property
    def holdup(self) -> Masses:
        """Component masses between feeders and dies, kg."""
        parts = (self.blender.masses, self.chute.powder.masses, self.feed_frame.powder.masses)
        return [sum(column) for column in zip(*parts, strict=True)][:LOOSE]

    @property
    def throughput_kg_h(self) -> float:
        """Tablet mass flow, kg/h."""
        return 3600.0 * self._out_kg_s

    def step(self, dt_s: float, orders: Orders) -> None:
        """Advance by dt_s (0.1 to 1 s) with the given orders."""
        stream = self.blender.step(dt_s, self._feed(dt_s, orders))
        self.chute.powder.push(stream)
        self.press.follow(dt_s, orders.turret_rpm, orders.fill_depth_mm, orders.thickness_mm)
        frame = self.feed_frame
        frame.wander(dt_s)
        self.tablets = self._press(dt_s)
        wanted_kg = self.tablets.count * self.tablets.weight_mg * 1e-6
        refill = self.chute.powder.pull(frame.room_kg() + wanted_kg)
        out = frame.powder.exchange(refill, wanted_kg)
        made_kg = sum(out[:LOOSE])
        self._out_kg_s = made_kg / dt_s
        tablets = self.ledger.tablets
        for i in range(5):
            tablets[i] += out[i]
        if made_kg > 0.0:
            self.fractions = [mass / made_kg for mass in out[:LOOSE]]

    def _feed(self, dt_s: float, orders: Orders) -> Masses:
        stream = [0.0] * PARTS
        fed, lost = self.ledger.fed, self.ledger.lost
        for name, setpoint in zip(FEEDERS, orders.feeds_kg_h, strict=True):
            parcel = self.feeders[name].step(dt_s, setpoint)
            for i in range(5):
                fed[i] += parcel[i]
                stream[i] += parcel[i]
            stream[LOOSE] += parcel[LOOSE] * self.api_gain if name == "api" else parcel[LOOSE]
        stuck = stream[API] * (1.0 - self.api_gain)
        stream[API] -= stuck
        lost[API] += stuck
        self.feed_kg_h = sum(stream[:LOOSE]) / dt_s * 3600.0
        return stream

    def _press(self, dt_s: float) -> Tablets:
        frame = self.feed_frame
        total = frame.powder.total_kg
        masses = frame.powder.masses
        fractions = [mass / total for mass in masses[:LOOSE]] if total > 0.0 else self.fractions
        volume = self._specific_volume(fractions) + (masses[LOOSE] / total if total > 0.0 else 0.0)
        density = self._volume_reference / volume * frame.density_ratio
        return self.press.step(
            dt_s,
            density_ratio=density,
            fill=frame.fill,
            paddle_rpm=frame.paddle_rpm,
            api_pct=100.0 * fractions[API],
            moisture_shift_pct=100.0 * (fractions[WATER] - self._water_reference),
            strength_factor=frame.strength_factor(self._out_kg_s),
        )

    def _specific_volume(self, fractions: Masses) -> float:
        # Ideal mixing of bulk volumes; water sits in the pores and adds none.
        return sum(
            fraction / self.parameters.feeders[name].bulk_density_g_ml
            for name, fraction in zip(FEEDERS, fractions, strict=False)
        )


def fed_fractions(parameters: LineParameters, feeds_kg_h: tuple[float, ...]) -> Masses:
    """Mass fractions of what these feeds make, order of COMPONENTS."""
    masses = [0.0] * len(COMPONENTS)
    for i, name in enumerate(FEEDERS):
        water = parameters.feeders[name].moisture
        masses[i] += feeds_kg_h[i] * (1.0 - water)
        masses[WATER] += feeds_kg_h[i] * water
    total = sum(masses)
    return [mass / total for mass in masses]
