"""patloop sensor ...: make, judge and use soft sensors from the command line."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.card import AMOUNT_VIA_MASS, CONCENTRATION
from soft_sensors.challenge_command import challenge_command
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.dossier_command import dossier, quarantine
from soft_sensors.errors import AlteredError, BundleError
from soft_sensors.inputs import joined_tables, labels_of, masses_of, name_samples, numbers
from soft_sensors.predictions import Prediction, predict, write_predictions
from soft_sensors.read import read_reference, read_spectra
from soft_sensors.read.tables import SpectraTable
from soft_sensors.score import score
from soft_sensors.show import show_card, show_groups, show_score
from soft_sensors.signals import FloatArray
from soft_sensors.transfer_command import transfer
from soft_sensors.watch_commands import instrument_command, watch_command

P = ParamSpec("P")
R = TypeVar("R")


def _spectra_option(command: Callable[P, R]) -> Callable[P, R]:
    return click.option("--spectra", type=FILE, required=True, help="Spectra, .csv or .parquet.")(command)


def _reference_options(command: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet."),
        click.option("--group", metavar="COL", help="Samples that belong together, such as a batch."),
        click.option("--target", metavar="COL", required=True, help="Column of the reference to predict."),
        click.option("--reference", type=FILE, required=True, help="References, .csv or .parquet."),
    ):
        command = option(command)
    return command


@click.group()
def sensor() -> None:
    """Make, judge and use soft sensors.

    \b
    Example:
      patloop sensor calibrate --spectra S.csv --reference R.csv --target api_pct --out api_nir
    """


@sensor.command()
@_spectra_option
@_reference_options
@click.option("--out", type=FILE, required=True, metavar="BUNDLE", help="Folder to write the bundle to.")
@click.option("--axis-unit", type=click.Choice(["nm", "cm-1"]), default="nm", show_default=True)
@click.option("--range", "axis_range", type=(float, float), metavar="LOW HIGH",
              help="Part of the axis to use; by default the part that is not detector noise.")
@click.option("--unit", default="", help="Unit of the target, for the card and the report.")
@click.option("--name", help="Name of the model; by default the folder's.")
@click.option("--input-type", type=click.Choice(["float64", "float32"]), default="float64", show_default=True)
@click.option("--refuse-factor", type=click.FloatRange(min=1.0), default=3.0, show_default=True,
              help="T2 or Q above its limit is uncertain; above this many times the limit it is bad.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the folds where groups are many.")
@one_line
def calibrate(
    spectra: Path, reference: Path, target: str, group: str | None, mass: str | None, out: Path, axis_unit: str,
    axis_range: tuple[float, float] | None, unit: str, name: str | None, input_type: str, refuse_factor: float,
    seed: int,
) -> None:
    """Fit a soft sensor and write it as a bundle with a report.

    \b
    Example:
      patloop sensor calibrate --spectra S.csv --reference R.csv --target api_pct --group batch --out api_nir
    """
    from soft_sensors.calibrate.fit import Intent, Samples
    from soft_sensors.calibrate.fit import calibrate as fit
    from soft_sensors.calibrate.folds import by_group, by_order
    from soft_sensors.calibrate.package import check_free, write_bundle

    check_free(out)
    with progress("reading") as say:
        table, references, rows = joined_tables(spectra, reference, target, mass, group)
        if table.axis_unit not in ("", axis_unit):
            raise InputError(f"{spectra}: its axis is in {table.axis_unit}, not {axis_unit}: give --axis-unit")
        y = numbers(references, rows, target)
        if mass is not None:
            masses = numbers(references, rows, mass)
            y = np.divide(y, masses, out=np.full_like(y, np.nan), where=masses > 0)
        values = table.values[rows.spectrum_rows]
        ids = [table.sample_ids[k] for k in rows.spectrum_rows]
        usable = np.isfinite(y) & np.isfinite(values).all(axis=1)
        left_out = [s for s, u in zip(ids, usable, strict=True) if not u]
        name_samples("left out, no finite spectrum, reference or mass", left_out)
        labels = None if group is None else labels_of(references, rows, group, usable)
        folding = by_order(int(usable.sum())) if group is None or labels is None else by_group(labels, group, seed)
        if group is None:
            click.echo(f"{folding.text}; if some belong together (a batch), name them with --group", err=True)
        samples = Samples(tuple(s for s, u in zip(ids, usable, strict=True) if u), table.axis, values[usable],
                          y[usable], folding)
        made = fit(samples, Intent(
            name=name or out.resolve().name, cqa=target, unit=unit if mass is None else f"{unit} per {mass}".strip(),
            axis_unit=axis_unit, axis_range=axis_range,
            target=CONCENTRATION if mass is None else AMOUNT_VIA_MASS, input_type=input_type,
            refuse_factor=refuse_factor, seed=seed), say)
        say("writing bundle and report")
        bundle = write_bundle(made, out)
    show_card(bundle)
    click.echo(f"report: {out / 'report.html'}")


@sensor.command()
@click.argument("bundle", type=FILE)
@_spectra_option
@_reference_options
@click.option("--mass-sd", type=click.FloatRange(min=0.0), default=0.0, help="SD of the weighing beyond calibration's.")
@click.option("--max-rmsep", type=float, help="Exit 1 when RMSEP is above this.")
@click.option("--json", "json_file", type=FILE, metavar="F", help="Write the figures to this file.")
@one_line
def validate(
    bundle: Path, spectra: Path, reference: Path, target: str, group: str | None, mass: str | None, mass_sd: float,
    max_rmsep: float | None, json_file: Path | None,
) -> None:
    """Judge a soft sensor on samples with references; refused samples that have a number are counted.

    \b
    Example:
      patloop sensor validate api_nir --spectra S.csv --reference R.csv --target api_pct --json score.json
    """
    model = load_bundle(bundle)
    table, references, rows = joined_tables(spectra, reference, target, mass, group)
    picked = SpectraTable(tuple(table.sample_ids[k] for k in rows.spectrum_rows), table.axis,
                          table.values[rows.spectrum_rows])
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


@sensor.command("predict")
@click.argument("bundle", type=FILE)
@_spectra_option
@click.option("--reference", type=FILE, help="Table with the tablet masses.")
@click.option("--mass", metavar="COL", help="Column of the tablet masses.")
@click.option("--mass-sd", type=click.FloatRange(min=0.0), default=0.0, help="SD of the weighing beyond calibration's.")
@click.option("--out", type=FILE, required=True, metavar="P.csv", help="Predictions file to write.")
@one_line
def predict_command(
    bundle: Path, spectra: Path, reference: Path | None, mass: str | None, mass_sd: float, out: Path
) -> None:
    """Predict every spectrum of a file; a refused one keeps its number, marked bad.

    \b
    Example:
      patloop sensor predict api_nir --spectra S.csv --out predictions.csv
    """
    if (reference is None) != (mass is None):
        raise click.UsageError("--reference and --mass belong together: name both or neither")
    model = load_bundle(bundle)
    table = read_spectra(spectra)
    masses = None
    if reference is not None and mass is not None:
        masses = masses_of(table, read_reference(reference), mass)
    predictions = _predict(model, table, masses, mass_sd)
    write_predictions(predictions, out)
    counts = {q: sum(row.quality == q for row in predictions) for q in ("good", "uncertain", "bad")}
    click.echo(f"{out}: {len(predictions)} predictions, " + ", ".join(f"{n} {q}" for q, n in counts.items()))


sensor.add_command(transfer)
sensor.add_command(dossier)
sensor.add_command(quarantine)
sensor.add_command(challenge_command)
sensor.add_command(watch_command)
sensor.add_command(instrument_command)


@sensor.command()
@click.argument("bundle", type=FILE)
@one_line
def show(bundle: Path) -> None:
    """Show what a bundle says of itself.

    \b
    Example:
      patloop sensor show api_nir
    """
    show_card(load_bundle(bundle))


@sensor.command()
@click.argument("bundle", type=FILE)
@one_line
def verify(bundle: Path) -> None:
    """Check a bundle's hashes, and its golden vectors on this machine; exit 1 when it was altered.

    \b
    Example:
      patloop sensor verify api_nir
    """
    try:
        model = load_bundle(bundle)
    except AlteredError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"{bundle}: intact, golden vectors agree, {model.bundle_hash}")


@sensor.command("list")
@click.argument("folder", type=FILE, default=Path())
@one_line
def list_command(folder: Path) -> None:
    """List the bundles in a folder.

    \b
    Example:
      patloop sensor list models
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    table = Table("bundle", "CQA", "model", "RMSECV", "samples", "hash")
    for card in sorted(folder.glob("*/card.toml")):
        try:
            model = load_bundle(card.parent)
        except BundleError as error:
            table.add_row(card.parent.name, "-", str(error), "-", "-", "-")
            continue
        c = model.card
        table.add_row(card.parent.name, c.cqa, f"{c.pretreatment}, {c.n_latent} LV", f"{c.rmsecv:.4g} {c.unit}",
                      str(c.n_samples), model.bundle_hash[:12])
    Console().print(table)


def _predict(model: Bundle, table: SpectraTable, masses: FloatArray | None, mass_sd: float) -> list[Prediction]:
    with progress(f"predicting {len(table.sample_ids)} spectra"):
        return list(predict(model, table, masses, mass_sd))
