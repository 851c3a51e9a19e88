"""The observer's next step made beforehand: the belief is the same to the last bit, and there is less to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from control.observe import Observation, Observer, observe, prepare
from control.observe.kalman import Memory
from control.signals import Belief, LabResult, Target
from soft_sensors.signals import FloatArray

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
CYCLE_S = 5.0
Expecting = Callable[[int, Mapping[str, float]], Mapping[str, float] | None]


def shift(cycles: int = 260) -> list[Observation]:
    """A line that moves every other cycle, loses API, misses looks, changes its recipe, and has its laboratory late."""
    random, found, setpoints, now_s = np.random.default_rng(5), [], dict(SETPOINTS), 0.0
    for k in range(cycles):
        now_s += CYCLE_S * (4 if k == 70 else 1)
        aim = replace(TARGET, throughput_kg_h=22.0) if k >= 200 else TARGET
        if k % 2:
            setpoints = {n: v * (1 + 0.002 * random.standard_normal()) for n, v in setpoints.items()}
        values = {f"y_flow_{n}": (v * (1 + 0.01 * random.standard_normal()), 0.015 * v) for n, v in setpoints.items()}
        values["y_force"] = (values.pop("y_flow_MainForce")[0], 0.15)
        if k % 7:
            values["y_nir"] = ((9.4 if k > 120 else 10.0) + 0.12 * random.standard_normal(), 0.12)
        lab: tuple[LabResult, ...] = ()
        if k in (100, 160):
            lab = (LabResult(k, now_s - 200, now_s, 9.7, 250.0, 90.0, sample_id=f"A{k}"),)
        if k == 180:
            lab = (LabResult(181, now_s - 300, now_s, 9.5, 250.0, 90.0, sample_id="A160", corrects=True),)
        found.append(Observation(now_s, values, setpoints, aim, lab))
    return found


def played(observer: Observer, seen: list[Observation], expecting: Expecting) -> list[Belief]:
    memory, found = None, []
    for k, observation in enumerate(seen):
        belief, memory = observe(observer, memory, observation)
        found.append(belief)
        following = seen[k + 1].setpoints if k + 1 < len(seen) else {}
        expected = expecting(k, following)
        if expected is not None:
            memory = prepare(observer, memory, expected)
    return found


@pytest.fixture
def asked(observer: Observer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that were called, in their order."""
    names: list[str] = []
    kind = type(observer.bundle)
    call = kind.call

    def noted(self: object, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        names.append(name)
        return call(observer.bundle, name, *arguments)

    monkeypatch.setattr(kind, "call", noted)
    return names


@pytest.mark.parametrize(
    "expecting",
    [
        pytest.param(lambda k, following: following, id="rightly"),
        pytest.param(lambda k, following: {"FeederApi": 1.5}, id="wrongly"),
        pytest.param(lambda k, following: following if k % 3 else None, id="now-and-then"),
    ],
)
def test_preparing_changes_no_belief_by_a_bit(observer: Observer, expecting: Expecting) -> None:
    seen = shift()
    without, with_it = played(observer, seen, lambda k, following: None), played(observer, seen, expecting)
    assert with_it == without
    assert any(belief.notes for belief in without), "the laboratory and the loss had their say"
    assert any(belief.loss_probability > 0.5 for belief in without)


def test_what_was_prepared_is_not_done_again(observer: Observer, asked: list[str]) -> None:
    seen = shift(40)
    memory = None
    for observation in seen[:-1]:
        _, memory = observe(observer, memory, observation)
    assert isinstance(memory, Memory)
    memory = prepare(observer, memory, seen[-1].setpoints)
    asked.clear()
    observe(observer, memory, seen[-1])
    assert asked == ["measure"], "the belief's tablet weight alone is left"
    asked.clear()
    observe(observer, prepare(observer, memory, {"FeederApi": 1.9}), seen[-1])
    assert asked == ["predict", "measure", "predict", "measure", "measure"], "expected something else: done anew"


def test_the_memory_keeps_no_trail_of_what_was_prepared(observer: Observer) -> None:
    memory = None
    for observation in shift(30):
        _, memory = observe(observer, memory, observation)
        assert isinstance(memory, Memory)
        assert memory.expected is None, "what was prepared held its own steps: it goes with them"
        memory = prepare(observer, memory, observation.setpoints)
