"""do_mpc model, costs as residuals, limits -> an optimal control problem that either solver can be given (offline).

The one description that the real-time path (`control.compile` -> `control.rti`) and the reference (`control.reference`,
do-mpc with IPOPT) both read. Over a horizon of N steps it is

    minimise   sum_{k=0}^{N-1} [ sum_i w_i r_i(x_k, u_k, p_k)^2  +  sum_l weight_l max(0, violation_l(x_k, u_k, p_k)) ]
               + sum_i w_i r_i(x_N, p_N)^2  (terminal)  +  sum_k sum_j move_weight_j (u_jk - u_j,k-1)^2
    subject to x_{k+1} = F(x_k, u_k, p_k),  low <= u_k <= high,  |u_k - u_{k-1}| <= rate_per_s * step_s  (the first too)

so the only hard constraints are those on inputs, and it always has a solution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control.errors import ControlError

FRONT = 4  # blocks of one step at the front: where the first moves are made


@dataclass(frozen=True)
class Input:
    """Hard bounds of an input in its own unit, its largest rate, and what a move costs (per squared move)."""

    low: float
    high: float
    rate_per_s: float = math.inf
    move_weight: float = 0.0


@dataclass(frozen=True)
class Limit:
    """A soft limit on a state or expression: a violation costs `weight` a unit and step (exact penalty).

    priority: 1 is given up last; the highest priority that is violated is what a decision reports.
    """

    weight: float
    low: float = -math.inf
    high: float = math.inf
    priority: int = 3


@dataclass(frozen=True)
class Problem:
    """An optimal control problem on a set-up `do_mpc.model.Model` (continuous or discrete, SX or MX, z or none).

    Names are the model's own: of states, inputs or expressions (`set_expression`); a vector's entries share what is
    given for its name. residuals, terminal: name -> weight w of w * value^2 (terminal ones may not depend on inputs);
    inputs: one entry an input of the model; limits: name -> soft limit; parameters: values of the model's fixed
    parameters `_p`; scaling: name of a state or input -> its typical size (default 1), used to scale the numbers,
    never the result; blocks: how many steps each input move lasts (empty: `blocks_for(horizon_steps)`).
    """

    model: Any
    step_s: float
    horizon_steps: int
    residuals: Mapping[str, float]
    inputs: Mapping[str, Input]
    terminal: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)
    parameters: Mapping[str, float] = field(default_factory=dict)
    algebraic: Mapping[str, float] = field(default_factory=dict)
    scaling: Mapping[str, float] = field(default_factory=dict)
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.step_s <= 0 or self.horizon_steps < 1:
            raise ControlError("problem: step_s and horizon_steps must be positive")
        if self.blocks and sum(self.blocks) != self.horizon_steps:
            raise ControlError(f"problem: blocks add up to {sum(self.blocks)}, must be {self.horizon_steps}")
        if not self.residuals and not self.terminal:
            raise ControlError("problem: no residuals: nothing to minimise")
        for name, bound in self.inputs.items():
            if not bound.low <= bound.high or bound.move_weight < 0 or bound.rate_per_s <= 0:
                raise ControlError(f"problem: input '{name}': low {bound.low} > high {bound.high}, or rate or weight")

    def moves(self) -> tuple[int, ...]:
        """The blocks in force."""
        return self.blocks or blocks_for(self.horizon_steps)


def blocks_for(steps: int) -> tuple[int, ...]:
    """Move blocks that cost about a per cent against none: single steps first, then growing (see `make bench`)."""
    count = min(steps, 16 if steps <= 60 else 28)
    lengths = [1] * count
    rest = steps - count
    tail = range(min(FRONT, count - 1), count)
    share = [(i - tail.start + 1) ** 1.5 for i in tail]
    grown = [int(rest * s / sum(share)) for s in share]
    for i, more in zip(tail, grown, strict=True):
        lengths[i] += more
    lengths[-1] += rest - sum(grown)
    return tuple(lengths)
