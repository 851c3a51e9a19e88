"""The check of a solver's answer: small for true minima only, and each reason why a move may not be made."""

from __future__ import annotations

import ast
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from control import defend
from control.defend import KKT_LIMIT, Optimality, indefensible, optimality
from control.qp import Program, solve
from control.rti import Bounds


def program(seed: int, n: int = 6, rows: int = 4) -> Program:
    """A strictly convex programme whose unconstrained minimum lies outside its bounds."""
    random = np.random.default_rng(seed)
    root, A = random.standard_normal((n, n)), random.standard_normal((rows, n))
    reach = random.uniform(0.1, 1.0, n + rows)
    return Program(root @ root.T + 0.1 * np.eye(n), 3 * random.standard_normal(n), A, -reach, reach)


def test_true_solutions_pass_and_perturbed_ones_do_not() -> None:
    random, active = np.random.default_rng(1), 0
    for seed in range(100):
        posed = program(seed)
        found = solve(posed)
        active += int(np.sum(np.abs(found.multipliers) > 1e-6))
        assert optimality(posed, found.z, found.multipliers).residual < 1e-9
        off = 1e-3 * random.standard_normal(6)
        assert optimality(posed, found.z + off, found.multipliers).residual > KKT_LIMIT
        assert optimality(posed, found.z, found.multipliers + 1e-3).residual > KKT_LIMIT
    assert active > 200, "the premise: bounds and rows are active"


def test_each_of_the_three_conditions_is_seen_for_itself() -> None:
    one = Program(np.eye(1), np.array([-2.0]), np.zeros((0, 1)), np.array([-1.0]), np.array([1.0]))
    right = optimality(one, np.array([1.0]), np.array([1.0]))
    assert right.residual < 1e-12
    far = optimality(one, np.array([2.0]), np.array([0.0]))
    assert (far.stationarity, far.complementarity) == (0.0, 0.0)
    assert far.feasibility > 0.1, "a minimum outside its bounds"
    inside = optimality(one, np.array([0.0]), np.array([2.0]))
    assert (inside.stationarity, inside.feasibility) == (0.0, 0.0)
    assert inside.complementarity > 0.1, "a multiplier on a bound that is not reached"
    pushed = Program(np.eye(1), np.array([2.0]), np.zeros((0, 1)), np.array([-9.0]), np.array([1.0]))
    wrong_side = optimality(pushed, np.array([1.0]), np.array([-3.0]))
    assert (wrong_side.stationarity, wrong_side.feasibility) == (0.0, 0.0)
    assert wrong_side.complementarity > 0.1, "at its upper bound, but with a lower bound's sign"
    lazy = optimality(one, np.array([0.5]), np.array([0.0]))
    assert (lazy.feasibility, lazy.complementarity) == (0.0, 0.0)
    assert lazy.stationarity > 0.1, "not a minimum"
    assert lazy.residual == lazy.stationarity
    row = Program(np.eye(1), np.array([0.0]), np.array([[1.0]]), np.array([-9.0, -9.0]), np.array([9.0, -1.0]))
    assert optimality(row, np.array([0.0]), np.zeros(2)).feasibility > 0.1, "a row counts as a bound does"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_number_is_never_optimal(bad: float) -> None:
    posed = program(3)
    found = solve(posed)
    spoilt = found.z.copy()
    spoilt[2] = bad
    assert optimality(posed, spoilt, found.multipliers) == Optimality.none()
    held = found.multipliers.copy()
    held[0] = bad
    assert optimality(posed, found.z, held) == Optimality.none()
    assert Optimality.none().residual == math.inf


BOUNDS = Bounds(*(np.array(v) for v in ([1.0, 5.0], [3.0, 9.0], [0.2, 0.5], [], [])))
BEFORE, FINE = np.array([2.0, 7.0]), Optimality(0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("first", "quality", "cost", "held", "says"),
    [
        ([2.1, 7.1], FINE, 1.0, 2.0, ""),
        ([2.2, 7.5], FINE, 2.04, 2.0, ""),
        ([math.nan, 7.0], FINE, 1.0, 2.0, "not finite"),
        ([2.0, 7.0], FINE, math.nan, 2.0, "not finite"),
        ([2.0, 7.0], FINE, math.inf, 2.0, "not finite"),
        ([2.21, 7.0], FINE, 1.0, 2.0, "faster than its rates"),
        ([2.0, 6.4], FINE, 1.0, 2.0, "faster than its rates"),
        ([2.0, 7.0], Optimality(2e-6, 0.0, 0.0), 1.0, 2.0, "not optimal (KKT residual 2.0e-06)"),
        ([2.0, 7.0], Optimality(0.0, 2e-6, 0.0), 1.0, 2.0, "not optimal"),
        ([2.0, 7.0], Optimality(0.0, 0.0, 2e-6), 1.0, 2.0, "not optimal"),
        ([2.0, 7.0], Optimality.none(), 1.0, 2.0, "not optimal"),
        ([2.0, 7.0], FINE, 2.05, 2.0, "worse than holding (cost 2.05 against 2)"),
    ],
)
def test_every_reason_against_a_move(
    first: list[float], quality: Optimality, cost: float, held: float, says: str
) -> None:
    why = indefensible(np.array(first), BEFORE, BOUNDS, quality, cost, held)
    assert (says in why) if says else why == ""


def test_a_move_outside_its_bounds_is_refused_on_either_side() -> None:
    wide = replace(BOUNDS, rate=np.array([10.0, 10.0]))
    for first in ([0.9, 7.0], [3.1, 7.0], [2.0, 4.9], [2.0, 9.1]):
        assert "leaves its bounds" in indefensible(np.array(first), BEFORE, wide, FINE, 1.0, 2.0)


def test_the_check_shares_no_code_with_the_solver() -> None:
    """It may name the solver's types for a type checker; it imports and calls none of its code."""
    text = Path(defend.__file__).read_text()
    tree = ast.parse(text)
    guarded = {id(inner) for node in tree.body if isinstance(node, ast.If) for inner in ast.walk(node)}
    imported = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) and id(n) not in guarded]
    names = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imported}
    assert names == {"__future__", "math", "dataclasses", "typing", "numpy", "soft_sensors.signals"}
