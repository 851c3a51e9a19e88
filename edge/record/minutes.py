"""cycles -> minutes: what was estimated and believed in each, and how far from its limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edge.record.chain import Row

MINUTE_S = 60.0
SIGMAS_90 = 1.645
RANK = ("good", "uncertain", "bad")


@dataclass(frozen=True)
class Minute:
    """One minute of cycles: means of estimate and belief in % w/w, worst case of all that has a limit.

    low, high: the widest 90 % interval; t2, q: the largest share of its limit; quality: the worst of the estimates;
    factor: how many times the card's the interval was; lab: the newest laboratory assay that was seen, NaN where none
    came in this minute; seq: of its first cycle; closed: how many of its cycles were in closed loop.
    """

    from_s: float
    seq: int
    cycles: int
    closed: int
    modes: str
    target: float
    estimate: float
    low: float
    high: float
    t2: float
    q: float
    quality: str
    reason: str
    factor: float
    belief: float
    belief_half: float
    lab: float


@dataclass
class Minutes:
    """The minutes as far as the record was read."""

    done: list[Minute] = field(default_factory=list)
    open: list[tuple[Row, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    lab_counter: int = 0

    def add(self, row: Row, sample: dict[str, Any], thought: dict[str, Any]) -> None:
        """Take a cycle in."""
        if self.open and math.floor(self.open[0][0].time_s / MINUTE_S) != math.floor(row.time_s / MINUTE_S):
            self._close()
        self.open.append((row, sample, thought))

    def all(self) -> tuple[Minute, ...]:
        """Every minute in order, the last one as far as it came."""
        if self.open:
            self._close()
        return tuple(self.done)

    def _close(self) -> None:
        rows, samples, thoughts = zip(*self.open, strict=True)
        self.open = []
        estimates = [t["estimate"] for t in thoughts if t.get("estimate") is not None]
        beliefs = [t["belief"] for t in thoughts if t.get("belief") is not None]
        targets = [t["target"]["api_pct"] for t in thoughts if t.get("target") is not None]
        worst = max(estimates, key=lambda e: RANK.index(e["quality"]), default=None)
        self.done.append(
            Minute(
                from_s=MINUTE_S * math.floor(rows[0].time_s / MINUTE_S), seq=rows[0].seq, cycles=len(rows),
                closed=sum(1 for t in thoughts if t.get("mode") == "closed"),
                modes=" ".join(dict.fromkeys(str(t.get("mode")) for t in thoughts)),
                target=targets[-1] if targets else math.nan,
                estimate=_mean([e["value"] for e in estimates]),
                low=min(_finite(e["lower"] for e in estimates), default=math.nan),
                high=max(_finite(e["upper"] for e in estimates), default=math.nan),
                t2=max(_finite(_share(e, "t2") for e in estimates), default=math.nan),
                q=max(_finite(_share(e, "q") for e in estimates), default=math.nan),
                quality="none" if worst is None else str(worst["quality"]),
                reason="" if worst is None else str(worst["reason"]),
                factor=max(float(t.get("interval_factor") or 1.0) for t in thoughts),
                belief=_mean([b["api_pct"] for b in beliefs]),
                belief_half=SIGMAS_90 * _mean([b["api_sigma_pct"] for b in beliefs]),
                lab=self._lab(samples),
            )
        )  # fmt: skip

    def _lab(self, samples: tuple[dict[str, Any], ...]) -> float:
        found = math.nan
        for sample in samples:
            for result in (*(sample.get("lab") or ()), *(sample.get("lims") or ())):
                if result["counter"] != self.lab_counter and result["counter"] > 0:
                    self.lab_counter, found = result["counter"], float(result["assay_pct"])
        return found


def _finite(values: Any) -> list[float]:
    return [float(value) for value in values if math.isfinite(value)]


def _mean(values: list[float]) -> float:
    kept = _finite(values)
    return sum(kept) / len(kept) if kept else math.nan


def _share(estimate: dict[str, Any], name: str) -> float:
    limit = float(estimate[f"{name}_limit"])
    return float(estimate[name]) / limit if limit > 0 else math.nan
