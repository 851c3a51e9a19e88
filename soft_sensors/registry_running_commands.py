"""patloop sensor rollback, shadow, promote, bias, history, list: what happens to models that run."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click

from soft_sensors.console import FILE, one_line
from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import judge_trial
from soft_sensors.registry.deposit import named_bundle
from soft_sensors.registry.entries import Slots
from soft_sensors.registry.events import Event
from soft_sensors.registry.evidence import figures_of, read_pairs
from soft_sensors.registry.log import read_registry
from soft_sensors.registry_commands import SOFT_SENSORS
from soft_sensors.registry_show import show_history, show_models
from soft_sensors.registry_signing import REASON, REGISTRY, sign, signed
from soft_sensors.registry_steps import rollback_command

rollback = rollback_command(
    SOFT_SENSORS, "Go back to the bundle that was effective before; lines follow in their next cycle.",
    'patloop sensor rollback api --reason "reads high since noon" --registry R --key paul.key',
)  # fmt: skip


@click.command()
@click.argument("bundle")
@click.option("--min-results", type=int, required=True, help="Laboratory results that decide: the first so many.")
@click.option("--max-ratio", type=float, required=True, help="Largest RMSEP, as a multiple of the champion's.")
@click.option("--min-coverage", type=float, required=True, help="Least share of results inside its interval.")
@REASON
@signed
@one_line
def shadow(
    bundle: str, min_results: int, max_ratio: float, min_coverage: float, reason: str, folder: Path, key: Path,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Put a verified bundle into shadow beside the effective one, with what it will have to show.

    \b
    Example:
      patloop sensor shadow api_nir_2 --min-results 20 --max-ratio 0.9 --min-coverage 0.8 --reason "more batches" --registry R --key K
    """  # noqa: E501 - one command, one line
    trial = {"min_results": min_results, "max_ratio": max_ratio, "min_coverage": min_coverage}
    digest = named_bundle(read_registry(folder), bundle)
    sign(folder, key, passphrase_file, "challenge", {"bundle": digest, "trial": trial, "reason": reason})


@click.command()
@click.argument("model")
@click.option("--evidence", type=FILE, required=True, help="File of 'patloop journal shadow'.")
@signed
@one_line
def promote(model: str, evidence: Path, folder: Path, key: Path, passphrase_file: Path | None) -> None:
    """Judge a model's challenger by what was declared; it takes over, or its trial ends (exit 1: not, or not yet).

    \b
    Example:
      patloop sensor promote api --evidence shadow.csv --registry R --key paul.key
    """
    from soft_sensors.registry.examine import file_hash

    registry = read_registry(folder)
    slots = registry.slots.get(model, Slots())
    entry = None if slots.challenger is None else registry.entries[slots.challenger]
    if entry is None or entry.trial is None or slots.effective is None:
        raise RegistryError(f"promote: {model} has no challenger in shadow; mend: patloop sensor shadow")
    figures = figures_of(read_pairs(evidence), entry.trial, slots.effective, entry.bundle)
    shown = ", ".join(f"{name} {math.nan if value is None else value:.4g}" for name, value in figures.items())
    if figures["n"] != entry.trial.min_results:
        click.echo(f"NOT YET: {figures['n']} of {entry.trial.min_results} results since the trial began", err=True)
        sys.exit(1)
    body = {"bundle": entry.bundle, "champion": slots.effective, "figures": figures,
            "evidence_sha256": file_hash(evidence)}  # fmt: skip
    missed = judge_trial(entry.trial, Event(0, "", "", "promote", "", "", body, ""))
    sign(folder, key, passphrase_file, "decline" if missed else "promote", body)
    click.echo(shown)
    if missed:
        click.echo(f"NOT PROMOTED: {missed}", err=True)
        sys.exit(1)


@click.command()
@click.argument("model")
@click.argument("value", type=float)
@REASON
@signed
@one_line
def bias(model: str, value: float, reason: str, folder: Path, key: Path, passphrase_file: Path | None) -> None:
    """Set what is added to every estimate of the effective bundle, within its declared bound (-- before a minus).

    \b
    Example:
      patloop sensor bias api --reason "12 laboratory results" --registry R --key paul.key -- -0.05
    """
    effective = read_registry(folder).slots.get(model, Slots()).effective
    if effective is None:
        raise RegistryError(f"bias: {model} has no effective bundle; activate one")
    sign(folder, key, passphrase_file, "bias", {"bundle": effective, "value": value, "reason": reason})


@click.command()
@REGISTRY
@one_line
def history(folder: Path) -> None:
    """Show who signed what, when, and what the signature means.

    \b
    Example:
      patloop sensor history --registry models/registry
    """
    show_history(read_registry(folder))


@click.command("list")
@click.argument("folder", type=FILE, default=Path())
@click.option("--registry", type=FILE, metavar="R", help="List the models of a registry instead.")
@one_line
def list_command(folder: Path, registry: Path | None) -> None:
    """List the bundles in a folder, or the models of a registry and where they stand.

    \b
    Example:
      patloop sensor list models
      patloop sensor list --registry models/registry
    """
    show_models(folder, None if registry is None else read_registry(registry))
