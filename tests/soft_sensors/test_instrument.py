"""Instrument verification: bands put at known places, and glass standards that three real instruments measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from soft_sensors.signals import FloatArray, Quality, Verdict
from soft_sensors.watch import plan as plans
from soft_sensors.watch.instrument import (
    Figure,
    InstrumentRecord,
    VerificationError,
    instrument_verdict,
    linearity_figures,
    nir_tolerance_nm,
    noise_figures,
    peak_position,
    wavelength_figures,
)
from soft_sensors.watch.plan import Standards, read_plan, verify
from soft_sensors.watch.records import read_record, write_record
from soft_sensors.watch_commands import instrument_command

from .conftest import real, write_table

AXIS = np.arange(1000.0, 2400.0, 2.0)
CERTIFIED = np.array([1132.0, 1261.0, 1681.3, 2201.4])
PLAN = """instrument = "nir_1"
axis_unit = "nm"
valid_days = 7
[[axis]]
sample_id = "glass"
peaks = [1132.0, 1261.0, 1681.3, 2201.4]
[[linearity]]
at = 1500.0
certified = { g1 = 0.1, g2 = 0.5, g3 = 1.0 }
[[noise]]
sample_id = "white"
"""


def bands(shift: float) -> FloatArray:
    return np.asarray(sum(np.exp(-0.5 * ((AXIS - c - shift) / 6.0) ** 2) for c in CERTIFIED))


@pytest.mark.parametrize("shift", [-1.3, -0.4, 0.0, 0.77])
def test_a_band_is_found_to_a_twentieth_of_a_channel(shift: float) -> None:
    found = [peak_position(AXIS, bands(shift), float(c)) for c in CERTIFIED]
    assert np.allclose(found, CERTIFIED + shift, atol=0.1)


def test_where_there_is_no_band_there_is_no_position() -> None:
    assert np.isnan(peak_position(AXIS, AXIS / 1000.0, 1500.0))
    assert np.isnan(peak_position(AXIS, bands(0.0), 5000.0))
    figure = wavelength_figures(AXIS, AXIS / 1000.0, np.array([1500.0]), np.array([1.0]), "nm")[0]
    assert not figure.passed


@pytest.mark.parametrize(("shift", "passed"), [(0.9, [True] * 4), (1.2, [False] * 3 + [True]), (-1.7, [False] * 4)])
def test_one_nm_below_2000_nm_and_one_and_a_half_above(shift: float, passed: list[bool]) -> None:
    figures = wavelength_figures(AXIS, bands(shift), CERTIFIED, nir_tolerance_nm(CERTIFIED), "nm")
    assert [f.passed for f in figures] == passed


@pytest.mark.parametrize(
    ("slope", "intercept", "passed"),
    [(1.0, 0.0, [True, True]), (1.06, 0.0, [False, True]), (0.94, 0.0, [False, True]), (1.0, 0.06, [True, False])],
)
def test_photometric_linearity(slope: float, intercept: float, passed: list[bool]) -> None:
    certified = np.array([0.1, 0.5, 1.0, 1.7])
    assert [f.passed for f in linearity_figures(certified, slope * certified + intercept)] == passed


def test_linearity_needs_three_standards() -> None:
    with pytest.raises(VerificationError, match="three different"):
        linearity_figures(np.array([0.1, 0.5, 0.5]), np.array([0.1, 0.5, 0.5]))


def test_noise_is_what_was_put_in_whatever_the_slope() -> None:
    noisy = np.random.default_rng(1).normal(0.0, 0.25e-3, AXIS.size) + 1e-4 * AXIS
    figure = noise_figures(AXIS, noisy, 0.3e-3, "noise")[0]
    assert figure.value == pytest.approx(0.25e-3, rel=0.1)
    assert figure.passed
    assert not noise_figures(AXIS, 2 * noisy, 0.3e-3, "noise")[0].passed
    with pytest.raises(VerificationError, match="segment"):
        noise_figures(AXIS[:20], noisy[:20], 0.3e-3, "noise")


def record(value: float = 0.0) -> InstrumentRecord:
    return InstrumentRecord("nir_1", 1000.0, 2000.0, (Figure("axis at 1261", value, -1.0, 1.0, "nm"),))


@pytest.mark.parametrize(
    ("given", "now_s", "quality", "reason"),
    [
        (record(), 1500.0, Quality.GOOD, ""),
        (record(), 2000.0, Quality.GOOD, ""),
        (record(), 2000.0 + 86400.0, Quality.UNCERTAIN, "overdue by 1.0 days"),
        (record(1.2), 1500.0, Quality.BAD, "axis at 1261 1.2 nm"),
        (record(float("nan")), 1500.0, Quality.BAD, "failed"),
        (record(1.2), 9e9, Quality.BAD, "failed"),
        (record(), 900.0, Quality.UNCERTAIN, "future"),
        (None, 1500.0, Quality.UNCERTAIN, "never verified"),
        (InstrumentRecord("nir_1", 1000.0, 2000.0, ()), 1500.0, Quality.BAD, "no figures"),
    ],
)
def test_what_a_verification_does_to_the_estimate(
    given: InstrumentRecord | None, now_s: float, quality: Quality, reason: str
) -> None:
    verdict = instrument_verdict(given, now_s)
    assert verdict.quality is quality
    assert reason in verdict.reason
    assert (verdict == Verdict(Quality.GOOD)) is (quality is Quality.GOOD)


def measured(folder: Path, shift: float) -> Path:
    random = np.random.default_rng(2)
    rows = [bands(shift), *(np.full(AXIS.size, level) for level in (0.1, 0.5, 1.0)), random.normal(0, 2e-4, AXIS.size)]
    return write_table(folder / f"standards{shift:g}.csv", AXIS, ["glass", "g1", "g2", "g3", "white"], rows)


def test_command_passes_and_fails_and_writes_the_record(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    for shift, code in ((0.2, 0), (1.4, 1)):
        out = tmp_path / "record.json"
        done = CliRunner().invoke(instrument_command, [
            "--plan", str(plan), "--spectra", str(measured(tmp_path, shift)), "--time", "2026-05-04T08:00:00Z",
            "--json", str(out)])
        assert done.exit_code == code, done.output
        written = json.loads(out.read_text())
        assert written["passed"] is (code == 0)
        assert written["valid_until"] - written["time"] == 7 * 86400
        assert {f["name"] for f in written["figures"]} >= {"axis at 1261", "photometric slope", "noise, high flux"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAN.replace("glass", "holmium"), "holmium"),
        (PLAN + "[[nose]]\nx = 1\n", "nose"),
        ('instrument = "a"\naxis_unit = "nm"\nvalid_days = 1\n', "nothing is tested"),
        (PLAN.replace('"nm"', '"cm-1"'), "give tolerance"),
        (PLAN.replace("valid_days = 7", "valid_days = 0"), "valid_days"),
        ("instrument = ", "not valid TOML"),
    ],
)
def test_a_wrong_plan_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(text)
    done = CliRunner().invoke(instrument_command, [
        "--plan", str(plan), "--spectra", str(measured(tmp_path, 0.0)), "--time", "0"])
    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["nir_example", "raman_polystyrene"])
def test_the_plans_that_we_ship_can_be_read(name: str) -> None:
    plan = read_plan(Path(plans.__file__).parent / "plans" / f"{name}.toml")
    assert "confirmed by the site" in plan.source


def test_glass_on_three_real_instruments() -> None:
    """The bands of the master's glass as certificate: the master passes, the third is off by more than 1 nm."""
    stored = real("corn_nir_3_instruments")
    axis = stored["wavelength_nm"].astype(float)
    glass = {name: stored[f"nbs_{name}"].astype(float) for name in ("m5", "mp5", "mp6")}
    mean = glass["m5"].mean(axis=0)
    peaks = tuple(round(peak_position(axis, mean, near), 2) for near in (1132.0, 1260.0, 1534.0, 1936.0))
    plan = plans.Plan(instrument="x", axis_unit="nm", valid_days=7, axis=(plans.AxisTest(sample_id="a", peaks=peaks),),
                      noise=(plans.NoiseTest(sample_id="a", against="b"),))
    made = {name: verify(plan, Standards(axis, {"a": rows[0], "b": rows[1]}), 0.0) for name, rows in glass.items()}
    assert made["m5"].passed
    assert not made["mp6"].passed
    assert [f.name for f in made["mp6"].figures if not f.passed] == [f"axis at {p:g}" for p in peaks[:3]]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for given in (record(0.4), record(1.4)):
        write_record(given, tmp_path / "r.json")
        assert read_record((tmp_path / "r.json").read_text(), "r.json") == given
    lost = record(float("nan"))
    write_record(lost, tmp_path / "r.json")
    assert not read_record((tmp_path / "r.json").read_text(), "r.json").passed


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"passed": false', '"passed": true', "says passed"),
        ('"value": 1.4', '"value": 0.4', "says passed"),
        ('"valid_until"', '"valid"', "valid_until"),
        ('"time": 1000.0', '"time": NaN', "time"),
        ("{", "", "verify again"),
    ],
)
def test_an_edited_record_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    write_record(record(1.4), tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert old in text
    with pytest.raises(VerificationError, match=said):
        read_record(text.replace(old, new, 1), "r.json")
