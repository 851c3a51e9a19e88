"""What the sensor commands share: how they speak to the user."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
from rich.console import Console

from soft_sensors.errors import SensorError

P = ParamSpec("P")
R = TypeVar("R")
FILE = click.Path(path_type=Path)


class InputError(click.ClickException):
    """The input is wrong: one line and exit code 2."""

    exit_code = 2


class LazyGroup(click.Group):
    """A click group whose commands are imported when they are asked for; commands_at: name -> "module:attribute"."""

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands_at = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*self.commands_at, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = self.commands_at.get(cmd_name)
        if where is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = where.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name and error.name.split(".")[0] == "soft_sensors":
                raise
            raise InputError(f"'patloop sensor {cmd_name}' needs the package '{error.name}', which is not installed on "
                             "this machine: it belongs to the extra 'calibrate'") from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{where} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
            except InputError:
                continue  # an extra is not installed: the command is simply not there
            if command is not None:
                rows.append((name, command.get_short_help_str(90)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def one_line(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the soft sensors' own errors into one line for the user."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SensorError as error:
            raise InputError(str(error)) from error
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}") from error

    return run


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; on stderr, so that stdout stays clean."""
    with Console(stderr=True).status(first) as status:
        yield status.update
