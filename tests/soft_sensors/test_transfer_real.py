"""Real spectra of the same samples on two instruments: the yardsticks, on samples that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from soft_sensors.bundle import GRAPH, Bundle
from soft_sensors.calibrate.evidence import check_agreement, read_evidence
from soft_sensors.calibrate.fit import Samples, calibrate
from soft_sensors.calibrate.folds import by_order
from soft_sensors.calibrate.package import write_bundle
from soft_sensors.calibrate.transfer.move import Known, Moved, Paired, move
from soft_sensors.calibrate.transfer.package import write_moved
from soft_sensors.challenge.campaign import Samples as Faultless
from soft_sensors.challenge.campaign import challenge
from soft_sensors.challenge.faults import FAULTS
from soft_sensors.predictions import Prediction, predict
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

from .conftest import INTENT, real


@dataclass(frozen=True)
class Outcome:
    """RMSEP without and with transfer, coverage of the 90 % interval, shares of good and bad, on held-out samples.

    good_without: share of good before the transfer; caught: share of harmful injected faults that were seen in time.
    """

    without: float
    good_without: float
    rmsep: float
    coverage: float
    good: float
    bad: float
    caught: float
    moved: Moved


def spread(X: FloatArray, n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows of n samples that span the spectra: Kennard and Stone 1969, Technometrics 11, 137."""
    distance = ((X[:, None, :] - X[None, :, :]) ** 2).sum(axis=2)
    chosen = [int(k) for k in np.unravel_index(distance.argmax(), distance.shape)]
    while len(chosen) < n:
        nearest = distance[:, chosen].min(axis=1)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def transferred(
    axis: FloatArray, old: FloatArray, new: FloatArray, y: FloatArray, mass: FloatArray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray], folder: Path,
) -> Outcome:
    """Calibrate on rows[0] of the old instrument, transfer with rows[1], judge on rows[2] of the new one."""
    train, pairs, test = rows
    made = calibrate(Samples(tuple(map(str, train)), axis, old[train], (y / mass)[train], by_order(train.size)), INTENT)
    parent = write_bundle(made, folder / "parent")
    moved = move(parent, (folder / "parent" / GRAPH).read_bytes(),
                 Paired(tuple(map(str, pairs)), old[pairs], new[pairs]), "moved",
                 known=Known(read_evidence(folder / "parent")))
    table = SpectraTable(tuple(map(str, test)), axis, new[test])
    without = error_of(parent, table, y[test], mass[test])
    child = write_moved(moved, folder / "moved")
    check_agreement(read_evidence(folder / "moved"), child.card)
    good_without = share(list(predict(parent, table)), "good")
    result = list(predict(child, table))
    inside = [r.lower * m <= v <= r.upper * m for r, v, m in zip(result, y[test], mass[test], strict=True)]
    return Outcome(without, good_without, error_of(child, table, y[test], mass[test]), float(np.mean(inside)),
                   share(result, "good"), share(result, "bad"),
                   caught(child, new[test[:2]], y[test[:2]], mass[test[:2]]), moved)


def share(rows: list[Prediction], quality: str) -> float:
    return float(np.mean([row.quality == quality for row in rows]))


def caught(child: Bundle, spectra: FloatArray, y: FloatArray, mass: FloatArray) -> float:
    """Share of the faults that would do harm (5 % of the value) and were seen before; every third kind."""
    samples = Faultless(("a", "b"), spectra, y, mass, "absorbance")
    cases, _ = challenge(child, samples, 0.1 * float(y.mean()), seed=1, faults=FAULTS[::3])
    harmful = [case for case in cases if case.harmful]
    return 1.0 - sum(case.escape > 0 for case in harmful) / len(harmful)


def error_of(bundle: Bundle, table: SpectraTable, y: FloatArray, mass: FloatArray) -> float:
    value = np.array([bundle.infer(row)["value"] for row in table.values])
    return float(np.sqrt(np.mean((value * mass - y) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize("part", [1, 3])
def test_tablets_by_mass_on_the_other_instrument(part: int, tmp_path: Path) -> None:
    stored = real("idrc2002_tablets_dev_cal_val")
    sound = (stored["split"] == "cal") & ~stored["suspect_reference"]
    held_out = np.arange(sound.size) % 5 == part
    train, test = np.flatnonzero(sound & ~held_out), np.flatnonzero(sound & held_out)
    old, new = (stored[f"X_inst{k}"].astype(np.float64) for k in (1, 2))
    got = transferred(stored["wavelength_nm"].astype(np.float64), old, new, stored["assay_mg"].astype(np.float64),
                      stored["weight_mg"].astype(np.float64), (train, train[spread(old[train], 30)], test), tmp_path)
    assert got.rmsep <= 2.6
    assert got.rmsep < got.without
    assert got.coverage >= 0.86
    assert got.good_without < 0.2
    assert got.good >= 0.85
    assert got.bad <= 0.03
    assert got.caught >= 0.9


@pytest.mark.slow
def test_corn_moisture_with_fifteen_samples(tmp_path: Path) -> None:
    stored = real("corn_nir_3_instruments")
    train, test = (np.flatnonzero(stored["ks_split"] == name) for name in ("cal", "test"))
    old, new = (stored[f"X_{name}"].astype(np.float64) for name in ("m5", "mp5"))
    y = stored["Y"][:, list(stored["y_names"]).index("moisture")].astype(np.float64)
    got = transferred(stored["wavelength_nm"].astype(np.float64), old, new, y, np.ones_like(y),
                      (train, train[spread(old[train], 15)], test), tmp_path)
    assert got.without > 1.0
    assert got.rmsep <= 0.19
    assert got.coverage >= 0.8
    assert got.good_without == 0.0
    assert got.good >= 0.9
    assert got.bad == 0.0
    assert got.caught >= 0.85
