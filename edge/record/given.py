"""recorded results -> the inputs of the stage after, so that each stage is judged by itself."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

from control.decide import Controller
from control.signals import Belief, Decision, Estimate, Situation
from edge.cycle import Loop, think
from edge.line import Line
from edge.record.canonical import from_plain
from edge.sensing import Sensed, sense
from edge.signals import Sample, Thought

T = TypeVar("T")


class Given:
    """Thinks with recorded results between the stages.

    The observer gets the recorded estimate, the controller the recorded belief, the guard the recorded decision; what
    each of them makes of it is the thought that is handed back. Where nothing was recorded, or it does not fit this
    version's type, the stage before goes on with its own.
    """

    def __init__(self) -> None:
        self._before: dict[str, Any] = {}
        self._own: Estimate | None = None
        self._decided: Decision | None = None

    def around(self, line: Line) -> Line:
        """The line with a controller that is given the recorded belief."""
        if line.control is None:
            return line
        return replace(line, control=replace(line.control, controller=_Given(self, line.control.controller)))

    def think(self, line: Line, loop: Loop, sample: Sample, before: dict[str, Any]) -> tuple[Thought, Loop]:
        """One cycle; before: the recorded thought, decoded. The loop carries each stage's own memory on."""
        self._before, self._decided = before, None
        own = loop.sensed if self._own is None else replace(loop.sensed, estimate=self._own)
        thought, after = think(line, replace(loop, sensed=own), sample, self._sense)
        told = replace(thought, estimate=self._own)
        return (told if self._decided is None else replace(told, decision=self._decided)), after

    def decide(self, controller: Controller, situation: Situation, memory: Any) -> tuple[Decision, Any]:
        """The controller's own decision from the recorded belief is kept; the recorded one goes on to the guard."""
        belief = recorded(Belief, self._before.get("belief"))
        self._decided, memory = controller.decide(
            situation if belief is None else replace(situation, belief=belief), memory
        )
        return recorded(Decision, self._before.get("decision")) or self._decided, memory

    def _sense(self, line: Line, before: Sensed, sample: Sample) -> tuple[Sensed, bool]:
        sensed, fresh = sense(line, before, sample)
        self._own = sensed.estimate
        return replace(sensed, estimate=recorded(Estimate, self._before.get("estimate")) or sensed.estimate), fresh


class _Given:
    """A controller as Given lets it decide."""

    def __init__(self, given: Given, own: Controller) -> None:
        self._given, self._own = given, own

    def decide(self, situation: Situation, memory: Any) -> tuple[Decision, Any]:
        """See Given.decide."""
        return self._given.decide(self._own, situation, memory)

    def prepare(self, memory: Any) -> Any:
        """As the controller itself."""
        return self._own.prepare(memory)


def recorded(cls: type[T], plain: Any) -> T | None:
    """A recorded value of a type, without the fields that it has no more; None where there is none or it lacks one."""
    if not isinstance(plain, dict):
        return None
    names = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    try:
        return from_plain(cls, {key: value for key, value in plain.items() if key in names})
    except ValueError:
        return None  # the stage then goes on with its own, which is what the caller's contract says


__all__ = ["Given", "recorded"]
