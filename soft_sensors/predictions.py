"""bundle + table of spectra -> predictions, one a sample, as `patloop sensor predict` writes them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from soft_sensors.bundle import Bundle
from soft_sensors.card import AMOUNT_VIA_MASS
from soft_sensors.errors import TableError
from soft_sensors.estimate import SIGMAS_90, estimate
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray, Outcome, Quality, Spectrum
from soft_sensors.validate import Previous, axis_fault, validate


@dataclass(frozen=True)
class Prediction:
    """One row of the predictions file; value, lower, upper in the target's unit, NaN where there is no number.

    A spectrum that T2 or Q refuses keeps its number, marked bad, so that the refusal can be judged. distance: to the
    nearest calibration sample; outcome and what is short: see Outcome (per unit of mass where there is one).
    """

    sample_id: str
    value: float
    lower: float
    upper: float
    t2: float
    q: float
    quality: str
    reason: str
    distance: float = math.nan
    outcome: str = Outcome.UNDECIDED.value
    undecided: str = ""


def predict(
    bundle: Bundle, spectra: SpectraTable, mass: FloatArray | None = None, mass_sd: float = 0.0
) -> Iterator[Prediction]:
    """Predictions in the order of the table; a table is no stream, so freshness and sequence are not judged.

    mass [n]: needed, and only then allowed, when the card's target is an amount per tablet; mass_sd: standard
    deviation of the weighing beyond what the calibration's references already hold. TableError on a wrong axis.
    """
    card = bundle.card
    if tuple(block.n_channels for block in card.blocks) != spectra.blocks:
        wanted = "two instruments: --spectra A --with B" if card.blocks else "one instrument: leave --with away"
        raise TableError(f"the model {card.name!r} takes spectra of {wanted} ({card.axis.size} channels in all)")
    if fault := axis_fault(card, spectra.axis, spectra.axis_unit or card.axis_unit):  # a CSV does not say its unit
        raise TableError(f"the spectra do not fit the model {card.name!r}: {fault}")
    if card.target == AMOUNT_VIA_MASS and mass is None:
        raise TableError(f"the model {card.name!r} gives an {card.target}: name the masses (--reference, --mass)")
    if card.target != AMOUNT_VIA_MASS and mass is not None:
        raise TableError(f"the model {card.name!r} was not calibrated with --mass: leave --mass away")
    for k, (sample_id, values) in enumerate(zip(spectra.sample_ids, spectra.values, strict=True)):
        row = _predict_one(bundle, sample_id, Spectrum(spectra.axis, card.axis_unit, values, k, 0.0))
        yield row if mass is None else _amount(row, float(mass[k]), mass_sd)


def write_predictions(rows: Sequence[Prediction], path: Path) -> None:
    """Write the predictions file; a number that does not exist is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(field.name for field in fields(Prediction))
        for row in rows:
            writer.writerow("" if isinstance(v, float) and math.isnan(v) else v for v in astuple(row))


def write_contributions(bundle: Bundle, spectra: SpectraTable, path: Path) -> None:
    """Two rows a sample, T2 and Q, with what each pre-treated channel contributes; they add up to the statistic."""
    anatomy = bundle.anatomy
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", "statistic", *(f"{place:.10g}" for place in anatomy.channels)])
        for sample_id, values in zip(spectra.sample_ids, spectra.values, strict=True):
            if not np.isfinite(values).all():
                continue  # its row in the predictions says why it has no statistics
            _, scores, residual = bundle.infer_whole(values)
            writer.writerow([sample_id, "T2", *anatomy.t2(scores, residual).tolist()])
            writer.writerow([sample_id, "Q", *anatomy.q(residual).tolist()])


def _predict_one(bundle: Bundle, sample_id: str, spectrum: Spectrum) -> Prediction:
    verdict, _ = validate(bundle.card, spectrum, Previous.none(), now_s=spectrum.time_s, max_age_s=1.0)
    result = estimate(bundle, spectrum, verdict)
    return Prediction(
        sample_id, result.value, result.lower, result.upper, result.t2, result.q, result.quality.value, result.reason,
        result.distance, result.outcome.value, result.undecided,
    )


def _amount(row: Prediction, mass: float, mass_sd: float) -> Prediction:
    """Concentration times mass; the two independent uncertainties add in squares."""
    if not (math.isfinite(mass) and mass > 0):
        nan = math.nan
        reason = f"no tablet mass ({mass:g})"
        return replace(row, value=nan, lower=nan, upper=nan, quality=Quality.BAD.value, reason=reason)
    half = math.hypot((row.upper - row.lower) / 2 * mass, SIGMAS_90 * mass_sd * row.value)
    value = row.value * mass
    return replace(row, value=value, lower=value - half, upper=value + half)
