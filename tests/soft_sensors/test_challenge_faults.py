"""The catalogue of faults: physical, by degrees, reproducible, and none that changes the spectrum it is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soft_sensors.challenge.faults import FAULTS
from soft_sensors.challenge.scene import Fault, Scene
from soft_sensors.signals import FloatArray

from .conftest import make_blends

NAMED = ("spike", "dead pixel", "saturation", "axis shift", "stray light", "lamp intensity drift", "baseline jump",
         "empty chute", "probe fouling", "frozen scan", "water band", "wrong material", "wrong probe", "temperature",
         "gain error", "noise x3", "detector step", "fibre bend", "mirrored axis")


def scene(signal: str = "absorbance") -> Scene:
    blends = make_blends(2, seed=4)
    made = Scene(blends.axis, "nm", blends.spectra[0], blends.spectra[1], "absorbance")
    if signal == "absorbance":
        return made
    axis = np.linspace(200.0, 3600.0, 80)
    return replace(made, axis=axis, axis_unit="cm-1", signal="intensity", values=100 * made.values)


def apply(fault: Fault, given: Scene, severity: float) -> FloatArray:
    return fault.make(given, severity, np.random.default_rng(9))


def by_name(name: str) -> Fault:
    return next(fault for fault in FAULTS if fault.name == name)


def test_there_are_thirty_kinds_and_those_that_were_asked_for() -> None:
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names) >= 30
    assert set(NAMED) <= set(names)
    assert all(fault.reason and fault.scale for fault in FAULTS)


@pytest.mark.parametrize("signal", ["absorbance", "intensity"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_each_fault_is_reproducible_grows_and_leaves_its_input_alone(fault: Fault, signal: str) -> None:
    given = scene(signal)
    before = given.values.copy()
    full = apply(fault, given, 1.0)
    assert full.shape == before.shape
    assert np.isfinite(full).all()
    assert np.array_equal(full, apply(fault, given, 1.0))
    assert np.array_equal(given.values, before)
    assert np.abs(full - before).max() > 3e-3 * given.span
    if fault.graded:
        assert np.abs(apply(fault, given, 0.01) - before).max() < np.abs(full - before).max()


def test_an_axis_shift_moves_the_bands_by_its_nm() -> None:
    axis = np.linspace(1000.0, 1800.0, 401)
    band = np.exp(-0.5 * ((axis - 1400.0) / 20.0) ** 2)
    moved = apply(by_name("axis shift"), Scene(axis, "nm", band, band, "absorbance"), 1.0)
    centre = float((moved @ axis) / moved.sum())
    assert abs(centre - 1400.0) == pytest.approx(2.0, abs=0.01)


def test_a_shift_on_a_wavenumber_axis_is_the_same_in_nm() -> None:
    axis = np.linspace(10500.0, 7400.0, 400)
    given = Scene(axis, "cm-1", axis, axis, "absorbance")
    assert np.allclose(1e7 / (axis - given.nm(2.0, 4.0)) - 1e7 / axis, 2.0, rtol=3e-3)


def test_lamp_and_stray_light_act_on_light() -> None:
    given = scene()
    lost = apply(by_name("lamp intensity drift"), given, 1.0) - given.values
    assert np.allclose(lost, np.log10(2.0))
    stray = given.values - apply(by_name("stray light"), given, 1.0)
    assert int(np.argmax(stray)) == int(np.argmax(given.values))  # it eats the strongest band most


def test_noise_is_three_times_the_instruments() -> None:
    random = np.random.default_rng(1)
    axis = np.linspace(1000.0, 2000.0, 2000)
    given = Scene(axis, "nm", np.sin(axis / 200.0) + random.normal(0.0, 1e-3, axis.size), axis, "absorbance")
    assert given.noise_sd == pytest.approx(1e-3, rel=0.1)
    assert replace(given, values=apply(by_name("noise x3"), given, 1.0)).noise_sd == pytest.approx(3e-3, rel=0.1)


def test_frozen_and_mirrored_are_whole() -> None:
    given = scene()
    assert np.array_equal(apply(by_name("frozen scan"), given, 1.0), given.previous)
    assert np.array_equal(apply(by_name("mirrored axis"), given, 1.0), given.values[::-1])
