"""estimates, feeders, press, laboratory -> belief: the observers."""

from __future__ import annotations

from collections.abc import Mapping

from control.observe import horizon, kalman
from control.observe.horizon import HorizonMemory
from control.observe.kalman import Memory as KalmanMemory
from control.observe.seen import Observation, Observer
from control.signals import Belief

Memory = KalmanMemory | HorizonMemory


def observe(observer: Observer, memory: Memory | None, observation: Observation) -> tuple[Belief, Memory]:
    """Fuse one cycle's observation into the belief, by the observer that the settings name; pure."""
    if observer.noise.name == "mhe":
        return horizon.observe(observer, memory if isinstance(memory, HorizonMemory) else None, observation)
    return kalman.observe(observer, memory if isinstance(memory, KalmanMemory) else None, observation)


def prepare(observer: Observer, memory: Memory, setpoints: Mapping[str, float]) -> Memory:
    """The memory with the next cycle's work that needs no look at the line; changes no belief by a bit.

    setpoints: those that the line is expected to work with then, by name; the others stay.
    """
    return kalman.prepare(observer, memory, setpoints) if isinstance(memory, KalmanMemory) else memory


__all__ = ["Memory", "Observation", "Observer", "observe", "prepare"]
