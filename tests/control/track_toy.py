"""A toy line that is fed through hopper weights, and what tracking says of it, cycle by cycle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from control.signals import Target
from control.track import FeederSeen, NirSeen, Tracked, Tracker, TrackInput, TrackMemory
from control.track import track as track_once

TARGET = Target(10.0, 20.0, 250.0)
CYCLE_S = 5.0


@dataclass
class Toy:
    """Feeders, three equal tanks and an NIR; hidden: share of the weighed API that does not arrive."""

    seed: int = 1
    api_kg_h: float = 2.0
    hidden: float = 0.0
    nir_bias_pct: float = 0.0
    nir: bool = True
    time_s: float = 0.0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.api_kg, self.filler_kg, self.tanks = 500.0, 5000.0, [10.0, 10.0, 10.0]

    def step(self) -> TrackInput:
        """One cycle on, as tracking sees it."""
        for _ in range(10):
            api_kg, filler_kg = self.api_kg_h / 7200.0, 18.0 / 7200.0
            self.api_kg, self.filler_kg = self.api_kg - api_kg, self.filler_kg - filler_kg
            came = 100.0 * api_kg * (1 - self.hidden) / (api_kg * (1 - self.hidden) + filler_kg)
            for i in range(3):
                self.tanks[i] += (came - self.tanks[i]) * (1 - math.exp(-(api_kg + filler_kg) / 0.43))
                came = self.tanks[i]
        self.time_s += CYCLE_S
        noise = float(self.random.normal(0.0, 0.11))
        nir = NirSeen(self.gate_pct + self.nir_bias_pct + noise, 0.13, self.time_s) if self.nir else None
        feeders = {
            "FeederApi": FeederSeen(self.api_kg, self.api_kg_h, False),
            "FeederMcc": FeederSeen(self.filler_kg, 18.0, False),
        }
        return TrackInput(self.time_s, TARGET, feeders, nir, turret_rpm=37.037, tablet_weight_mg=250.0, level_pct=50.0)

    @property
    def gate_pct(self) -> float:
        """The truth at probe and gate, % w/w."""
        return self.tanks[2]


@dataclass
class Player:
    """Feeds a toy's cycles to tracking and keeps its memory."""

    toy: Toy
    fixed: Tracker
    memory: TrackMemory | None = None

    def cycles(self, count: int, **changes: object) -> Iterator[tuple[float, Tracked]]:
        """Truth in % of label claim and what tracking said, a cycle at a time."""
        for _ in range(count):
            seen = replace(self.toy.step(), **changes)  # type: ignore[arg-type]
            tracked, self.memory = track_once(self.fixed, self.memory, seen)
            yield 10.0 * self.toy.gate_pct, tracked

    def run(self, count: int, **changes: object) -> list[Tracked]:
        """What tracking said in so many cycles."""
        return [tracked for _, tracked in self.cycles(count, **changes)]
