"""estimates, feeders, press, laboratory -> belief: the observers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from control.observe import horizon, kalman
from control.observe.horizon import HorizonMemory
from control.observe.kalman import Memory as KalmanMemory
from control.observe.seen import Observation, Observer
from control.observe.told import concluded, due, watched
from control.signals import Belief

Memory = KalmanMemory | HorizonMemory


def observe(observer: Observer, memory: Memory | None, observation: Observation) -> tuple[Belief, Memory]:
    """Fuse one cycle's observation into the belief, by the observer that the settings name; pure."""
    if observer.noise.name == "mhe":
        before = memory if isinstance(memory, HorizonMemory) else None
        return _watched(observer, *horizon.observe(observer, before, observation), observation)
    before_it = memory if isinstance(memory, KalmanMemory) else None
    return _watched(observer, *kalman.observe(observer, before_it, observation), observation)


def _watched(observer: Observer, belief: Belief, memory: Memory, seen: Observation) -> tuple[Belief, Memory]:
    """The belief that says what its data do not tell, and the memory that holds it where the settings say so.

    After a start or a jump nothing is held for as long as the filter may still go back to it.
    """
    noise = observer.noise
    reach_s = noise.memory_s if isinstance(memory, KalmanMemory) else noise.horizon_steps * observer.bundle.cycle_s
    watch = watched(observer, memory.watch, seen, reach_s)
    if due(observer, watch, seen):
        watch = concluded(observer, watch, seen, belief)
    if watch.note:
        belief = replace(belief, notes=(*belief.notes, watch.note))
    if noise.freeze_untold:
        settled = seen.time_s >= memory.quiet_until_s + noise.memory_s
        held = watch.hold if settled else ()
        if isinstance(memory, KalmanMemory):
            return belief, kalman.hold(observer, replace(memory, watch=watch), held, seen.time_s)
        return belief, horizon.hold(observer, replace(memory, watch=watch), held, seen.time_s)
    return belief, replace(memory, watch=watch)


def prepare(observer: Observer, memory: Memory, setpoints: Mapping[str, float]) -> Memory:
    """The memory with the next cycle's work that needs no look at the line; changes no belief by a bit.

    setpoints: those that the line is expected to work with then, by name; the others stay.
    """
    return kalman.prepare(observer, memory, setpoints) if isinstance(memory, KalmanMemory) else memory


__all__ = ["Memory", "Observation", "Observer", "observe", "prepare"]
