"""patloop sensor challenge: good spectra -> with known faults -> does the soft sensor notice in time?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.card import AMOUNT_VIA_MASS
from soft_sensors.challenge.campaign import Samples, challenge
from soft_sensors.challenge.scene import Signal
from soft_sensors.challenge.tally import CAUGHT_LEAST, REFUSED_MOST, Kind, Tally, tally
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.errors import TableError
from soft_sensors.fingerprint import Fingerprint, signature_limits
from soft_sensors.inputs import joined_tables, numbers
from soft_sensors.read import read_spectra
from soft_sensors.validate import axis_fault

FOLDS = 10


@click.command("challenge")
@click.argument("bundle", type=FILE)
@click.option("--spectra", type=FILE, required=True, help="Good spectra that the calibration has not seen.")
@click.option("--reference", type=FILE, required=True, help="Their references, .csv or .parquet.")
@click.option("--target", metavar="COL", required=True, help="Column of the reference that the model predicts.")
@click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet.")
@click.option("--accept", type=click.FloatRange(min=0.0, min_open=True), required=True, metavar="LIMIT",
              help="Acceptance limit of the CQA, in the target's unit; half of it is the line.")
@click.option("--signal", type=click.Choice(["absorbance", "intensity"]), default="absorbance", show_default=True,
              help="What the values are: absorbance, or light (Raman, single beam).")
@click.option("--calibration", type=FILE, metavar="C.csv",
              help="The model's calibration spectra: judge with a fingerprint made from them as well.")
@click.option("--most", type=click.IntRange(min=2), default=40, show_default=True, help="Spectra used, evenly spread.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws places and shapes of faults.")
@click.option("--json", "json_file", type=FILE, metavar="F", help="Write the figures to this file.")
@one_line
def challenge_command(
    bundle: Path, spectra: Path, reference: Path, target: str, mass: str | None, accept: float, signal: Signal,
    calibration: Path | None, most: int, seed: int, json_file: Path | None,
) -> None:
    """Inject every known kind of spectral fault by degrees and count what is noticed in time.

    \b
    Exit 1 when less than 95 % of the harmful cases are caught, or more than 1 % of the good spectra is refused.
    Example:
      patloop sensor challenge api_nir --spectra S.csv --reference R.csv --target api_pct --accept 0.5
    """
    model = load_bundle(bundle)
    with progress("reading") as say:
        samples = _samples(model, spectra, reference, target, mass, signal, most)
        fingerprint = None if calibration is None else _fingerprint(model, calibration)
        cases, clean = challenge(model, samples, accept, seed, fingerprint, told=say)
    if not cases:
        raise InputError(f"{spectra}: no spectrum is good as it is; a challenge needs good ones the model accepts")
    result = tally(cases, clean)
    _show(result)
    if json_file is not None:
        json_file.write_text(json.dumps({**asdict(result), "passed": result.passed, "accept": accept}, indent=2) + "\n",
                             encoding="utf-8")
    if not result.passed:
        click.echo(f"asked for: {CAUGHT_LEAST:.0%} caught, at most {REFUSED_MOST:.0%} refused", err=True)
        sys.exit(1)


def _samples(
    model: Bundle, spectra: Path, reference: Path, target: str, mass: str | None, signal: Signal, most: int
) -> Samples:
    card = model.card
    if (card.target == AMOUNT_VIA_MASS) != (mass is not None):
        raise TableError(f"the model {card.name!r} gives {card.target}: " + (
            "leave --mass away" if mass is not None else "name the column of masses with --mass"))
    table, references, rows = joined_tables(spectra, reference, target, mass, None)
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{spectra}: the spectra do not fit the model {card.name!r}: {fault}")
    y, values = numbers(references, rows, target), table.values[rows.spectrum_rows]
    masses = np.ones(len(y)) if mass is None else numbers(references, rows, mass)
    usable = np.flatnonzero(np.isfinite(y) & np.isfinite(masses) & np.isfinite(values).all(axis=1))
    if usable.size < 2:
        raise TableError(f"{spectra}: {usable.size} spectra with a reference; a challenge needs two at least")
    picked = usable[np.unique(np.linspace(0, usable.size - 1, min(most, usable.size)).round().astype(int))]
    ids = tuple(table.sample_ids[int(rows.spectrum_rows[k])] for k in picked)
    return Samples(ids, values[picked], y[picked], masses[picked], signal)


def _fingerprint(model: Bundle, path: Path) -> Fingerprint:
    table, card = read_spectra(path), model.card
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{path}: the spectra do not fit the model {card.name!r}: {fault}")
    left_out = {excluded.sample_id for excluded in card.excluded}
    kept = np.array([s not in left_out for s in table.sample_ids]) & np.isfinite(table.values).all(axis=1)
    fold = np.arange(len(kept)) * FOLDS // len(kept)
    return signature_limits(table.values[kept][:, card.window], fold[kept])


def _show(result: Tally) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for heading in ("fault", "harmful", "caught", "worst", "noticed by"):
        table.add_column(heading, no_wrap=True)
    for kind in sorted(result.kinds, key=lambda k: (k.caught, -k.harmful)):
        table.add_row(*_row(kind))
    Console().print(table)
    click.echo("worst: the largest error that went out as good, over the acceptance limit")
    click.echo(f"{result.n_harmful} of {result.n_cases} cases would do harm; caught in time {result.caught:.1%}, "
               f"{result.kinds_caught} of {len(result.kinds)} kinds at {CAUGHT_LEAST:.0%} or more")
    click.echo(f"{result.n_clean} good spectra: {result.refused:.1%} refused, {result.not_good:.1%} not good")


def _row(kind: Kind) -> tuple[str, ...]:
    caught = f"{kind.caught:.0%}" if kind.harmful else "harmless"
    escape = f"{kind.largest_escape:.2f} x" if kind.escaped else "-"
    return kind.name, f"{kind.harmful} of {kind.n}", caught, escape, kind.reason
