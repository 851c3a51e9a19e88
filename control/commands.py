"""The commands of the control package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
from pydantic import ValidationError

from control.errors import ControlError
from control.settings import ControlSettings
from soft_sensors.console import LazyGroup

TABLES = ("recipe", "mv", "plant", "observer", "controller")
# Name -> module and attribute, imported when it is called.
COMMANDS = {
    name: f"control.registry_commands:{attribute}"
    for name, attribute in {
        "show": "show", "list": "list_command", "register": "register", "verify": "verify", "approve": "approve",
        "activate": "activate", "rollback": "rollback", "retire": "retire",
    }.items()
} | {"history": "soft_sensors.registry_running_commands:history"}  # fmt: skip


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def control() -> None:
    """Build and govern what the service decides with.

    \b
    Example:
      patloop control build deploy/lines/cdc_ref_1.toml --out deploy/models/cdc_mpc
    """


@control.command()
@click.argument("line", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="bundle folder to write")
def build(line: Path, out: Path) -> None:
    """Compile the controller model of LINE.toml into a bundle.

    \b
    Example:
      patloop control build deploy/lines/cdc_ref_1.toml --out deploy/models/cdc_mpc
    """
    from control.build import build_bundle
    from control.bundle import load_controller

    settings = read_settings(line)
    click.echo(f"building the model '{settings.plant.name}' ...")
    try:
        build_bundle(settings, out)
        bundle = load_controller(settings, out)
    except ControlError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"wrote {out}: {len(bundle.states)} states, {len(bundle.inputs)} inputs, hash {bundle.bundle_hash[:12]}")


def read_settings(line: Path) -> ControlSettings:
    """The control tables of a line file; click errors name what is wrong and where."""
    try:
        tables = tomllib.loads(line.read_text())
        cycle_s = tables["line"]["cycle_s"]
        return ControlSettings.model_validate({"cycle_s": cycle_s, **{k: tables[k] for k in TABLES if k in tables}})
    except KeyError as error:
        raise click.ClickException(f"{line}: table or key {error} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise click.ClickException(f"{line}: {where}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{line}: not valid TOML: {error}") from error
