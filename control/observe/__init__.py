"""estimates, feeders, press, laboratory -> belief: the observers."""

from __future__ import annotations

from control.observe.kalman import Memory, Observation, Observer, begin, observe

__all__ = ["Memory", "Observation", "Observer", "begin", "observe"]
