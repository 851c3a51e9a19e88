"""patloop sensor calibrate: spectra and references -> a bundle with its report."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import click
import numpy as np

from soft_sensors.calibrate.fit import Intent, Samples
from soft_sensors.calibrate.fit import calibrate as fit
from soft_sensors.calibrate.folds import by_group, by_order
from soft_sensors.calibrate.package import check_free, write_bundle
from soft_sensors.calibrate.quarantine import overlap
from soft_sensors.card import AMOUNT_VIA_MASS, CONCENTRATION, Block
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.inputs import NAMED, joined_tables, labels_of, name_samples, numbers
from soft_sensors.options import card_options, reference_options, second_block, spectra_option
from soft_sensors.read import read_spectra
from soft_sensors.read.blocks import SEPARATOR
from soft_sensors.read.tables import SpectraTable
from soft_sensors.show import show_card


@click.command()
@spectra_option
@second_block
@click.option("--with-axis-unit", type=click.Choice(["nm", "cm-1"]), default="cm-1", show_default=True,
              help="Axis unit of the second instrument.")
@reference_options
@click.option("--out", type=FILE, required=True, metavar="BUNDLE", help="Folder to write the bundle to.")
@click.option("--axis-unit", type=click.Choice(["nm", "cm-1"]), default="nm", show_default=True)
@click.option("--range", "axis_range", type=(float, float), metavar="LOW HIGH",
              help="Part of the axis to use; by default the part that is not detector noise.")
@card_options
@click.option("--time", metavar="COL", help="Age of the sample, such as day of culture: its trend is to be beaten.")
@click.option("--scatter", type=click.Choice(["free", "corrected"]), default="free", show_default=True,
              help="corrected: only models that gain and path length cannot move; more faults are seen in time.")
@click.option("--test", "test_spectra", type=FILE, metavar="T.csv",
              help="Spectra kept for testing: refused when they overlap with the calibration.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the folds where groups are many.")
@one_line
def calibrate(
    spectra: Path, second: Path | None, with_axis_unit: str, reference: Path, target: str, group: str | None,
    mass: str | None, out: Path, axis_unit: str,
    axis_range: tuple[float, float] | None, unit: str, name: str | None, input_type: str, refuse_factor: float,
    accept: tuple[float, float] | None, time: str | None, scatter: Literal["free", "corrected"],
    test_spectra: Path | None, seed: int,
) -> None:
    """Fit a soft sensor and write it as a bundle with a report.

    \b
    Example:
      patloop sensor calibrate --spectra S.csv --reference R.csv --target api_pct --group batch --out api_nir
    """
    if accept is not None and not accept[0] < accept[1]:
        raise InputError(f"--accept {accept[0]:g} {accept[1]:g}: the low limit comes first")
    if second is not None:
        if scatter != "free":
            raise InputError("--scatter corrected is for one instrument; with --with each block has its own choice")
        if axis_range is not None:
            raise InputError("--range names one axis; with --with each block's own quiet part is used: leave it away")
        axis_unit = f"{axis_unit}{SEPARATOR}{with_axis_unit}"
    check_free(out)
    with progress("reading") as say:
        table, references, rows = joined_tables(spectra, reference, target, mass, group, second)
        if table.axis_unit not in ("", axis_unit):
            raise InputError(f"{spectra}: its axis is in {table.axis_unit}, not {axis_unit}: give --axis-unit")
        y, per = numbers(references, rows, target), 1.0
        if mass is not None:
            masses = numbers(references, rows, mass)
            y = np.divide(y, masses, out=np.full_like(y, np.nan), where=masses > 0)
            per = float(np.nanmean(np.where(masses > 0, masses, np.nan)))  # the limits are amounts, the model's is not
        values = table.values[rows.spectrum_rows]
        ids = [table.sample_ids[k] for k in rows.spectrum_rows]
        usable = np.isfinite(y) & np.isfinite(values).all(axis=1)
        age = None if time is None else numbers(references, rows, time)
        usable &= True if age is None else np.isfinite(age)
        left_out = [s for s, u in zip(ids, usable, strict=True) if not u]
        name_samples("left out, no finite spectrum, reference or mass", left_out)
        labels = None if group is None else labels_of(references, rows, group, usable)
        folding = by_order(int(usable.sum())) if group is None or labels is None else by_group(labels, group, seed)
        if group is None:
            click.echo(f"{folding.text}; if some belong together (a batch), name them with --group", err=True)
        samples = Samples(tuple(s for s, u in zip(ids, usable, strict=True) if u), table.axis, values[usable],
                          y[usable], folding, None if age is None else age[usable])
        made = fit(samples, Intent(
            name=name or out.resolve().name, cqa=target, unit=unit if mass is None else f"{unit} per {mass}".strip(),
            axis_unit=axis_unit, axis_range=axis_range,
            target=CONCENTRATION if mass is None else AMOUNT_VIA_MASS, input_type=input_type,
            refuse_factor=refuse_factor, seed=seed, time=time or "", scatter=scatter,
            blocks=_blocks(table, spectra, second, axis_unit),
            accept=() if accept is None else (accept[0] / per, accept[1] / per)), say)
        say("writing bundle and report")
        bundle = write_bundle(made, out)
    if test_spectra is not None:
        _keep_apart(out, test_spectra)
    show_card(bundle)
    click.echo(f"report: {out / 'report.html'}")


def _blocks(table: SpectraTable, first: Path, second: Path | None, axis_unit: str) -> tuple[Block, ...]:
    """The blocks of joined spectra, named after their files."""
    if second is None:
        return ()
    units = axis_unit.split(SEPARATOR)
    return tuple(Block(file.stem, unit, size)
                 for file, unit, size in zip((first, second), units, table.blocks, strict=True))


def _keep_apart(out: Path, test_spectra: Path) -> None:
    """Take the bundle away again, exit code 1, when the samples kept for testing are among those calibrated on."""
    test = read_spectra(test_spectra)
    shared = overlap(out, test.sample_ids, test.values, None)
    if shared:
        shutil.rmtree(out)
        for line in shared[:NAMED]:
            click.echo(line, err=True)
        click.echo(f"no bundle: {len(shared)} overlap(s) of {test_spectra} with the calibration; a model cannot be "
                   "tested on what it has learnt", err=True)
        sys.exit(1)
