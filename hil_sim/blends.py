"""Designed calibration blends: known compositions before the simulated probe."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hil_sim.line.material import API, LAC, MCC, MGST, WATER
from hil_sim.line.parameters import load_parameters
from hil_sim.probe.nir import FloatArray, NirProbe, Presentation

API_LEVELS_PCT = (7.0, 8.5, 10.0, 11.5, 13.0)
BLENDS_PER_LEVEL = 8
SPECTRA_PER_BLEND = 6
COLUMNS = ("api_pct", "mcc_pct", "lac_pct", "mgst_pct", "water_pct", "density_ratio", "temperature_c", "blend")


@dataclass(frozen=True)
class BlendSet:
    """Spectra [n, 125] with their reference rows (COLUMNS) and the axis in nm."""

    axis_nm: FloatArray
    sample_ids: tuple[str, ...]
    spectra: FloatArray
    reference: tuple[tuple[float | str, ...], ...]


def designed_blends(seed: int) -> BlendSet:
    """Five API levels, eight blends each, six spectra a blend.

    Within a level the excipient ratio, stearate, moisture, bed density and temperature are spread independently
    (Latin hypercube), so that no other ingredient is an alias of the API. Compositions in % w/w of the moist blend.
    """
    random = np.random.default_rng([seed, 40])
    probe = NirProbe(seed)
    names: list[str] = []
    spectra: list[FloatArray] = []
    rows: list[tuple[float | str, ...]] = []
    count = len(API_LEVELS_PCT) * BLENDS_PER_LEVEL
    design = _latin_hypercube(random, count, 5)
    for blend in range(count):
        api = API_LEVELS_PCT[blend % len(API_LEVELS_PCT)] + float(random.uniform(-0.3, 0.3))
        fractions = _composition(api / 100.0, *(float(x) for x in design[blend, :3]))
        density = 0.96 + 0.08 * float(design[blend, 3])
        temperature = 23.0 + 4.0 * float(design[blend, 4])
        label = f"B{blend + 1:02d}"
        percent = [100.0 * fractions[i] for i in (API, MCC, LAC, MGST, WATER)]
        for scan in range(SPECTRA_PER_BLEND):
            names.append(f"{label}-{scan + 1}")
            spectra.append(
                probe.measure(fractions, Presentation(density_ratio=density, temperature_c=temperature))
            )
            rows.append((*percent, density, temperature, label))
    return BlendSet(probe.axis_nm, tuple(names), np.stack(spectra), tuple(rows))


def write_blends(blends: BlendSet, folder: Path) -> tuple[Path, Path]:
    """Write spectra.csv and reference.csv (joined on sample_id); returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    spectra, reference = folder / "spectra.csv", folder / "reference.csv"
    with spectra.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["sample_id", *(f"{x:.4f}" for x in blends.axis_nm)])
        for name, row in zip(blends.sample_ids, blends.spectra, strict=True):
            writer.writerow([name, *(f"{value:.7f}" for value in row)])
    with reference.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["sample_id", *COLUMNS])
        for name, cells in zip(blends.sample_ids, blends.reference, strict=True):
            writer.writerow([name, *(cell if isinstance(cell, str) else f"{cell:.5f}" for cell in cells)])
    return spectra, reference


def _composition(api: float, ratio: float, stearate: float, moisture: float) -> list[float]:
    """Mass fractions from design coordinates in 0..1: excipient ratio, stearate 0.5 to 1.5 %, MCC moisture 3 to 6 %."""
    feeders = load_parameters().feeders
    mgst = 0.005 + 0.010 * stearate
    mcc = (1.0 - api - mgst) * (0.52 + 0.17 * ratio)
    lac = 1.0 - api - mgst - mcc
    water = {"mcc": 0.03 + 0.03 * moisture, "lac": feeders["lac"].moisture, "mgst": feeders["mgst"].moisture}
    dry = [api, mcc * (1.0 - water["mcc"]), lac * (1.0 - water["lac"]), mgst * (1.0 - water["mgst"])]
    return [*dry, 1.0 - sum(dry)]


def _latin_hypercube(random: np.random.Generator, count: int, dimensions: int) -> FloatArray:
    columns = [(random.permutation(count) + random.random(count)) / count for _ in range(dimensions)]
    return np.stack(columns, axis=1)
