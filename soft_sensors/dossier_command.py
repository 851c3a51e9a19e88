"""patloop sensor dossier and quarantine: the case for a soft sensor, and whether its test set is independent."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from soft_sensors.bundle import load_bundle
from soft_sensors.console import FILE, one_line, progress
from soft_sensors.errors import TableError
from soft_sensors.inputs import joined_tables
from soft_sensors.read import read_spectra
from soft_sensors.signals import FloatArray
from soft_sensors.validate import axis_fault


def _print_template(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from soft_sensors.dossier.plan import template

        click.echo(template(), nl=False)
        context.exit()


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--template", is_flag=True, is_eager=True, expose_value=False, callback=_print_template,
              help="Print a plan to fill in, and do nothing else.")
@click.option("--plan", type=FILE, required=True, metavar="PLAN.toml", help="What only people can say; see --template.")
@click.option("--spectra", type=FILE, metavar="T.csv", help="Spectra of the independent test set.")
@click.option("--reference", type=FILE, metavar="TR.csv", help="References of the independent test set.")
@click.option("--target", metavar="COL", help="Column of the reference that the model predicts.")
@click.option("--group", metavar="COL", help="Samples that belong together, such as a batch.")
@click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet.")
@click.option("--pure", type=FILE, metavar="PURE.csv", help="Spectra of the pure components, one a row.")
@click.option("--repeat", type=FILE, metavar="REPEAT.csv", help="Repeated scans; sample_id is sample#scan.")
@click.option("--faults", type=FILE, metavar="F.json", help="Result of 'patloop sensor challenge --json'.")
@click.option("--registry", type=FILE, metavar="R", help="Registry with the signed history of the bundle.")
@click.option("--out", type=FILE, required=True, metavar="FOLDER", help="Folder for dossier.html and dossier.pdf.")
@one_line
def dossier(
    bundle: Path, plan: Path, spectra: Path | None, reference: Path | None, target: str | None, group: str | None,
    mass: str | None, pure: Path | None, repeat: Path | None, faults: Path | None, registry: Path | None, out: Path,
) -> None:
    """Write the dossier of a soft sensor: what it is for, what it was made from, and what supports its use.

    \b
    A heading without evidence fails the build: exit 1, nothing written, each heading named with its mend.
    Criteria that are not met are shown: the dossier is written, exit 1.
    Example:
      patloop sensor dossier --template > plan.toml
      patloop sensor dossier api_nir --plan plan.toml --spectra T.csv --reference TR.csv --target api_pct --out dossier
    """
    from soft_sensors.dossier.build import HTML, PDF, build
    from soft_sensors.dossier.document import Outcome
    from soft_sensors.dossier.headings import UnsupportedError
    from soft_sensors.dossier.material import Inputs
    from soft_sensors.dossier.sections_purpose import VERDICTS

    inputs = Inputs(bundle, plan, spectra, reference, target, group, mass, pure, repeat, faults, registry)
    with progress("reading and checking the evidence") as say:
        try:
            outcome = build(inputs, out, say)
        except UnsupportedError as error:
            click.echo(f"no dossier: {len(error.lacks)} lack(s) of evidence", err=True)
            for lack in error.lacks:
                click.echo(f"  {lack}", err=True)
            sys.exit(1)
    click.echo(f"{out / PDF}, {out / HTML}: {VERDICTS[outcome]}")
    if outcome is Outcome.FAILS:
        sys.exit(1)


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--spectra", type=FILE, required=True, metavar="T.csv", help="Spectra of the test set.")
@click.option("--reference", type=FILE, metavar="R.csv", help="Table with the groups of the test set.")
@click.option("--group", metavar="COL", help="Samples that belong together, such as a batch.")
@one_line
def quarantine(bundle: Path, spectra: Path, reference: Path | None, group: str | None) -> None:
    """Say what a test set shares with the model's calibration set; exit 1 when it shares anything.

    \b
    Example:
      patloop sensor quarantine api_nir --spectra T.csv --reference R.csv --group batch
    """
    from soft_sensors.calibrate.quarantine import overlap

    if (reference is None) != (group is None):
        raise click.UsageError("--reference and --group belong together: name both or neither")
    with progress("comparing with the calibration set"):
        sample_ids, values, labels = _test_set(bundle, spectra, reference, group)
        found = overlap(bundle, sample_ids, values, labels)
    for line in found:
        click.echo(line, err=True)
    if found:
        sys.exit(1)
    looked = "spectra" if labels is None else "spectra and groups"
    click.echo(f"{spectra}: {len(sample_ids)} samples, {looked} share nothing with the calibration set")


def _test_set(
    bundle: Path, spectra: Path, reference: Path | None, group: str | None
) -> tuple[tuple[str, ...], FloatArray, list[str] | None]:
    """Sample ids, spectra [n, channels] and groups; every spectrum counts, with a group or without."""
    card = load_bundle(bundle).card
    table = read_spectra(spectra)
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{spectra}: the spectra do not fit the model {card.name!r}: {fault}")
    if reference is None or group is None:
        return table.sample_ids, table.values, None
    _, references, rows = joined_tables(spectra, reference, group, None, None)
    column = references.labels(group)
    labels = np.full(len(table.sample_ids), "", dtype=object)
    labels[rows.spectrum_rows] = [column[k] for k in rows.reference_rows]
    return table.sample_ids, table.values, [str(label) for label in labels]
