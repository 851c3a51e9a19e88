"""Cross-limiting: a bridge takes the other feeders with it, noise and setpoints do not."""

from __future__ import annotations

import numpy as np
import pytest

from control.decide.cross import LEAST, MOST, REMEMBERED, CrossMemory, cross_limit
from control.settings import ControlSettings
from control.signals import FeederReading, Quality, Reading

WORKING = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2}
OTHERS = ("FeederMcc", "FeederLac", "FeederMgst")


def feeders(
    shares: dict[str, float], quality: Quality = Quality.GOOD, *, blind: bool = False
) -> dict[str, FeederReading]:
    """Feeders that give these shares of what they are asked for."""
    rest = Reading(1.0, 0.0)
    return {
        name: FeederReading(Reading(value * shares.get(name, 1.0), 0.0, quality), rest, rest, blind)
        for name, value in WORKING.items()
    }


def run(settings: ControlSettings, shares: list[float], name: str = "FeederApi") -> list[dict[str, float]]:
    memory: CrossMemory | None = None
    found = []
    for share in shares:
        factors, memory = cross_limit(settings, feeders({name: share}), WORKING, memory)
        found.append(factors)
    return found


def test_a_bridge_takes_the_others_down_and_up_again_within_bounds(settings: ControlSettings) -> None:
    bridge = [1.0] * 3 + [0.7, 0.6, 0.4, 0.3] + [1.2, 1.5, 1.1] + [1.0] * (REMEMBERED + 2)
    found = run(settings, bridge)
    for share, factors in zip(bridge[3:10], found[3:10], strict=True):
        assert factors["FeederApi"] == 1.0, "the wild one keeps its own"
        for other in OTHERS:
            assert factors[other] == pytest.approx(min(max(share, LEAST), MOST))
        assert factors["MainForce"] == 1.0
    assert found[2] == dict.fromkeys(found[2], 1.0)
    assert found[-1] == dict.fromkeys(found[-1], 1.0), "steady for long enough: plain ratio again"
    assert all(LEAST <= value <= MOST for factors in found for value in factors.values())


def test_the_one_that_is_furthest_from_steady_leads(settings: ControlSettings) -> None:
    factors, memory = cross_limit(settings, feeders({"FeederApi": 0.8, "FeederMcc": 0.6}), WORKING, None)
    assert (factors["FeederApi"], factors["FeederMcc"]) == (1.0, 1.0)
    assert factors["FeederLac"] == pytest.approx(0.6)
    assert set(memory.wild) == {"FeederApi", "FeederMcc"}


def test_the_lubricant_leads_nothing(settings: ControlSettings) -> None:
    assert set(run(settings, [0.5] * 4, "FeederMgst")[-1].values()) == {1.0}


def test_noise_does_not_trigger(settings: ControlSettings) -> None:
    random = np.random.default_rng(4)  # twice the noise that the observer reckons with
    memory: CrossMemory | None = None
    for _ in range(3000):
        shares = {name: 1.0 + 0.03 * random.standard_normal() for name in WORKING}
        factors, memory = cross_limit(settings, feeders(shares), WORKING, memory)
        assert set(factors.values()) == {1.0}


@pytest.mark.parametrize("step", [0.6, 1.5])
def test_a_setpoint_step_does_not_trigger(settings: ControlSettings, step: float) -> None:
    """The flow follows a new setpoint with 12 s of lag; what the old one asked for is not starving."""
    memory: CrossMemory | None = None
    flow = 2.0
    for k in range(40):
        asked = 2.0 if k < 10 else 2.0 * step
        flow += (1 - np.exp(-5.0 / 12.0)) * (asked - flow)
        read = {**feeders({}), "FeederApi": FeederReading(Reading(flow, 0.0), Reading(1, 0), Reading(1, 0), False)}
        factors, memory = cross_limit(settings, read, {**WORKING, "FeederApi": asked}, memory)
        assert set(factors.values()) == {1.0}, k


@pytest.mark.parametrize(("quality", "blind"), [(Quality.UNCERTAIN, False), (Quality.BAD, False), (Quality.GOOD, True)])
def test_a_flow_that_is_not_known_leads_nothing(settings: ControlSettings, quality: Quality, blind: bool) -> None:
    factors, _ = cross_limit(settings, feeders({"FeederApi": 0.3}, quality, blind=blind), WORKING, None)
    assert set(factors.values()) == {1.0}
