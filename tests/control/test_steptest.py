"""The step test: its design keeps limits, its rule stops it, its clock waits, and its answer is read honestly."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from control.decide.ratio import ratio_setpoints
from control.decide.steptest import StepTest, StepTestMemory
from control.errors import ControlError
from control.identify import fitted, identify, response
from control.settings import ControllerSettings, ControlSettings, StepTestSettings
from control.signals import Belief, Envelope, Estimate, Quality, Situation, Target
from control.steptest import Look, answer_lc_pct, design, level, prbs, staircase, verdict

TARGET = Target(10.0, 20.0, 250.0)
ASKED = StepTestSettings(variable="FeederApi", amplitude_pct=2.0, switch_s=200.0, length_min=30.0, lead_s=100.0)
FINE = Look(0.3, 0.2, 0.1, 0.0, Quality.GOOD)


@pytest.fixture(scope="module")
def tested(settings: ControlSettings) -> ControlSettings:
    chosen = ControllerSettings.model_validate({**dict(settings.controller), "name": "steptest", "steptest": ASKED})
    return settings.model_copy(update={"controller": chosen})


def situation(settings: ControlSettings, working: dict[str, float], time_s: float, off_pct: float = 0.0,
              factor: float = 1.0) -> Situation:  # fmt: skip
    belief = Belief(time_s, 10.0 + off_pct, 0.03, 1.0, 0.01, 0.0, 0.05, 250.0, 0.0, Quality.GOOD, "")
    nan = math.nan
    seen = Estimate(10.0, 0.1, 9.8, 10.2, 1.0, 9.0, nan, nan, Quality.GOOD, "", int(time_s), time_s)
    rooms = {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}
    return Situation(time_s, 5.0, TARGET, belief, seen, working, rooms, {"FeederApi": factor},
                     ratio_setpoints(settings, TARGET))  # fmt: skip


def test_the_answer_is_the_mass_balances(settings: ControlSettings) -> None:
    ratio = ratio_setpoints(settings, TARGET)
    for name in ("FeederApi", "FeederMcc", "FeederMgst"):
        more = {**ratio, name: 1.01 * ratio[name]}
        flows = [flow for key, flow in more.items() if key != "MainForce"]
        change = 100 * (100 * more["FeederApi"] / sum(flows) / 10.0 - 1)
        assert answer_lc_pct(settings, name, ratio) == pytest.approx(change, rel=0.02)


@pytest.mark.parametrize(
    ("asked", "why", "amplitude"),
    [
        ({}, "", 2.0), ({"amplitude_pct": 4.0}, "the quality limit", 2.0 / 0.9),
        ({"variable": "FeederMgst", "amplitude_pct": 9.0}, "its trim cap", 3.0),
    ],
)  # fmt: skip
def test_the_amplitude_is_cut_to_what_the_tightest_limit_leaves(
    settings: ControlSettings, asked: dict[str, object], why: str, amplitude: float
) -> None:
    made = design(settings, ASKED.model_copy(update=asked), ratio_setpoints(settings, TARGET))
    assert made.amplitude_pct == pytest.approx(amplitude)
    assert made.cut.startswith(why) if why else made.cut == ""
    assert made.predicted_lc_pct + ASKED.margin_lc_pct <= ASKED.api_limit_lc_pct + 1e-9


def test_its_own_limits_cut_the_amplitude_too(settings: ControlSettings) -> None:
    ratio = ratio_setpoints(settings, replace(TARGET, throughput_kg_h=44.5))
    made = design(settings, ASKED, ratio)
    assert made.cut.startswith("its high limit")
    assert ratio["FeederApi"] * (1 + made.amplitude_pct / 100) == pytest.approx(4.5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"variable": "MainForce"}, "'MainForce' is not a feeder"),
        ({"margin_lc_pct": 3.99}, "the quality limit leaves"),
        ({"length_min": 10.0}, "at least 4 are needed"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_is_refused(settings: ControlSettings, asked: dict[str, object], words: str) -> None:
    with pytest.raises(ControlError, match=words):
        design(settings, ASKED.model_copy(update=asked), ratio_setpoints(settings, TARGET))


@pytest.mark.parametrize("bits", range(3, 9))
def test_the_sequence_is_of_maximal_length_and_balanced(bits: int) -> None:
    period = 2**bits - 1
    signs = prbs(period)
    assert sum(signs) == 1
    spectrum = [sum(a * b for a, b in zip(signs, signs[k:] + signs[:k], strict=True)) for k in range(1, period)]
    assert set(spectrum) == {-1}  # white but for its mean: each shift is as unlike it as another
    assert sum(staircase(period)) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"api_off_lc_pct": -3.9}, "API -3.90 % of target"),
        ({"api_off_lc_pct": 3.7, "api_sigma_lc_pct": 0.4}, "API +3.70"),
        ({"weight_off_pct": 5.1}, "weight +5.10"), ({"blind_s": 61.0}, "no usable estimate for 61 s"),
        ({"quality": Quality.BAD}, "belief is not usable"), ({"api_off_lc_pct": math.nan}, "belief is not usable"),
        ({"same_recipe": False}, "the recipe changed"),
    ],
)  # fmt: skip
def test_the_rule_that_stops_it(change: dict[str, object], words: str) -> None:
    assert verdict(FINE, ASKED).going
    found = verdict(replace(FINE, **change), ASKED)
    assert not found.going
    assert words in found.reason


def play(settings: ControlSettings, cycles: int, follow_from: int = 0, off_at: int = 10**6) -> list[StepTestMemory]:
    """The controller with a PLC that takes its orders from a cycle on; API off by 5 % from another."""
    ratio = ratio_setpoints(settings, TARGET)
    controller, working, memory, kept = StepTest(settings), dict(ratio), None, []
    for k in range(cycles):
        seen = situation(settings, working, 5.0 * k, 0.5 if k >= off_at else 0.0)
        decision, memory = controller.decide(seen, memory)
        asked = decision.setpoints["FeederApi"] / ratio["FeederApi"]
        assert abs(asked - 1) <= 0.02 + 1e-9
        assert all(decision.setpoints[n] == ratio[n] for n in ratio if n != "FeederApi")
        assert len(decision.reason) <= 140
        working = dict(decision.setpoints) if k >= follow_from else working
        kept.append(memory)
    return kept


def test_it_is_played_once_from_lead_to_tail(tested: ControlSettings) -> None:
    kept = play(tested, 460)
    made = kept[0].made
    assert made is not None
    assert made.length_s == 2000.0
    seen = [level(made, m.elapsed_s) for m in kept]
    assert {-1, 0, 1} == set(seen)
    assert seen[:20] == [0] * 20
    assert seen[-30:] == [0] * 30
    assert kept[-1].aborted == ""


def test_the_clock_waits_until_the_plc_follows(tested: ControlSettings) -> None:
    waited, followed = play(tested, 100, follow_from=60), play(tested, 100)
    assert waited[59].elapsed_s < 115.0  # the lead passes at ratio, then nothing is taken
    assert waited[99].elapsed_s == pytest.approx(waited[59].elapsed_s + 40 * 5.0, abs=10.0)
    assert followed[99].elapsed_s > waited[99].elapsed_s + 150.0


def test_an_abort_is_for_good(tested: ControlSettings) -> None:
    kept = play(tested, 200, off_at=100)
    assert kept[99].aborted == ""
    assert kept[100].aborted.startswith("API +5.00 % of target")
    ratio = ratio_setpoints(tested, TARGET)
    decision, after = StepTest(tested).decide(situation(tested, ratio, 2000.0), kept[-1])
    assert decision.setpoints == ratio
    assert decision.reason.startswith("step test aborted, plain ratio: API +5.00")
    assert after.aborted == kept[100].aborted


def test_through_a_refill_the_order_counts_not_the_lagging_setpoint(tested: ControlSettings) -> None:
    kept = play(tested, 40)
    ratio = ratio_setpoints(tested, TARGET)
    lagging = situation(tested, ratio, 200.0, factor=0.9)
    decision, _ = StepTest(tested).decide(lagging, kept[-1])
    assert decision.figures["applied_kg_h"] == kept[-1].ordered_kg_h
    assert decision.setpoints["FeederApi"] == pytest.approx(0.9 * 1.02 * ratio["FeederApi"])


def record(seed: int, order: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Time, input, output, known disturbance, and the clean output; gain 4.5, lags 70 s, dead time 110 s."""
    draw = np.random.default_rng(seed)
    time_s, u = np.arange(840) * 5.0, np.full(840, 2.0)
    u[60:780] += 0.05 * np.repeat(prbs(9), 80)
    known = lfilter([1.0], [1.0, -0.9], draw.normal(0.0, 0.03, 840))
    clean = 10.0 + 4.5 * response(u - 2.0, 5.0, 110.0, 70.0, order) + 0.1 * time_s / time_s[-1]
    noise = lfilter([1.0], [1.0, -0.95], draw.normal(0.0, 0.008, 840)) + draw.normal(0.0, 0.1, 840)
    return time_s, u, clean + 0.8 * response(known - known[0], 5.0, 110.0, 70.0, order) + noise, known, clean


def test_without_noise_the_parameters_come_back(settings: ControlSettings) -> None:
    for order, lags in (("fopdt", 1), ("sopdt", 2)):
        time_s, u, _, _, clean = record(1, lags)
        found = identify(time_s, u, clean, order)  # type: ignore[arg-type]
        got = (found.gain.value, found.time_constant_s.value, found.dead_time_s.value, found.drift)
        assert got == pytest.approx((4.5, 70.0, 110.0, 0.1), rel=1e-3)
        np.testing.assert_allclose(fitted(found, time_s, u), clean, atol=1e-3)


def test_the_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    inside = np.zeros(3)
    for seed in range(40):
        time_s, u, output, known, _ = record(seed)
        output[::17] = math.nan
        found = identify(time_s, u, output, known=known)
        triples = ((found.gain, 4.5), (found.time_constant_s, 70.0), (found.dead_time_s, 110.0))
        inside += [interval.low <= truth <= interval.high for interval, truth in triples]
    assert np.all(inside >= 0.8 * 40)
    assert found.known_gain == pytest.approx(0.8, abs=0.5)


def test_records_that_tell_nothing_are_refused() -> None:
    time_s, u, output, _, _ = record(1)
    bent = time_s.copy()
    bent[400:] += 60.0
    for words, arguments in {
        "never moved": (time_s, np.full(840, 2.0), output), "equally spaced": (bent, u, output),
        "at least 60": (time_s, u, np.where(time_s < 250, output, math.nan)), "same length": (time_s, u[1:], output),
    }.items():  # fmt: skip
        with pytest.raises(ControlError, match=words):
            identify(*arguments)
