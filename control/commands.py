"""The commands of the control package."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from control.errors import ControlError
from control.settings import ControlSettings
from soft_sensors.console import LazyGroup

if TYPE_CHECKING:
    from control.bundle import ControllerBundle

TABLES = ("recipe", "mv", "plant", "observer", "controller", "press")
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
    _built(settings, f"the model '{settings.plant.name}'", build_bundle, load_controller, out)


@control.command("build-press")
@click.argument("line", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="bundle folder to write")
def build_press(line: Path, out: Path) -> None:
    """Compile the model of LINE.toml's press ([press]: fill depth, thickness, turret) into a bundle.

    \b
    Example:
      patloop control build-press deploy/lines/cdc_press_1.toml --out deploy/models/cdc_press
    """
    from control.build import build_press_bundle
    from control.bundle import load_press

    _built(read_settings(line), "the model of the press", build_press_bundle, load_press, out)


def _built(
    settings: ControlSettings, what: str, made: Callable[[ControlSettings, Path], None],
    loaded: Callable[[ControlSettings, Path], ControllerBundle], out: Path,
) -> None:  # fmt: skip
    click.echo(f"building {what} ...")
    try:
        made(settings, out)
        bundle = loaded(settings, out)
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
