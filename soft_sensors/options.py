"""Options that several sensor commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from soft_sensors.console import FILE

P = ParamSpec("P")
R = TypeVar("R")


def spectra_option(command: Callable[P, R]) -> Callable[P, R]:
    """--spectra."""
    return click.option("--spectra", type=FILE, required=True,
                        help="A file (.csv, .parquet, .dx, .spc, OPUS) or a folder of such files.")(command)


def second_block(command: Callable[P, R]) -> Callable[P, R]:
    """--with."""
    return click.option("--with", "second", type=FILE, metavar="B.csv",
                        help="The same samples on a second instrument, for a model on both.")(command)


def reference_options(command: Callable[P, R]) -> Callable[P, R]:
    """--reference, --target, --group and --mass."""
    for option in (
        click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet."),
        click.option("--group", metavar="COL", help="Samples that belong together, such as a batch."),
        click.option("--target", metavar="COL", required=True, help="Column of the reference to predict."),
        click.option("--reference", type=FILE, required=True, help="References, .csv or .parquet."),
    ):
        command = option(command)
    return command


def card_options(command: Callable[P, R]) -> Callable[P, R]:
    """--unit, --name, --input-type, --refuse-factor and --accept: what a new model's card is told."""
    for option in (
        click.option("--accept", type=(float, float), metavar="LOW HIGH",
                     help="Acceptance limits in the target's unit; predictions are then within, outside or undecided."),
        click.option("--refuse-factor", type=click.FloatRange(min=1.0), default=3.0, show_default=True,
                     help="T2 or Q above its limit is uncertain; above this many times the limit it is bad."),
        click.option("--input-type", type=click.Choice(["float64", "float32"]), default="float64", show_default=True),
        click.option("--name", help="Name of the model; by default the folder's."),
        click.option("--unit", default="", help="Unit of the target, for the card and the report."),
    ):
        command = option(command)
    return command
