"""The interval that goes out: widened by misses within its bounds, joined by sample time, begun anew with a model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from control.signals import LabResult
from edge.config import LineConfig, read_config
from edge.errors import ConfigError
from edge.watching import Watch, channels, hear, of_model, send, told_of_drift
from soft_sensors.bundle import load_bundle
from soft_sensors.signals import Contribution, Estimate, Outcome, Quality
from soft_sensors.watch.drift import BASELINE

ROOT = Path(__file__).parents[2]
LINE_FILE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
CARD = replace(load_bundle(ROOT / "deploy" / "models" / "cdc_api_nir").card, accept=(9.0, 11.0))
MODEL = ("bundle", 0.0)
T0, STEP_S = 1_760_000_000.0, 5.0


@pytest.fixture(scope="module")
def config() -> LineConfig:
    return read_config(LINE_FILE)[0]


def estimate(k: int, value: float = 10.0, quality: Quality = Quality.GOOD, q_share: float = 0.1) -> Estimate:
    half = CARD.half_width
    return Estimate(
        value, half / 1.645, value - half, value + half, 0.1 * CARD.t2_limit, CARD.t2_limit, q_share * CARD.q_limit,
        CARD.q_limit, quality, "", k, T0 + STEP_S * k, outcome=Outcome.WITHIN,
        contributions=(Contribution("Q", 1410.2, 0.32), Contribution("Q", 1404.0, 0.2)),
    )  # fmt: skip


def lab(counter: int, k: float, assay: float) -> LabResult:
    taken_s = T0 + STEP_S * k
    return LabResult(counter, taken_s, taken_s + 300.0, assay, 250.0, 90.0)


def sent(cycles: int, watch: Watch | None = None, first: int = 0, high: float = 3.0) -> Watch:
    watch = of_model(Watch() if watch is None else watch, MODEL)
    for k in range(first, first + cycles):
        _, watch = send(watch, CARD, estimate(k), high)
    return watch


def test_without_a_laboratory_nothing_is_changed(config: LineConfig) -> None:
    watch = sent(50)
    assert hear(watch, None, config) is watch
    assert send(watch, CARD, estimate(50), 3.0)[0] == estimate(50)


def test_a_miss_widens_what_goes_out_next_and_a_hit_does_not(config: LineConfig) -> None:
    watch = sent(50)
    hit, missed = hear(watch, lab(1, 20, 10.1), config), hear(watch, lab(1, 20, 10.5), config)
    assert send(hit, CARD, estimate(50), 3.0)[0] == estimate(50)
    out, _ = send(missed, CARD, estimate(50), 3.0)
    factor = missed.coverage.scale
    assert 1.1 < factor < 1.2
    assert out.upper - out.value == pytest.approx(factor * CARD.half_width)
    assert out.value - out.lower == pytest.approx(factor * CARD.half_width)
    assert out.sigma == pytest.approx(factor * estimate(50).sigma)


def test_a_result_at_hand_for_many_cycles_counts_once(config: LineConfig) -> None:
    watch = hear(sent(50), lab(1, 20, 10.5), config)
    again = watch
    for _ in range(30):
        again = hear(again, lab(1, 20, 10.5), config)
    assert again is watch


def test_a_late_result_and_one_out_of_order_meet_their_own_intervals(config: LineConfig) -> None:
    watch = sent(200)
    for counter, k in ((1, 150), (2, 20)):
        watch = hear(watch, lab(counter, k, 10.05), config)
    assert [time_s for time_s, _ in watch.differences] == [T0 + 20 * STEP_S, T0 + 150 * STEP_S]
    assert sum(i.reference is not None for i in watch.coverage.issued) == 2


def test_a_corrected_result_replaces_the_first(config: LineConfig) -> None:
    watch = hear(sent(100), lab(1, 20, 12.0), config)
    mended = hear(watch, lab(1, 20, 10.05), config)
    assert watch.differences[0][1] == pytest.approx(-2.0)
    assert [round(d, 6) for _, d in mended.differences] == [-0.05]
    assert mended.coverage.scale == watch.coverage.scale, "moved once"
    assert (watch.covered, mended.covered) == ((0, 1), (1, 1))


def test_the_transport_delay_is_taken_off_the_sample_time(config: LineConfig) -> None:
    assert config.lab is not None
    slow = config.model_copy(update={"lab": config.lab.model_copy(update={"delay_s": 60.0})})
    watch = hear(sent(100), lab(1, 50, 10.05), slow)
    assert watch.differences[0][0] == T0 + 50 * STEP_S - 60.0


@pytest.mark.parametrize(("k", "assay"), [(-100, 10.5), (20, math.nan), (500, 10.5)])
def test_what_meets_no_interval_moves_nothing(config: LineConfig, k: float, assay: float) -> None:
    watch = hear(sent(100), lab(1, k, assay), config)
    assert (watch.coverage.scale, watch.differences) == (1.0, ())


@pytest.mark.parametrize("high", [1.0, 1.5, 3.0])
def test_the_factor_stays_within_the_stated_bound(config: LineConfig, high: float) -> None:
    table = config.sensor.model_copy(update={"interval_factor_max": high})
    bound = config.model_copy(update={"sensor": table})
    watch = sent(100)
    for k in range(30):
        watch = hear(watch, lab(k, 3 * k, 99.0), bound)
    assert watch.coverage.scale == high
    out, _ = send(watch, CARD, estimate(100), high)
    assert out.upper - out.lower == pytest.approx(high * 2 * CARD.half_width)
    spent = high > 1.0
    assert out.quality is (Quality.UNCERTAIN if spent else Quality.GOOD)
    assert ("at its bound" in out.reason) is spent


def test_a_wider_interval_is_concluded_from_anew(config: LineConfig) -> None:
    watch, near = sent(100), 11.0 - 1.2 * CARD.half_width
    assert send(watch, CARD, estimate(100, near), 3.0)[0].outcome is Outcome.WITHIN
    for k in range(5):
        watch = hear(watch, lab(k, 3 * k, 12.0), config)
    out, _ = send(watch, CARD, estimate(100, near), 3.0)
    assert out.outcome is Outcome.UNDECIDED
    assert "spans an acceptance limit" in out.undecided


def test_a_bad_estimate_goes_out_as_it_is_and_is_not_remembered() -> None:
    watch = sent(10)
    bad = estimate(10, quality=Quality.BAD)
    assert send(watch, CARD, bad, 3.0) == (bad, watch)


def test_another_model_starts_anew_and_another_bias_keeps_the_width(config: LineConfig) -> None:
    watch = hear(sent(100), lab(1, 20, 10.5), config)
    assert of_model(watch, MODEL) is watch
    other = of_model(watch, ("other", 0.0))
    assert (other.coverage.scale, len(other.coverage.issued), other.differences) == (1.0, 0, ())
    shifted = of_model(watch, ("bundle", 0.1))
    assert (shifted.coverage.scale, len(shifted.coverage.issued)) == (watch.coverage.scale, 0)
    assert hear(shifted, lab(2, 60, 10.5), config).coverage.scale == watch.coverage.scale, "a sample of the old bias"


def test_a_clock_that_was_set_back_does_not_stop_the_watch() -> None:
    watch = sent(10, first=100_000)
    watch = sent(5, watch)
    assert [i.sample_time_s for i in watch.coverage.issued] == [T0 + STEP_S * k for k in range(5)]


def names(watch: Watch) -> dict[str, str]:
    return {f.name: f.text for f in told_of_drift(watch, estimate(0), "nm")}


def test_a_run_of_results_on_one_side_is_told_until_one_is_on_the_other(config: LineConfig) -> None:
    watch = sent(200)
    for k in range(9):
        assert names(watch) == {}
        watch = hear(watch, lab(k + 1, 10 * k, 9.9), config)
    assert "9 laboratory results in a row below it, mean difference +0.1" in names(watch)["nir_lab_runs"]
    corrected = hear(watch, lab(50, 40, 10.1), config)
    assert names(corrected) == {}, "a correction in the middle of the run breaks it"
    assert "nir_lab_runs" not in names(of_model(watch, ("bundle", 0.1))), "a bias update ends it"


def test_a_risen_q_and_a_widened_interval_are_told_with_figure_and_channel(config: LineConfig) -> None:
    watch = sent(BASELINE + 10)
    assert names(watch) == {}
    for k in range(8):
        watch = hear(watch, lab(k + 1, 3 * k, 12.0), config)
    for k in range(BASELINE + 10, BASELINE + 90):
        _, watch = send(watch, CARD, estimate(k, q_share=0.5), 3.0)
    told = names(watch)
    assert set(told) == {"nir_q_trend", "nir_width"}
    assert "Q: 1410 nm 32 %, 1404 nm 20 %" in told["nir_q_trend"]
    assert "49 % of its limit" in told["nir_q_trend"]
    assert "widened 2.9 times, 0 of 8 laboratory results inside" in told["nir_width"]


def test_a_rise_far_below_the_limit_is_not_told() -> None:
    watch = sent(BASELINE + 10)
    for k in range(BASELINE + 10, BASELINE + 90):
        _, watch = send(watch, CARD, estimate(k, q_share=0.2), 3.0)
    assert names(watch) == {}


def test_channels_are_named_where_a_limit_is_broken() -> None:
    assert channels(estimate(0), "nm") == ""
    assert channels(estimate(0, q_share=1.5), "nm") == "Q: 1410 nm 32 %, 1404 nm 20 %"


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("interval_factor_max = 3.0", "interval_factor_max = 3.1", "interval_factor_max"),
        ("interval_factor_max = 3.0", "interval_factor_max = 0.9", "interval_factor_max"),
        ("delay_s = 0.0", "delay_s = -1.0", "delay_s"),
        ("max_age_s = 12.0", "max_age_s = 12.0\nverification_every_h = 24.0", "needs 'verification'"),
    ],
)
def test_bounds_of_the_line_file(tmp_path: Path, before: str, after: str, word: str) -> None:
    text = LINE_FILE.read_text()
    assert before in text
    (tmp_path / "line.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError, match=word):
        read_config(tmp_path / "line.toml")
