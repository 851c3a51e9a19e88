"""What the sensor commands share: how they speak to the user."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from rich.console import Console

from soft_sensors.errors import SensorError

P = ParamSpec("P")
R = TypeVar("R")
FILE = click.Path(path_type=Path)


class InputError(click.ClickException):
    """The input is wrong: one line and exit code 2."""

    exit_code = 2


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
