"""The at-line laboratory: exact but rare and late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import nan, sqrt
from random import Random

RESULT_DELAY_S = 300.0
ASSAY_RSD = 0.005
TABLETS_WEIGHED, TABLETS_BROKEN = 20, 10
TABLET_WEIGHT_RSD = 0.01
HARDNESS_SD_N = 4.5
THICKNESS_SD_MM = 0.01


@dataclass(frozen=True)
class LabResult:
    """One result; NaN and times 0 before the first (counter 0). Assay also in % of the label claim at sampling."""

    counter: int = 0
    sample_id: str = ""
    sample_time_s: float = 0.0
    result_time_s: float = 0.0
    assay_pct: float = nan
    assay_lc_pct: float = nan
    weight_mg: float = nan
    hardness_n: float = nan
    thickness_mm: float = nan


class Laboratory:
    """Draws a sample every every_s seconds (the first after one interval) and reports it 5 min later."""

    def __init__(self, start_time_s: float, seed: int, every_s: float) -> None:
        self._random = Random(f"{seed}/lab")
        self._every_s = every_s
        self._next_s = start_time_s + every_s
        self._counter = 0
        self._pending: deque[LabResult] = deque()
        self.result = LabResult()

    def step(
        self, time_s: float, *, api_pct: float, target_api_pct: float, weight_mg: float, hardness_n: float,
        thickness_mm: float,
    ) -> None:
        """At line time time_s tablets with these true values leave the press."""
        if time_s >= self._next_s:
            self._next_s += self._every_s
            self._counter += 1
            assay = api_pct * (1.0 + self._random.gauss(0.0, ASSAY_RSD))
            self._pending.append(
                LabResult(
                    counter=self._counter,
                    sample_id=f"S{self._counter:03d}",
                    sample_time_s=time_s,
                    result_time_s=time_s + RESULT_DELAY_S,
                    assay_pct=assay,
                    assay_lc_pct=100.0 * assay / target_api_pct,
                    weight_mg=weight_mg * (1.0 + self._mean_noise(TABLET_WEIGHT_RSD, TABLETS_WEIGHED)),
                    hardness_n=hardness_n + self._mean_noise(HARDNESS_SD_N, TABLETS_BROKEN),
                    thickness_mm=thickness_mm + self._mean_noise(THICKNESS_SD_MM, TABLETS_BROKEN),
                )
            )
        if self._pending and time_s >= self._pending[0].result_time_s:
            self.result = self._pending.popleft()

    def _mean_noise(self, sd: float, count: int) -> float:
        return self._random.gauss(0.0, sd / sqrt(count))
