"""patloop sensor validate, predict, show: a bundle in use."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import click
import numpy as np

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.console import FILE, one_line, progress
from soft_sensors.inputs import joined_tables, labels_of, masses_of, numbers, spectra_of
from soft_sensors.options import reference_options, second_block, spectra_option
from soft_sensors.predictions import Prediction, predict, write_contributions, write_predictions
from soft_sensors.read import read_reference
from soft_sensors.read.tables import SpectraTable
from soft_sensors.score import score
from soft_sensors.show import show_card, show_groups, show_score
from soft_sensors.signals import FloatArray


@click.command()
@click.argument("bundle", type=FILE)
@spectra_option
@second_block
@reference_options
@click.option("--mass-sd", type=click.FloatRange(min=0.0), default=0.0, help="SD of the weighing beyond calibration's.")
@click.option("--max-rmsep", type=float, help="Exit 1 when RMSEP is above this.")
@click.option("--json", "json_file", type=FILE, metavar="F", help="Write the figures to this file.")
@one_line
def validate(
    bundle: Path, spectra: Path, second: Path | None, reference: Path, target: str, group: str | None,
    mass: str | None, mass_sd: float, max_rmsep: float | None, json_file: Path | None,
) -> None:
    """Judge a soft sensor on samples with references; refused samples that have a number are counted.

    \b
    Example:
      patloop sensor validate api_nir --spectra S.csv --reference R.csv --target api_pct --json score.json
    """
    model = load_bundle(bundle)
    table, references, rows = joined_tables(spectra, reference, target, mass, group, second)
    ids = tuple(table.sample_ids[k] for k in rows.spectrum_rows)
    picked = replace(table, sample_ids=ids, values=table.values[rows.spectrum_rows])
    y = numbers(references, rows, target)
    masses = None if mass is None else numbers(references, rows, mass)
    predictions = _predict(model, picked, masses, mass_sd)
    result = score(predictions, y)
    show_score(result)
    if group is not None:
        show_groups(predictions, y, labels_of(references, rows, group, np.ones(len(y), dtype=np.bool_)))
    if json_file is not None:
        figures = {key: value if math.isfinite(value) else None for key, value in asdict(result).items()}
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if max_rmsep is not None and not result.rmsep <= max_rmsep:
        click.echo(f"RMSEP {result.rmsep:.4g} is above the limit {max_rmsep:g}", err=True)
        sys.exit(1)


@click.command("predict")
@click.argument("bundle", type=FILE)
@spectra_option
@second_block
@click.option("--reference", type=FILE, help="Table with the tablet masses.")
@click.option("--mass", metavar="COL", help="Column of the tablet masses.")
@click.option("--mass-sd", type=click.FloatRange(min=0.0), default=0.0, help="SD of the weighing beyond calibration's.")
@click.option("--contributions", type=FILE, metavar="C.csv", help="What each channel contributes to T2 and Q, a file.")
@click.option("--out", type=FILE, required=True, metavar="P.csv", help="Predictions file to write.")
@one_line
def predict_command(
    bundle: Path, spectra: Path, second: Path | None, reference: Path | None, mass: str | None, mass_sd: float,
    contributions: Path | None, out: Path,
) -> None:
    """Predict every spectrum of a file; a refused one keeps its number, marked bad.

    \b
    Example:
      patloop sensor predict api_nir --spectra S.csv --out predictions.csv
    """
    if (reference is None) != (mass is None):
        raise click.UsageError("--reference and --mass belong together: name both or neither")
    model = load_bundle(bundle)
    table = spectra_of(spectra, second)
    masses = None
    if reference is not None and mass is not None:
        masses = masses_of(table, read_reference(reference), mass)
    predictions = _predict(model, table, masses, mass_sd)
    write_predictions(predictions, out)
    if contributions is not None:
        write_contributions(model, table, contributions)
    counts = {q: sum(row.quality == q for row in predictions) for q in ("good", "uncertain", "bad")}
    click.echo(f"{out}: {len(predictions)} predictions, " + ", ".join(f"{n} {q}" for q, n in counts.items()))


@click.command()
@click.argument("bundle", type=FILE)
@one_line
def show(bundle: Path) -> None:
    """Show what a bundle says of itself.

    \b
    Example:
      patloop sensor show api_nir
    """
    show_card(load_bundle(bundle))


def _predict(model: Bundle, table: SpectraTable, masses: FloatArray | None, mass_sd: float) -> list[Prediction]:
    with progress(f"predicting {len(table.sample_ids)} spectra"):
        return list(predict(model, table, masses, mass_sd))
