"""Tuning: points judged against the present weights, paired; the proposal follows the trade-off."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from control.commands import read_settings
from hil_sim.design import Design
from hil_sim.tune import WEIGHTS, choose, judge, pareto, present, proposals, toml_of
from hil_sim.tune_commands import tune

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


def settings(move: float, feed: float) -> tuple[tuple[str, float], ...]:
    return ((WEIGHTS[0], move), (WEIGHTS[1], feed))


def row(scenario: str, seed: int, point: tuple[tuple[str, float], ...], iae: float, travel: float) -> dict[str, object]:
    return {"scenario": scenario, "seed": seed, "iae": iae, "travel": travel, **dict(point)}


NOW, CALM, TIGHT, BAD = settings(0.02, 0.02), settings(0.005, 0.02), settings(0.05, 0.01), settings(0.03, 0.08)
TRIED = [NOW, CALM, TIGHT, BAD]
# Errors differ tenfold between scenarios: only ratios, paired, may be averaged.
ROWS = [
    row(scenario, seed, point, scale * seed * quality, 100.0 * scale * travel)
    for scenario, scale in (("nominal", 1.0), ("hidden_loss", 10.0))
    for seed in (1, 2)
    for point, quality, travel in ((NOW, 1.0, 1.0), (CALM, 1.1, 0.5), (TIGHT, 0.9, 1.5), (BAD, 1.2, 1.1))
]


def test_points_are_judged_as_paired_ratios_to_the_present() -> None:
    judged = judge(ROWS, TRIED)  # type: ignore[arg-type]
    assert [(round(p.quality, 6), round(p.travel, 6)) for p in judged] == [(1, 1), (1.1, 0.5), (0.9, 1.5), (1.2, 1.1)]
    assert all(p.quality_half == pytest.approx(0.0, abs=1e-9) for p in judged), "no scatter but that of the scenarios"


def test_the_proposal_follows_the_trade_off() -> None:
    judged = judge(ROWS, TRIED)  # type: ignore[arg-type]
    assert choose(judged, 0.1).settings == TIGHT
    assert choose(judged, 1.0).settings == CALM
    assert [p.settings for p in pareto(judged)] == [CALM, NOW, TIGHT]


def test_the_present_is_kept_when_nothing_is_better() -> None:
    judged = judge(ROWS, [NOW, BAD])  # type: ignore[arg-type]
    assert choose(judged, 0.3).settings == NOW


def test_proposals_begin_with_the_present_and_stay_within_reach() -> None:
    line = read_settings(LINE_FILE)
    tried = proposals(Design(line=LINE_FILE, scenarios=("nominal",)), line, 8)
    assert tried[0] == present(line)
    assert len(set(tried)) == 9
    for point in tried[1:]:
        for (key, value), (_, now) in zip(point, present(line), strict=True):
            assert now / 4.1 <= value <= now * 4.1, key


def test_the_table_to_paste_is_the_line_files() -> None:
    assert toml_of(CALM) == "[controller.mpc]\nmove_rel = 0.005\nfeed_api_pct = 0.02"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([str(LINE_FILE), "--trade-off", "wild", "--out", "x"], "neither tight, calm nor a number"),
        ([str(LINE_FILE), "--trade-off", "-1", "--out", "x"], "neither tight, calm nor a number"),
        (["nothing.toml", "--trade-off", "calm", "--out", "x"], "cannot be read"),
        ([str(LINE_FILE), "--trade-off", "calm", "--scenario", "flood", "--out", "x"], "flood"),
    ],
)
def test_wrong_input_is_exit_2(argv: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # what a command may leave in '--out x' is not left in the repository
    done = CliRunner().invoke(tune, argv)
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output
