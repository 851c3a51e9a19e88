"""Tracking as a whole on a toy line: when it diverts, why, and when it stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from track_toy import CYCLE_S, Player, Toy

from control.settings import ControlSettings
from control.signals import LabResult
from control.track import NirSeen, Risk, Tracker, TrackSettings
from control.track import track as track_once
from control.track import tracker as compose


@pytest.fixture
def fixed(settings: ControlSettings) -> Tracker:
    return compose(settings, TrackSettings(stations=36), 5.0, 2.0)


def test_nothing_is_released_before_something_is_known(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    first = player.run(1)[0]
    assert first.divert.given
    assert not player.run(60)[-1].divert.given


def test_a_quiet_line_is_released_with_bounds_inside_and_little_risk(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(120)
    quiet = player.run(240)
    assert not any(t.divert.given for t in quiet)
    assert all(t.gate.low_lc_pct < 100 < t.gate.high_lc_pct for t in quiet)
    assert max(t.gate.p_nonconf for t in quiet) < 1e-3


@pytest.mark.parametrize(("hidden", "seed"), [(0.10, 1), (0.20, 2), (0.25, 3), (-0.15, 4)])
def test_a_hidden_loss_is_diverted_before_it_is_outside(fixed: Tracker, hidden: float, seed: int) -> None:
    player = Player(Toy(seed=seed), fixed)
    player.run(180)
    player.toy.hidden = hidden
    before = 100.0
    for truth, tracked in player.cycles(120):
        if abs(truth - 100.0) > 5.0:  # what was decided in the cycle before holds for this material
            assert abs(before - 100.0) < 5.0 or tracked.divert.given
        before = truth
    assert tracked.divert.given
    assert "API at the gate" in tracked.divert.reason
    assert len(tracked.divert.reason) <= 140


def test_what_the_feeders_saw_is_diverted_ahead_of_the_nir_and_ends_when_it_has_passed(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(180)
    player.toy.api_kg_h = 0.6
    truths = list(player.cycles(18))
    player.toy.api_kg_h = 2.0
    truths += list(player.cycles(200))
    outside = [i for i, (truth, _) in enumerate(truths) if abs(truth - 100.0) > 5.0]
    diverted = [i for i, (_, tracked) in enumerate(truths) if tracked.divert.given]
    assert min(diverted) < min(outside), "begun before the material is there"
    assert set(outside) <= set(diverted)
    assert max(diverted) - max(outside) < 20, "and stopped within 100 s of the last of it"


def test_without_nir_the_feeders_vouch_for_a_while_and_then_it_fails_safe(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(180)
    player.toy.nir = False
    silent = player.run(12)
    first = next(i for i, t in enumerate(silent) if t.divert.given)
    assert (first + 1) * CYCLE_S > fixed.settings.nir_gap_s
    assert "no usable NIR" in silent[-1].divert.reason
    player.toy.nir = True
    assert not player.run(12)[-1].divert.given


def test_a_loss_during_silence_is_not_released_when_the_nir_is_back(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(180)
    player.toy.nir, player.toy.hidden = False, 0.12
    player.run(48)
    player.toy.nir = True
    assert all(t.divert.given for t in player.run(40))


def test_what_comes_after_a_time_without_a_look_is_looked_at_before_it_is_released(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    assert not player.run(180)[-1].divert.given
    for _ in range(3):
        player.toy.step()
    back = player.run(12)
    assert back[0].divert.given
    assert "nobody looked at the material for 20 s" in back[0].divert.reason
    diverted_kg = sum(t.divert.given for t in back) * CYCLE_S * 20.0 / 3600.0
    assert fixed.settings.confirm_kg < diverted_kg < 3 * fixed.settings.confirm_kg
    assert not back[-1].divert.given
    player.toy.step()
    assert not player.run(1)[0].divert.given, "one look that is missed is nothing"


def test_feeders_do_not_vouch_for_what_came_unseen(fixed: Tracker) -> None:
    player = Player(Toy(seed=6), fixed)
    player.run(30)
    assert player.memory is not None
    assert not player.memory.gap.settled, "what was there at the start is still in the line"
    for _ in range(240):
        player.toy.step()
    assert player.run(2)[-1].gate.sigma_lc_pct > 1.0, "as unsure as one estimate leaves it"


def test_a_swing_that_is_half_sure_counts_half(settings: ControlSettings) -> None:
    """The bounds reach further towards where innovations lean, and nothing else of the estimate changes."""
    with_it, without = (
        Player(Toy(seed=5), compose(settings, TrackSettings(stations=36, swing_doubt_lc_pct=doubt), 5.0, 2.0))
        for doubt in (1.0, 0.0)
    )
    for player in (with_it, without):
        player.run(180)
        player.toy.hidden = 0.08
    further = []
    for one, other in zip(with_it.run(20), without.run(20), strict=True):
        assert one.gate.lc_pct == other.gate.lc_pct
        assert -1.0 - 1e-12 <= one.gate.low_lc_pct - other.gate.low_lc_pct <= 0.0
        assert 0.0 <= one.gate.high_lc_pct - other.gate.high_lc_pct <= 1.0 + 1e-12
        further.append(other.gate.low_lc_pct - one.gate.low_lc_pct)
    assert max(further) > 0.5, "before it is found it leans far"


def test_silence_opens_the_interval_until_the_nir_has_said_enough(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    known = player.run(180)[-1].gate.sigma_lc_pct
    player.toy.nir = False
    player.run(12)
    player.toy.nir = True
    first = player.run(1)[0].gate.sigma_lc_pct
    assert first > 1.5 * known
    assert player.run(30)[-1].gate.sigma_lc_pct < first / 1.3


def test_an_nir_that_stands_still_does_not_talk_away_what_the_feeders_saw(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(180)
    player.toy.api_kg_h = 0.6
    diverted = []
    for cycle in range(80):
        player.toy.api_kg_h = 0.6 if cycle < 18 else 2.0
        stuck = NirSeen(10.0, 0.13, player.toy.time_s + CYCLE_S)
        diverted.append(player.run(1, nir=stuck)[0].divert.given)
        if player.toy.gate_pct < 8.9:  # the toy's tanks let the first of it through sooner than the model's
            assert diverted[-1]
    assert 40 <= sum(diverted) < 80


def test_release_needs_confirmed_mass(fixed: Tracker, settings: ControlSettings) -> None:
    slow = compose(settings, TrackSettings(stations=36, confirm_kg=0.5), 5.0, 2.0)
    stops = []
    for chosen in (fixed, slow):
        player = Player(Toy(), chosen)
        stops.append(next(i for i, t in enumerate(player.run(200)) if not t.divert.given))
    fed_per_cycle_kg = 20.0 / 3600.0 * CYCLE_S
    assert (stops[1] - stops[0]) * fed_per_cycle_kg == pytest.approx(0.5 - fixed.settings.confirm_kg, abs=0.06)


def test_another_quality_diverts_too_and_says_so(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(120)
    light = Risk("tablet weight", 240.5, 2.0, 237.5, 262.5, "mg")
    tracked = player.run(1, risks=(light,))[0]
    assert tracked.divert.given
    assert tracked.divert.reason == "tablet weight 240.5±4.0 mg, limits 237.5 to 262.5"


def test_the_laboratory_moves_the_bias_and_narrows_the_bounds(fixed: Tracker) -> None:
    player = Player(Toy(nir_bias_pct=0.08), fixed)
    before = player.run(240)[-1].gate
    lab = LabResult(1, player.toy.time_s - 300.0, player.toy.time_s, 10.0, math.nan, math.nan)
    after = player.run(1, lab=lab)[0].gate
    assert after.sigma_lc_pct < before.sigma_lc_pct
    again = player.run(1, lab=lab)[0].gate
    assert again.sigma_lc_pct == pytest.approx(after.sigma_lc_pct, rel=0.05), "a result counts once"


def test_a_slow_change_of_the_nir_is_the_products_until_the_laboratory_speaks(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(180)
    for _ in range(120):
        player.toy.nir_bias_pct -= 0.004  # 29 % of target an hour
        tracked = player.run(1)[0]
    assert tracked.divert.given
    for counter in (1, 2, 3):
        lab = LabResult(counter, player.toy.time_s, player.toy.time_s, player.toy.gate_pct, math.nan, math.nan)
        tracked = player.run(20, lab=lab)[-1]
    assert not tracked.divert.given


def test_tracking_is_pure(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    player.run(30)
    seen = player.toy.step()
    first, again = (track_once(fixed, player.memory, seen) for _ in range(2))
    assert first[0] == again[0]
    assert np.array_equal(first[1].gap.cov, again[1].gap.cov)
