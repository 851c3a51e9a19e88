"""What is told of the material: masses that do not add up, and an observer that differs from tracking."""

from __future__ import annotations

import math

from control.assess import assess_material
from control.guard import Permission
from control.signals import Belief, Quality, Target
from control.track import Balance, Gate, Tracked

TARGET = Target(10.0, 20.0, 250.0)


def tracked(lc_pct: float = 100.0, sigma: float = 0.5, balance: Balance | None = None) -> Tracked:
    gate = Gate(lc_pct, sigma, lc_pct - 2, lc_pct + 2, 0.0)
    return Tracked(Permission(given=False), gate, None, balance or Balance())


def belief(api_pct: float, quality: Quality = Quality.GOOD) -> Belief:
    return Belief(0.0, api_pct, 0.03, 1.0, 0.003, 0.0, 0.05, 250.0, 0.0, quality, "")


def test_a_line_whose_witnesses_agree_and_whose_masses_add_up_is_no_news() -> None:
    assert assess_material(tracked(), belief(10.1), TARGET) == ()
    assert assess_material(tracked(), None, TARGET) == ()


def test_mass_that_is_missing_is_told_with_its_figures() -> None:
    leak = Balance(20.0, 17.0, 1.0, 0.0, 2.0, 0.25)
    (found,) = assess_material(tracked(balance=leak), None, TARGET)
    assert found.name == "mass_balance"
    assert found.text == "mass does not add up: +2.00±0.25 kg of 20.0 fed"
    unknown = Balance(20.0, 0.0, 0.0, 0.0, math.nan, math.nan, "turret speed")
    assert assess_material(tracked(balance=unknown), None, TARGET) == ()


def test_an_observer_that_differs_is_told_unless_tracking_is_in_doubt_or_the_belief_is_bad() -> None:
    (found,) = assess_material(tracked(), belief(9.7), TARGET)
    assert found.name == "witnesses_differ"
    assert "97.0 and 100.0 % LC" in found.text
    assert assess_material(tracked(sigma=1.5), belief(9.7), TARGET) == ()
    assert assess_material(tracked(), belief(9.0, Quality.BAD), TARGET) == ()
