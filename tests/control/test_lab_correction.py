"""A corrected laboratory result: the belief goes on as if the wrong one had never come, as far as memory reaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from control.native import cache_folder, native
from control.observe import Memory, Observation, Observer, observe
from control.signals import Belief, LabResult, Target
from control.track.gap import Fed, begin, confirm, follow
from control.track.gap import NirSeen as Nir
from control.track.settings import TrackSettings

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
FLOWS = {f"y_flow_{n}": (v, 0.015 * v) for n, v in SETPOINTS.items() if n != "MainForce"}
CYCLE_S, SAMPLED_S = 5.0, 600.0
RIGHT = LabResult(7, SAMPLED_S, 750.0, 10.05, 251.0, 80.0, "S1")
WRONG = replace(RIGHT, assay_pct=8.5, tablet_weight_mg=238.0)
CORRECTION = replace(RIGHT, counter=9, corrects=True)


def run(observer: Observer, results: dict[float, LabResult], until_s: float = 1000.0) -> tuple[list[Belief], list[str]]:
    """Beliefs after each cycle of a steady line, and every note; results by the time they come."""
    random, memory, beliefs, notes = np.random.default_rng(5), None, [], []
    for k in range(int(until_s / CYCLE_S)):
        t = k * CYCLE_S
        values = {**FLOWS, "y_force": (9.55, 0.15), "y_nir": (10.0 + 0.12 * random.standard_normal(), 0.12)}
        lab = (results[t],) if t in results else ()
        memory_before: Memory | None = memory
        belief, memory = observe(observer, memory_before, Observation(t, values, SETPOINTS, TARGET, lab))
        beliefs.append(belief)
        notes += belief.notes
    return beliefs, notes


def named(observer: Observer, name: str) -> Observer:
    """The same observer by that name; in machine code where there is a compiler, as the service runs it."""
    noise = observer.settings.observer.model_copy(update={"name": name})
    settings = observer.settings.model_copy(update={"observer": noise})
    return Observer(native(observer.bundle, cache_folder()), settings)


@pytest.mark.parametrize("name", ["kalman", "mhe"])
def test_the_belief_is_as_if_the_wrong_result_had_never_come(observer: Observer, name: str) -> None:
    watching = named(observer, name)
    mended, notes = run(watching, {750.0: WRONG, 800.0: CORRECTION})
    misled, _ = run(watching, {750.0: WRONG})
    straight, _ = run(watching, {800.0: RIGHT})
    off = abs(misled[-1].nir_bias_pct - straight[-1].nir_bias_pct)
    least = {"kalman": 0.3, "mhe": 0.03}[name]  # the window's loss weighs a gross error down by itself
    assert off > least, "a wrong result moves the belief: there is something to correct"
    for figure in ("api_pct", "nir_bias_pct", "api_gain", "weight_bias_mg"):
        assert getattr(mended[-1], figure) == pytest.approx(getattr(straight[-1], figure), abs=2e-3), figure
    assert any("S1" in note for note in notes)


def test_a_correction_from_before_the_memory_is_noted(observer: Observer) -> None:
    memory_s = observer.noise.memory_s
    late = 750.0 + memory_s + 600.0
    _, notes = run(observer, {750.0: WRONG, late: CORRECTION}, until_s=late + 50.0)
    assert any("S1 is corrected: as old as the memory" in note for note in notes)
    assert any("S1 is older than the memory" in note for note in notes)


def test_a_correction_from_before_the_window_is_noted(observer: Observer) -> None:
    watching = named(observer, "mhe")
    _, notes = run(watching, {750.0: WRONG, 980.0: CORRECTION})
    assert any(note.startswith("y_lab_assay: dropped") and "outside the window" in note for note in notes)


def test_tracking_takes_back_what_the_wrong_result_moved(observer: Observer) -> None:
    noise, settings = observer.noise, TrackSettings()
    gap = begin(0.0, noise, 10.0)
    for k in range(400):
        t = k * CYCLE_S
        gap = follow(gap, t, Fed(10.0, 0.01, 120.0), Nir(10.0, 0.12, t), None, 10.0, settings, noise)
    straight = confirm(gap, RIGHT, noise)
    misled = confirm(gap, WRONG, noise)
    mended = confirm(misled, CORRECTION, noise)
    assert abs(misled.pct - straight.pct) > 0.5
    assert mended.pct == pytest.approx(straight.pct, abs=0.1)
    other = replace(CORRECTION, sample_time_s=SAMPLED_S - 300.0)
    assert confirm(misled, other, noise) == misled, "what another result moved is not known any more"
