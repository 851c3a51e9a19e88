"""The fingerprint on real spectra: held-out samples pass, the same with a fault do not, nor does another instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from soft_sensors.challenge.faults import FAULTS
from soft_sensors.challenge.scene import Scene
from soft_sensors.fingerprint import Fingerprint, judge_shape, signature_limits
from soft_sensors.signals import FloatArray, Quality

from .conftest import real

REFUSE = 3.0
SEEN = ("spike", "dead pixel block", "axis shift", "lamp colour temperature", "wrong material", "etalon fringes",
        "other instrument", "mirrored axis", "stray light", "probe fouling", "detector step", "temperature")


@dataclass(frozen=True)
class Set:
    axis: FloatArray
    unit: str
    train: FloatArray
    test: FloatArray
    fold: NDArray[np.int64]


def load(name: str) -> Set:
    """Dyrby NIR with whole batches held out, corn on m5 with every third sample held out."""
    if name == "dyrby":
        stored = real("dyrby2002_nir_dev")
        X, batch = stored["X_nir"].astype(float), stored["batch"]
        out = np.isin(batch, np.unique(batch)[1::3])
        return Set(stored["wavenumber_cm1"].astype(float), "cm-1", X[~out], X[out],
                   np.unique(batch[~out], return_inverse=True)[1])
    stored = real("corn_nir_3_instruments")
    X = stored["X_m5"].astype(float)
    out = np.arange(len(X)) % 3 == 1
    return Set(stored["wavelength_nm"].astype(float), "nm", X[~out], X[out], np.arange(int((~out).sum())) // 6)


@pytest.fixture(scope="module", params=["dyrby", "corn"])
def spectra(request: pytest.FixtureRequest) -> Set:
    return load(str(request.param))


@pytest.fixture(scope="module")
def fingerprint(spectra: Set) -> Fingerprint:
    return signature_limits(spectra.train, spectra.fold)


def test_held_out_samples_pass(spectra: Set, fingerprint: Fingerprint) -> None:
    judged = [judge_shape(fingerprint, row, REFUSE).quality for row in spectra.test]
    assert judged.count(Quality.BAD) <= 0.01 * len(judged)
    assert judged.count(Quality.GOOD) >= 0.9 * len(judged)


@pytest.mark.parametrize("name", SEEN)
def test_a_full_fault_is_seen(spectra: Set, fingerprint: Fingerprint, name: str) -> None:
    fault = next(f for f in FAULTS if f.name == name)
    missed = 0
    for k, row in enumerate(spectra.test):
        scene = Scene(spectra.axis, spectra.unit, row, spectra.test[k - 1], "absorbance")
        faulty = fault.make(scene, 1.0, np.random.default_rng(k))
        missed += judge_shape(fingerprint, faulty, REFUSE).quality is Quality.GOOD
    assert missed <= 0.05 * len(spectra.test)


def test_another_instrument_is_not_good() -> None:
    corn = load("corn")
    fingerprint = signature_limits(corn.train, corn.fold)
    stored = real("corn_nir_3_instruments")
    for name in ("X_mp5", "X_mp6"):
        judged = [judge_shape(fingerprint, row, REFUSE).quality for row in stored[name].astype(float)]
        assert judged.count(Quality.GOOD) == 0
