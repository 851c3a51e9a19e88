"""belief -> decision: the controllers behind one protocol, and what they share."""

from __future__ import annotations

from typing import Any, Protocol

from control.bundle import ControllerBundle
from control.decide.hybrid import Hybrid
from control.decide.mpc import Mpc
from control.decide.pid import Pid
from control.decide.ratio import Ratio
from control.decide.smith import Smith
from control.decide.steptest import StepTest
from control.settings import ControlSettings
from control.signals import Decision, Situation


class Controller(Protocol):
    """A controller: a pure function of the situation and of its own memory, which is handed in and handed back."""

    def decide(self, situation: Situation, memory: Any) -> tuple[Decision, Any]:
        """The setpoints it wants, in wire units, with reason and prediction; memory is None at first."""
        ...

    def prepare(self, memory: Any) -> Any:
        """The memory with whatever of the next decision needs no look at the line; changes no decision by a bit."""
        ...


def controller(settings: ControlSettings, bundle: ControllerBundle) -> Controller:
    """The controller that the settings name."""
    match settings.controller.name:
        case "ratio":
            return Ratio(settings)
        case "pid":
            return Pid(settings)
        case "smith":
            return Smith(settings)
        case "hybrid":
            return Hybrid(settings)
        case "steptest":
            return StepTest(settings)
        case "mpc":
            return Mpc(settings, bundle)
