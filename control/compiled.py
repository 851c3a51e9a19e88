"""What the real-time path runs: a problem's card and kernels (from `control.compile` or `control.bundle`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from control.arithmetic import INTERPRETED, Arithmetic
from control.kernel import Kernel
from soft_sensors.signals import FloatArray

FUNCTIONS = ("predict", "measure", "rollout", "linearise", "stage", "cost", "terminal")


@dataclass(frozen=True)
class Card:
    """Names, bounds, weights and blocks of a problem; input_rate a step; see `control.problem` for what they mean."""

    states: tuple[str, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    measurements: tuple[str, ...]
    limits: tuple[str, ...]
    step_s: float
    horizon_steps: int
    blocks: tuple[int, ...]
    input_low: tuple[float, ...]
    input_high: tuple[float, ...]
    input_rate: tuple[float, ...]
    move_weight: tuple[float, ...]
    input_scale: tuple[float, ...]
    limit_low: tuple[float, ...]
    limit_high: tuple[float, ...]
    limit_weight: tuple[float, ...]
    limit_priority: tuple[int, ...]


@dataclass(frozen=True)
class Compiled:
    """A problem ready to be solved in real time; one step is card.step_s seconds.

    Kernels, for a horizon of N steps: predict(x, u, p) -> x_next, A; measure(x, u, p) -> y, C;
    rollout(x0, U, P) -> x_1..x_N; linearise(X, U, P) -> F, A, B; stage(X, U, P) -> R, dR/dx, dR/du, E, dE/dx, dE/du;
    cost(X, U, P) -> R, E; terminal(x, p) -> R_N, dR_N/dx. X, U, P have a column a step, matrices stand side by side;
    R are residuals times the root of their weights, E the expressions under soft limits. arithmetic: what the sums
    over all that are taken with.
    """

    card: Card
    kernels: dict[str, Kernel]
    arithmetic: Arithmetic = field(default=INTERPRETED, kw_only=True)

    def call(self, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        """Evaluate a kernel on arrays; results are arrays, one an output, always two-dimensional."""
        return self.kernels[name].evaluate(arguments)

    def columns(self, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        """As `call`, with the matrices that stand side by side as a stack [N, rows, columns of one]."""
        return tuple(found.transpose(0, 2, 1) for found in self.by_column(name, *arguments))

    def by_column(self, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        """As `columns`, each matrix by column: [N, columns of one, rows], as `control.arithmetic` takes them."""
        return self.kernels[name].by_column(arguments, self.card.horizon_steps)
