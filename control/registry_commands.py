"""patloop control show, register, verify, approve, activate, rollback, retire, list: a controller's way into operation.

Keys, people and the registry itself are those of the soft sensors: `patloop sensor key`, `patloop sensor registry`.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from control.bundle import ControllerBundle
from control.conduct import Figures, figures_of
from control.governed import load_any
from soft_sensors.console import FILE, one_line, progress
from soft_sensors.errors import AlteredError, RegistryError
from soft_sensors.registry.bodies import judge_test
from soft_sensors.registry.deposit import deposit_by, deposited_by
from soft_sensors.registry.entries import ConductCriteria, Kind, Registry
from soft_sensors.registry.events import Event
from soft_sensors.registry.log import read_registry
from soft_sensors.registry_show import show_registered
from soft_sensors.registry_signing import PHRASE, REASON, REGISTRY, expiring, expiry_s, sign, signed
from soft_sensors.registry_steps import Family, rollback_command, step_command

NEXT_START = "A line takes it at its next start"


@click.command()
@click.argument("bundle", type=FILE)
@one_line
def show(bundle: Path) -> None:
    """Show what a controller bundle decides with, after checking every part of it.

    \b
    Example:
      patloop control show deploy/models/cdc_mpc
    """
    found = load_any(bundle)
    card = found.card
    click.echo(f"bundle    {found.bundle_hash}")
    click.echo(f"states    {len(card.states)}: {', '.join(card.states)}")
    click.echo(f"inputs    {', '.join(card.inputs)}")
    click.echo(f"measured  {', '.join(card.measurements)}")
    click.echo(f"limits    {', '.join(card.limits)}")
    click.echo(f"horizon   {card.horizon_steps} steps of {card.step_s:g} s, {len(card.blocks)} moves each input")


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--model", required=True, help="Name under which lines run it.")
@click.option("--scenario", "scenarios", multiple=True, required=True, help="Scenario it has to be good in; repeat.")
@click.option("--max-time-outside", type=float, required=True, help="Most % of time outside +-3 %, in each scenario.")
@click.option("--min-runs", type=click.IntRange(1), default=20, show_default=True, help="Least runs a scenario.")
@click.option("--min-hours", type=float, default=1.0, show_default=True, help="Least length of a run.")
@expiring
@REASON
@signed
@one_line
def register(
    bundle: Path, model: str, scenarios: tuple[str, ...], max_time_outside: float, min_runs: int, min_hours: float,
    valid_months: int | None, valid_until: datetime | None, reason: str, folder: Path, key: Path,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Copy a controller bundle into the registry as a draft, with the criteria that its test will be held to.

    \b
    Example:
      patloop control register cdc_mpc --model cdc_mpc --scenario nominal --scenario hidden_loss --max-time-outside 10 --valid-months 24 --reason "first" --registry R --key ada.key
    """  # noqa: E501 - one command, one line
    until_s = expiry_s(valid_months, valid_until, time.time())
    read_registry(folder)
    made = deposit_by(load_any, bundle, folder)
    criteria = {"scenarios": list(dict.fromkeys(scenarios)), "min_runs": min_runs, "min_hours": min_hours,
                "max_time_outside_3pct": max_time_outside, "valid_until_s": until_s}  # fmt: skip
    body = {"bundle": made.bundle_hash, "model": model, "criteria": criteria, "reason": reason}
    sign(folder, key, passphrase_file, "register_controller", body)
    click.echo(f"draft {made.bundle_hash}")


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--registry", "folder", type=FILE, metavar="R", help="Verify in this registry, against its criteria.")
@click.option("--key", type=FILE, metavar="K", help="Your key file.")
@PHRASE
@click.option("--runs", type=FILE, metavar="F", help="File of 'patloop bench --json' with runs of this bundle.")
@one_line
def verify(
    bundle: Path, folder: Path | None, key: Path | None, passphrase_file: Path | None, runs: Path | None
) -> None:
    """Check that a controller bundle is intact and reproduced here; with --registry also judge its closed loop and
    sign the result (exit 1: altered, or failed).

    \b
    Example:
      patloop control verify cdc_mpc
      patloop control verify cdc_mpc --registry R --key eve.key --runs kpi.json
    """
    try:
        with progress("computing the golden vectors"):
            made = load_any(bundle)
    except AlteredError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"{bundle}: intact, golden vectors agree, {made.bundle_hash}")
    if folder is None:
        return
    if key is None or runs is None:
        raise click.UsageError("with --registry also give --key and --runs")
    from soft_sensors.registry.examine import file_hash

    criteria = _criteria_of(read_registry(folder), made.bundle_hash, bundle)
    deposited_by(load_any, folder, made.bundle_hash)
    figures = figures_of(runs, made.bundle_hash, criteria.scenarios)
    click.echo(_told(figures))
    body = {"bundle": made.bundle_hash, "figures": figures, "evidence_sha256": file_hash(runs)}
    missed = judge_test(criteria, Event(0, "", "", "verify_controller", "", "", body, ""))
    sign(folder, key, passphrase_file, "fail_controller" if missed else "verify_controller", body)
    if missed:
        click.echo(f"NOT VERIFIED: {missed}", err=True)
        sys.exit(1)


@click.command("list")
@REGISTRY
@one_line
def list_command(folder: Path) -> None:
    """List the controllers of a registry and where they stand.

    \b
    Example:
      patloop control list --registry models/registry
    """
    show_registered(read_registry(folder), Kind.CONTROLLER)


def _criteria_of(registry: Registry, digest: str, bundle: Path) -> ConductCriteria:
    entry = registry.entries.get(digest)
    if entry is None or not isinstance(entry.criteria, ConductCriteria):
        raise RegistryError(f"{bundle}: not registered there; mend: patloop control register")
    return entry.criteria


def _told(figures: Figures) -> str:
    return ", ".join(f"{name} {'none' if value is None else f'{value:.4g}'}" for name, value in figures.items())


def _sound(_: str, folder: Path, digest: str) -> ControllerBundle:
    return deposited_by(load_any, folder, digest)


CONTROLLERS = Family(Kind.CONTROLLER, load_any, _sound, "cdc_mpc")
approve = step_command(
    CONTROLLERS, "approve", "Release a verified controller for use; neither author nor verifier may.", '"released"'
)
activate = step_command(
    CONTROLLERS, "activate", f"Make an approved controller the one that runs. {NEXT_START}; the one before is standby.",
    '"start"',
)  # fmt: skip
retire = step_command(
    CONTROLLERS, "retire", "End a controller's life for good; a line that runs it moves nothing from then on.",
    '"superseded"',
)  # fmt: skip
rollback = rollback_command(
    CONTROLLERS, f"Go back to the controller that was effective before. {NEXT_START}; this one moves nothing more.",
    'patloop control rollback cdc_mpc --reason "oscillates since noon" --registry R --key paul.key',
)  # fmt: skip
