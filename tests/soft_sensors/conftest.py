"""Real and made-up samples for the tests of the soft sensors, in the form the commands read."""

from __future__ import annotations

import csv
import os

os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # the tests run side by side already

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate.fit import Calibration, Intent, Samples, calibrate
from soft_sensors.calibrate.folds import by_order
from soft_sensors.calibrate.package import write_bundle
from soft_sensors.signals import FloatArray, Spectrum


def real(name: str) -> dict[str, np.ndarray]:
    """A set of real measurements, or a skipped test where the folder with them is absent."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    path = Path(os.environ.get("PATLOOP_DATA", beside)) / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"real measurements are not here: {path} (set PATLOOP_DATA to their folder)")
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def write_table(path: Path, names: Iterable[object], ids: Iterable[str], rows: Iterable[Sequence[object]]) -> Path:
    """A CSV in the contract's form."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", *names])
        for sample_id, row in zip(ids, rows, strict=True):
            writer.writerow([sample_id, *row])
    return path


@dataclass(frozen=True)
class Blends:
    """Made-up two-component blends: spectra [n, 80] and the concentration [n] of the first component."""

    axis: FloatArray
    spectra: FloatArray
    concentration: FloatArray


def make_blends(n: int, seed: int) -> Blends:
    """Bands that follow concentration, an interferent, an offset and noise."""
    draw = np.random.default_rng(seed)
    axis = np.linspace(900.0, 1690.0, 80)
    bands = [np.exp(-0.5 * ((axis - c) / w) ** 2) for c, w in ((1150.0, 40.0), (1350.0, 70.0))]
    concentration, other = draw.uniform(5.0, 15.0, n), draw.uniform(0.0, 1.0, n)
    spectra = (0.4 + np.outer(concentration / 10.0, bands[0]) + np.outer(other, bands[1])
               + draw.normal(0.0, 0.02, (n, 1)) + draw.normal(0.0, 0.002, (n, 80)))
    return Blends(axis, spectra, concentration)


def samples_of(blends: Blends) -> Samples:
    """The blends as calibration samples without groups."""
    n = len(blends.concentration)
    return Samples(tuple(f"b{k}" for k in range(n)), blends.axis, blends.spectra, blends.concentration, by_order(n))


INTENT = Intent(name="blend", cqa="api", unit="%", target="concentration", axis_unit="nm")


@pytest.fixture(scope="session")
def made() -> Calibration:
    """A calibration on 60 made-up blends."""
    return calibrate(samples_of(make_blends(60, seed=1)), INTENT)


@pytest.fixture(scope="session")
def bundle_path(made: Calibration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle on disk; copy it before you change it."""
    path = tmp_path_factory.mktemp("bundles") / "blend"
    write_bundle(made, path)
    return path


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """The loaded bundle."""
    from soft_sensors.bundle import load_bundle

    return load_bundle(bundle_path)


@pytest.fixture
def spectrum() -> Spectrum:
    """A good spectrum the calibration has not seen, acquisition 7 at 1000 s."""
    blends = make_blends(1, seed=2)
    return Spectrum(blends.axis, "nm", blends.spectra[0], counter=7, time_s=1000.0)
