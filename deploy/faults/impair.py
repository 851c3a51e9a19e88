"""seed -> what the network does to packets, one fault after the other: kinds, strengths, durations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

Draw = Callable[[float, float], float]


@dataclass(frozen=True)
class Way:
    """What happens to packets in one direction; all of it at once, each packet on its own.

    drop, duplicate, corrupt: share of packets; delay_s, jitter_s: each packet later by delay + up to jitter, so that a
    jitter re-orders; rate_bytes_s: packets queue behind each other (0: no limit); hold: kept until the fault ends.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate_bytes_s: float = 0.0
    hold: bool = False


CLEAR = Way()
LOST = Way(drop=1.0)


@dataclass(frozen=True)
class Fault:
    """One fault of the network for duration_s: what it does each way, and to the connections that stand when it begins.

    half_open: the line's end is told that the connections are gone (a reset that the box did not send), the box is not;
    their packets vanish from then on. reset: both ends are told. flap_s: the fault is on and off, each for so long.
    """

    kind: str
    duration_s: float
    to_line: Way = CLEAR
    to_box: Way = CLEAR
    half_open: bool = False
    reset: bool = False
    flap_s: float = 0.0
    strength: dict[str, float] = field(default_factory=dict)

    def told(self) -> dict[str, object]:
        """For the record."""
        return {"kind": self.kind, "duration_s": round(self.duration_s, 3), **self.strength}


def _both(kind: str, way: Way) -> Fault:
    default = asdict(CLEAR)
    strength = {name: value for name, value in asdict(way).items() if value != default[name] and name != "hold"}
    return Fault(kind, 0.0, way, way, strength=strength)


KINDS: dict[str, Callable[[Draw], Fault]] = {
    "drop": lambda d: _both("drop", Way(drop=d(0.05, 0.4))),
    "delay": lambda d: _both("delay", Way(delay_s=d(0.01, 0.25))),
    "reorder": lambda d: _both("reorder", Way(jitter_s=d(0.01, 0.15))),
    "duplicate": lambda d: _both("duplicate", Way(duplicate=d(0.3, 1.0))),
    "corrupt": lambda d: _both("corrupt", Way(corrupt=d(0.02, 0.2))),
    "throttle": lambda d: _both("throttle", Way(rate_bytes_s=d(4_000, 64_000))),
    "blackhole": lambda _: _both("blackhole", LOST),
    "deaf": lambda _: Fault("deaf", 0.0, to_line=LOST),
    "mute": lambda _: Fault("mute", 0.0, to_box=LOST),
    "stall": lambda _: Fault("stall", 0.0, Way(hold=True), Way(hold=True)),
    "half_open": lambda _: Fault("half_open", 0.0, half_open=True),
    "reset": lambda _: Fault("reset", 0.0, reset=True),
    "flap": lambda d: Fault("flap", 0.0, LOST, LOST, flap_s=d(0.1, 0.7)),
    "storm": lambda d: _both(
        "storm", Way(drop=d(0.02, 0.15), duplicate=d(0.0, 0.3), corrupt=d(0.0, 0.05), jitter_s=d(0.0, 0.1))
    ),
}


def plan(seed: int, faults: int, longest_s: float) -> tuple[Fault, ...]:
    """So many faults, every kind equally often in random order; durations log-uniform from 0.2 s to longest_s."""
    random = np.random.default_rng(seed)
    found: list[Fault] = []
    while len(found) < faults:
        for name in random.permutation(list(KINDS)):
            made = KINDS[name](lambda low, high: float(random.uniform(low, high)))
            lasts = float(np.exp(random.uniform(np.log(0.2), np.log(longest_s))))
            found.append(Fault(**{**made.__dict__, "duration_s": lasts}))
    return tuple(found[:faults])
