"""The NIR probe and the calibration blends."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from hil_sim.blends import COLUMNS, designed_blends, write_blends
from hil_sim.line.parameters import ParameterError
from hil_sim.probe.nir import REFERENCE_PROBE, NirProbe, Presentation

RECIPE = (0.10, 0.5157, 0.349, 0.0097, 0.0256)


@pytest.fixture(scope="module")
def blends():
    return designed_blends(1)


def prepared(spectra):
    slopes = np.gradient(np.asarray(spectra), axis=1)
    return (slopes - slopes.mean(axis=1, keepdims=True)) / slopes.std(axis=1, keepdims=True)


class Latent:
    """A plain PLS1 with residual distance, enough to see what a soft sensor would."""

    def __init__(self, x, y, count=4):
        self.centre, self.level = x.mean(axis=0), y.mean()
        e, f = x - self.centre, y - self.level
        weights, loadings, inner = [], [], []
        for _ in range(count):
            w = e.T @ f
            w /= np.linalg.norm(w)
            t = e @ w
            p, q = e.T @ t / (t @ t), f @ t / (t @ t)
            e, f = e - np.outer(t, p), f - t * q
            weights.append(w), loadings.append(p), inner.append(q)
        W, self.P = np.array(weights).T, np.array(loadings).T
        self.R = W @ np.linalg.inv(self.P.T @ W)
        self.q = np.array(inner)

    def predict(self, x):
        return self.level + (x - self.centre) @ self.R @ self.q

    def residual(self, x):
        e = x - self.centre
        return ((e - e @ self.R @ self.P.T) ** 2).sum(axis=1)


@pytest.fixture(scope="module")
def sensor(blends):
    return Latent(prepared(blends.spectra), np.array([row[0] for row in blends.reference]))


def spectra(probe, presentation, count=60, fractions=RECIPE):
    return prepared([probe.measure(fractions, presentation) for _ in range(count)])


def test_blends_predict_each_other_to_a_tenth_of_a_per_cent(blends):
    y = np.array([row[0] for row in blends.reference])
    x = prepared(blends.spectra)
    group = np.array([int(row[-1][1:]) for row in blends.reference])
    test = group % 4 == 0
    error = Latent(x[~test], y[~test]).predict(x[test]) - y[test]
    assert 0.08 < np.sqrt(np.mean(error**2)) < 0.2


def test_drift_goes_into_the_prediction_one_to_one_and_not_into_the_residual(sensor):
    clean, drifted = (spectra(NirProbe(7), Presentation(drift=d), 200) for d in (0.0, 0.03))
    assert sensor.predict(drifted).mean() / sensor.predict(clean).mean() == pytest.approx(1.03, abs=0.004)
    assert sensor.residual(drifted).mean() < 1.1 * sensor.residual(clean).mean()


def test_fouling_raises_the_residual(sensor):
    clean = sensor.residual(spectra(NirProbe(7), Presentation()))
    fouled = sensor.residual(spectra(NirProbe(7), Presentation(fouling=0.06)))
    assert fouled.min() > clean.max()


def test_moisture_density_and_temperature_hardly_move_the_prediction(sensor):
    wet = (0.10, 0.5107, 0.349, 0.0097, 0.0306)
    for presentation, fractions in (
        (Presentation(density_ratio=1.04), RECIPE),
        (Presentation(temperature_c=27.0), RECIPE),
        (Presentation(), wet),
    ):
        found = sensor.predict(spectra(NirProbe(7), presentation, 100, fractions)).mean()
        assert found == pytest.approx(10.0, abs=0.15)


def test_an_empty_chute_collapses_the_light():
    probe = NirProbe(1)
    full = probe.measure(RECIPE, Presentation())
    empty = probe.measure(RECIPE, Presentation(fill=0.0))
    assert empty.mean() > full.mean() + 1.5
    assert np.isfinite(empty).all()


def test_axis_and_seed():
    probe = NirProbe(1)
    assert (probe.axis_nm.size, probe.axis_nm[0], probe.axis_nm[-1]) == (125, 908.1, 1676.2)
    assert np.array_equal(NirProbe(3).measure(RECIPE, Presentation()), NirProbe(3).measure(RECIPE, Presentation()))
    assert not np.array_equal(NirProbe(3).measure(RECIPE, Presentation()), NirProbe(4).measure(RECIPE, Presentation()))


def test_blends_are_balanced_and_independent(blends):
    table = np.array([row[:-1] for row in blends.reference])
    assert table.shape == (240, len(COLUMNS) - 1)
    assert table[:, :5].sum(axis=1) == pytest.approx(np.full(240, 100.0))
    assert table[:, 0].min() < 7.2
    assert table[:, 0].max() > 12.8
    correlation = np.corrcoef(table[:, 0], table[:, 4])[0, 1]
    assert abs(correlation) < 0.6
    assert len(set(blends.sample_ids)) == 240


def test_blends_files_have_the_contract_form(blends, tmp_path):
    spectra_file, reference_file = write_blends(blends, tmp_path / "new" / "folder")
    rows = list(csv.reader(spectra_file.read_text().splitlines()))
    assert rows[0][0] == "sample_id"
    assert [float(x) for x in rows[0][1:]] == pytest.approx(list(blends.axis_nm), abs=1e-4)
    assert np.array(rows[1][1:], dtype=float) == pytest.approx(blends.spectra[0], abs=1e-7)
    reference = list(csv.DictReader(reference_file.read_text().splitlines()))
    assert {"sample_id", "api_pct", "blend"} <= set(reference[0])
    assert [row["sample_id"] for row in reference] == [row[0] for row in rows[1:]]


def test_a_probe_without_a_pure_component_is_refused(tmp_path):
    path = tmp_path / "probe.toml"
    path.write_text(REFERENCE_PROBE.read_text().replace("\nwater = ", "\nmercury = "))
    with pytest.raises(ParameterError, match="lacks 'water'"):
        NirProbe(1, path)
