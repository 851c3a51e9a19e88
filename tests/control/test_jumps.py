"""Jumps in the gap between feeders and NIR: named by how they arrive, seldom where there is none, never with a leap."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from control.native import cache_folder, native
from control.observe import Observation, Observer, observe
from control.signals import Belief, Target

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
CYCLE_S, NOISE_PCT = 5.0, 0.12
WARM, AT, AFTER = 120, 240, 200  # cycles


def played(
    observer: Observer, seed: int, cycles: int, *, loss: float = 1.0, nir_pct: float = 0.0, at: int = AT,
    disturbed: range = range(0),
) -> list[Belief]:  # fmt: skip
    """A line by the observer's own model with white noise; from `at` on delivery or NIR is another.

    disturbed: cycles in which the scale of the API feeder tells little (it is being refilled).
    """
    random, bundle = np.random.default_rng(seed), observer.bundle
    flows = {n: v for n, v in SETPOINTS.items() if n != "MainForce"}
    u = np.array([SETPOINTS[n] for n in bundle.inputs])
    p = bundle.targets(TARGET)[:, 0]
    known = {**{f"flow_{n}": v for n, v in flows.items()}, "main_force_kn": 9.55, "api_gain": 1.0}
    x = np.array([known.get(n, 10.0 if n.endswith("api_pct") or "_api_pct_" in n else 0.0) for n in bundle.states])
    memory, found = None, []
    for k in range(cycles):
        if k == at:
            x[bundle.state("api_gain")] *= loss
        x = bundle.call("predict", x, u, p)[0][:, 0]
        nir = x[bundle.state("feed_frame_api_pct")] + (nir_pct if k >= at else 0.0)
        values = {f"y_flow_{n}": (v * (1 + 0.01 * random.standard_normal()), 0.015 * v) for n, v in flows.items()}
        values |= {"y_force": (9.55 + 0.1 * random.standard_normal(), 0.15),
                   "y_nir": (nir + NOISE_PCT * random.standard_normal(), NOISE_PCT)}  # fmt: skip
        if k in disturbed:
            values["y_flow_FeederApi"] = (0.88 * flows["FeederApi"], 0.15 * flows["FeederApi"])
        belief, memory = observe(observer, memory, Observation(k * CYCLE_S, values, SETPOINTS, TARGET))
        found.append(belief)
    return found


def told(beliefs: list[Belief]) -> list[str]:
    kinds = ("delivered API", "the NIR jumped")
    return [kind for b in beliefs for note in b.notes for kind in kinds if note.startswith(kind)]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("loss", [0.95, 1.05])
def test_a_step_of_delivery_is_named_a_loss_and_told_its_size(observer: Observer, seed: int, loss: float) -> None:
    beliefs = played(observer, seed, AT + AFTER, loss=loss)
    assert set(told(beliefs)) == {"delivered API"}
    assert told(beliefs[:AT]) == []
    assert beliefs[-1].api_gain == pytest.approx(loss, abs=0.015)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_during_a_refill_is_judged_when_it_has_passed(observer: Observer, seed: int) -> None:
    """The NIR is no evidence while a feeder is disturbed, but what began then is not forgotten."""
    refill = range(AT - 3, AT + 9)
    beliefs = played(observer, seed, AT + AFTER, loss=0.94, disturbed=refill)
    assert told(beliefs[: AT + 9]) == []
    assert max(b.loss_probability for b in beliefs) > 0.6
    assert beliefs[-1].api_gain < 0.99
    sound = played(observer, seed, AT + AFTER, disturbed=refill)
    assert max(b.loss_probability for b in sound) < 0.3, "a refill alone is no loss"


def test_a_step_of_the_nir_is_named_the_nir_more_often_than_not(observer: Observer) -> None:
    """A loss is the likelier of the two a priori, so the NIR is not named every time; when it is, delivery is kept."""
    right = 0
    for seed in range(1, 7):
        for jump_pct in (-0.5, 0.5):
            beliefs = played(observer, seed, AT + AFTER, nir_pct=jump_pct)
            assert told(beliefs[:AT]) == []
            assert told(beliefs), "one or the other is named"
            if told(beliefs)[0] == "the NIR jumped":
                right += 1
                assert beliefs[-1].nir_bias_pct == pytest.approx(jump_pct, abs=0.15)
                assert beliefs[-1].api_gain == pytest.approx(1.0, abs=0.02)
            else:
                assert any("laboratory to confirm" in note for b in beliefs for note in b.notes)
    assert right >= 8, right


def test_white_noise_is_hardly_ever_a_jump(observer: Observer) -> None:
    """False alarms: fewer than one in a thousand cycles, and none that says half a per cent of gain."""
    beliefs = [b for seed in range(4) for b in played(observer, 100 + seed, 500)]
    assert len(told(beliefs)) <= len(beliefs) / 1000
    assert max(abs(b.api_gain - 1) for b in beliefs) < 0.012
    assert np.mean([b.loss_probability + b.nir_jump_probability for b in beliefs]) < 0.1


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_accepting_a_jump_does_not_make_the_belief_leap(observer: Observer, seed: int) -> None:
    """What is half suspected is half acted on: when it is accepted most of the way has been gone."""
    beliefs = played(observer, seed, AT + AFTER, loss=0.95)
    accepted = next(k for k, b in enumerate(beliefs) if any(n.startswith("delivered API") for n in b.notes))
    before, at = beliefs[accepted - 1], beliefs[accepted]
    assert abs(at.api_gain - before.api_gain) < 0.025, "less than half of the jump is left for that cycle"
    assert before.loss_probability > 0.5
    assert before.api_gain < 0.985, "before it was sure it had already moved"
    later = [b.api_gain for b in beliefs[accepted : accepted + 5]]
    assert all(abs(b - a) < 0.01 for a, b in pairwise(later)), "and no second leap follows"


def test_probabilities_are_probabilities(observer: Observer) -> None:
    for belief in played(observer, 5, AT + 60, loss=0.97):
        assert 0.0 <= belief.loss_probability <= 1.0
        assert 0.0 <= belief.nir_jump_probability <= 1.0
        assert belief.loss_probability + belief.nir_jump_probability <= 1.0 + 1e-12
        assert belief.api_gain_sigma > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ["kalman", "mhe"])
def test_a_feeders_own_disturbance_does_not_silence_the_nir(observer: Observer, name: str, seed: int) -> None:
    """A load cell that loses its span: its flow dips for a moment, and from then on it delivers a fifth more."""
    noise = observer.settings.observer.model_copy(update={"name": name})
    settings = observer.settings.model_copy(update={"observer": noise})
    watching = Observer(native(observer.bundle, cache_folder()), settings)
    beliefs = played(watching, seed, AT + AFTER, loss=1.2, disturbed=range(AT, AT + 5))
    found = next(k for k, b in enumerate(beliefs) if k > AT and b.api_gain > 1.1)
    assert (found - AT) * CYCLE_S < 300.0, "while what it did is still on its way"
    assert set(told(beliefs)) == {"delivered API"}
    assert beliefs[-1].api_gain == pytest.approx(1.2, abs=0.03)
