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
