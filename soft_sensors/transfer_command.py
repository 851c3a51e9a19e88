"""patloop sensor transfer: the same samples on two instruments -> the model for the new one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from soft_sensors.bundle import GRAPH, load_bundle
from soft_sensors.card import AMOUNT_VIA_MASS, Card
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.errors import TableError, TransferError
from soft_sensors.inputs import name_samples
from soft_sensors.read import read_reference, read_spectra
from soft_sensors.read.tables import SpectraTable
from soft_sensors.show import show_card
from soft_sensors.validate import axis_fault

if TYPE_CHECKING:
    from soft_sensors.calibrate.transfer.move import Known, Paired


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--from", "old", type=FILE, required=True, metavar="A.csv", help="Spectra on the model's instrument.")
@click.option("--to", "new", type=FILE, required=True, metavar="B.csv", help="The same samples on the new instrument.")
@click.option("--out", type=FILE, required=True, metavar="BUNDLE2", help="Folder to write the new bundle to.")
@click.option("--name", help="Name of the new model; by default the folder's.")
@click.option("--reference", type=FILE, help="References of the pairs, where they are not calibration samples.")
@click.option("--target", metavar="COL", help="Column of the reference, in the unit of the model's target.")
@click.option("--mass", metavar="COL", help="Column of the tablet mass, when the target is an amount per tablet.")
@one_line
def transfer(
    bundle: Path, old: Path, new: Path, out: Path, name: str | None, reference: Path | None, target: str | None,
    mass: str | None,
) -> None:
    """Move a soft sensor to another instrument, by samples measured on both (15 to 30 that span the range).

    \b
    The way is chosen by cross-validation: a map of the spectra or of the value; a re-calibration with the pairs, where
    their references are known (calibration samples, or --reference); or, where the values agree as they are, new
    limits only. When there is nothing to gain, or nothing helps, nothing is written: exit 1.
    Example:
      patloop sensor transfer api_nir --from old.csv --to new.csv --out api_nir_2
    """
    from soft_sensors.calibrate.package import check_free
    from soft_sensors.calibrate.transfer.move import move
    from soft_sensors.calibrate.transfer.package import write_moved

    check_free(out)
    parent = load_bundle(bundle)
    with progress("reading") as say:
        paired = _paired(parent.card, old, new)
        known = _known(bundle, parent.card, reference, target, mass)
        try:
            moved = move(parent, (bundle / GRAPH).read_bytes(), paired, name or out.resolve().name, say, known)
        except TransferError as error:
            click.echo(str(error), err=True)
            sys.exit(1)
        say("writing bundle and report")
        made = write_moved(moved, out)
    for text in moved.warnings:
        click.echo(f"warning: {text}", err=True)
    show_card(made)
    click.echo(f"report: {out / 'report.html'}")


def _known(bundle: Path, card: Card, reference: Path | None, target: str | None, mass: str | None) -> Known:
    """The parent's calibration, where it is beside the bundle, and the references that were named."""
    from soft_sensors.calibrate.evidence import CALIBRATION, read_evidence
    from soft_sensors.calibrate.transfer.move import Known

    evidence = read_evidence(bundle) if (bundle / CALIBRATION).is_file() else None
    if reference is None:
        if target is not None or mass is not None:
            raise InputError("--target and --mass are columns of a table: name it with --reference")
        return Known(evidence)
    if target is None:
        raise InputError("--reference needs --target, the column to judge by")
    if (mass is None) is (card.target == AMOUNT_VIA_MASS):
        need = "needs --mass, its" if mass is None else "has no --mass: the"
        raise InputError(f"--reference {need} model {card.name!r} gives {card.target}")
    if evidence is None:
        raise InputError(f"--reference: {bundle / CALIBRATION} is not there, without the calibration nothing can be "
                         "fitted again; transfer from the bundle as it was calibrated, or leave --reference away")
    table = read_reference(reference)
    y = table.numbers(target)
    if mass is not None:
        masses = table.numbers(mass)
        y = np.divide(y, masses, out=np.full_like(y, np.nan), where=masses > 0)
    return Known(evidence, {s: float(v) for s, v in zip(table.sample_ids, y, strict=True) if np.isfinite(v)})


def _paired(card: Card, old: Path, new: Path) -> Paired:
    """The samples that are in both files and finite in both; the others are named on stderr."""
    from soft_sensors.calibrate.transfer.move import Paired

    first, second = (_table(card, path) for path in (old, new))
    place = {sample_id: k for k, sample_id in enumerate(second.sample_ids)}
    name_samples(f"in {old} but not in {new}", [s for s in first.sample_ids if s not in place])
    name_samples(f"in {new} but not in {old}", [s for s in second.sample_ids if s not in set(first.sample_ids)])
    rows = [(k, place[s]) for k, s in enumerate(first.sample_ids) if s in place]
    if not rows:
        raise TableError(f"no sample_id is both in {old} and in {new}; they are joined on sample_id")
    a, b = first.values[[i for i, _ in rows]], second.values[[j for _, j in rows]]
    ids = [first.sample_ids[i] for i, _ in rows]
    usable = np.flatnonzero(np.isfinite(np.hstack([a, b])).all(axis=1))
    name_samples("left out, no finite spectrum", [s for k, s in enumerate(ids) if k not in usable])
    return Paired(tuple(ids[k] for k in usable), a[usable], b[usable])


def _table(card: Card, path: Path) -> SpectraTable:
    table = read_spectra(path)
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{path}: the spectra do not fit the model {card.name!r}: {fault}")
    return table
