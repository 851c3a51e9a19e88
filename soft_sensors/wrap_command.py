"""patloop sensor wrap: a network made elsewhere + samples it has not seen -> a bundle with its report."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from soft_sensors.calibrate.fit import Intent, Samples
from soft_sensors.calibrate.folds import by_group, by_order
from soft_sensors.calibrate.package import check_free
from soft_sensors.card import AMOUNT_VIA_MASS, CONCENTRATION
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.errors import TableError
from soft_sensors.inputs import NAMED, joined_tables, labels_of, name_samples, numbers
from soft_sensors.options import card_options, reference_options, spectra_option
from soft_sensors.read import read_reference, read_spectra
from soft_sensors.show import show_card
from soft_sensors.validate import axis_fault
from soft_sensors.wrap.judge import DECLARED, Training, Wrapped, judge, shown_independent
from soft_sensors.wrap.network import read_network
from soft_sensors.wrap.package import write_wrapped

FEW_GROUPS = 8  # our choice: from four real batches, intervals held too little and limits refused too much


@click.command()
@click.argument("model", type=FILE, metavar="MODEL.onnx")
@spectra_option
@reference_options
@click.option("--trained-on", type=FILE, metavar="T.csv",
              help="Spectra the network was trained on: refused when any of them is among the samples given.")
@click.option("--out", type=FILE, required=True, metavar="BUNDLE", help="Folder to write the bundle to.")
@click.option("--input", "input_name", metavar="NAME", help="Input of the network, where it has several.")
@click.option("--output", "output_name", metavar="NAME", help="Output to use, where the network has several.")
@click.option("--axis-unit", type=click.Choice(["nm", "cm-1"]), default="nm", show_default=True)
@click.option("--range", "axis_range", type=(float, float), metavar="LOW HIGH",
              help="Part of the axis that T2, Q and the shape tests watch; by default all that the network sees.")
@card_options
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the folds where groups are many.")
@one_line
def wrap(
    model: Path, spectra: Path, reference: Path, target: str, group: str | None, mass: str | None,
    trained_on: Path | None, out: Path, input_name: str | None, output_name: str | None, axis_unit: str,
    axis_range: tuple[float, float] | None, unit: str, name: str | None, input_type: str, refuse_factor: float,
    accept: tuple[float, float] | None, seed: int,
) -> None:
    """Put a trained ONNX regressor behind a soft sensor's card, limits and interval.

    \b
    The samples must be new to the network: nothing is fitted to them, they only show how well it does.
    With --mass the network's number is taken as amount per unit of mass. Exit 1, and no bundle, when --trained-on
    shares samples with them.
    Example:
      patloop sensor wrap cnn.onnx --spectra S.csv --reference R.csv --target api_pct --group batch --out api_cnn
    """
    if accept is not None and not accept[0] < accept[1]:
        raise InputError(f"--accept {accept[0]:g} {accept[1]:g}: the low limit comes first")
    check_free(out)
    with progress("reading") as say:
        samples, per = _samples(spectra, reference, target, group, mass, axis_unit, seed)
        network = read_network(model, samples.axis.size, input_name, output_name)
        wrapped = judge(network, samples, Intent(
            name=name or out.resolve().name, cqa=target, unit=unit if mass is None else f"{unit} per {mass}".strip(),
            axis_unit=axis_unit, axis_range=axis_range,
            target=CONCENTRATION if mass is None else AMOUNT_VIA_MASS, input_type=input_type,
            refuse_factor=refuse_factor, seed=seed,
            accept=() if accept is None else (accept[0] / per, accept[1] / per)), say)
        if trained_on is not None:
            say("looking for samples that the network was trained on")
            wrapped = _independent(wrapped, trained_on, reference, group)
        say("writing bundle and report")
        bundle = write_wrapped(wrapped, out)
    show_card(bundle)
    folding = samples.folding
    if folding.grouped and folding.n_units < FEW_GROUPS:
        click.echo(f"note: interval and limits rest on {folding.n_units} groups ({group}) only and may not hold on "
                   f"others; give {FEW_GROUPS} or more", err=True)
    if trained_on is None:
        click.echo(f"note: {DECLARED}; show it with --trained-on T.csv", err=True)
    click.echo(f"report: {out / 'report.html'}")


def _samples(
    spectra: Path, reference: Path, target: str, group: str | None, mass: str | None, axis_unit: str, seed: int
) -> tuple[Samples, float]:
    """The usable samples, and what one unit of their reference is in the target's unit (the mean mass, or one)."""
    table, references, rows = joined_tables(spectra, reference, target, mass, group)
    if table.axis_unit not in ("", axis_unit):
        raise InputError(f"{spectra}: its axis is in {table.axis_unit}, not {axis_unit}: give --axis-unit")
    y, per = numbers(references, rows, target), 1.0
    if mass is not None:
        masses = numbers(references, rows, mass)
        y = np.divide(y, masses, out=np.full_like(y, np.nan), where=masses > 0)
        per = float(np.nanmean(np.where(masses > 0, masses, np.nan)))
    values = table.values[rows.spectrum_rows]
    ids = [table.sample_ids[k] for k in rows.spectrum_rows]
    usable = np.isfinite(y) & np.isfinite(values).all(axis=1)
    left_out = [s for s, u in zip(ids, usable, strict=True) if not u]
    name_samples("left out, no finite spectrum, reference or mass", left_out)
    folding = by_order(int(usable.sum()))
    if group is not None:
        folding = by_group(labels_of(references, rows, group, usable), group, seed)
    else:
        click.echo(f"{folding.text}; if some belong together (a batch), name them with --group", err=True)
    return Samples(tuple(s for s, u in zip(ids, usable, strict=True) if u), table.axis, values[usable], y[usable],
                   folding), per


def _independent(wrapped: Wrapped, trained_on: Path, reference: Path, group: str | None) -> Wrapped:
    """The same with it on the card, or exit 1 and the list, when samples (or their groups) are among the training's."""
    table, card = read_spectra(trained_on), wrapped.made.card
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{trained_on}: not on the axis of the samples: {fault}")
    groups: tuple[str, ...] = ()
    if group is not None:
        references = read_reference(reference)
        label = dict(zip(references.sample_ids, references.labels(group), strict=True))
        groups = tuple(label[s] for s in table.sample_ids if s in label)
    shown, shared = shown_independent(wrapped, Training(str(trained_on), table.sample_ids, table.values, groups))
    if shared:
        for line in shared[:NAMED]:
            click.echo(line, err=True)
        click.echo(f"no bundle: {len(shared)} overlap(s) of {trained_on} with the samples given; a network cannot be "
                   "judged on what it has learnt", err=True)
        sys.exit(1)
    return shown
