"""What the commands on journals share: their arguments, and how they open, tell progress and fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from edge.errors import RecorderError
from edge.record.journal import Journal


class InputError(click.ClickException):
    """The user's input is wrong: one line, exit code 2."""

    exit_code = 2


class Instant(click.ParamType[float]):
    """A point in time: ISO 8601 (UTC unless it says otherwise) or seconds since the epoch; gives seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds since the epoch; fails with the two forms that are taken."""
        for read in (float, _iso):
            with suppress(ValueError):
                return read(value)
        text = f"'{value}' is no time: give ISO 8601 (2026-03-01T06:30:00Z) or seconds since the epoch"
        return self.fail(text, param, ctx)


def _iso(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


JOURNAL = click.argument("journal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
FROM = click.option("--from", "from_s", type=Instant(), help="Begin here: ISO 8601 or seconds since the epoch.")
TO = click.option("--to", "to_s", type=Instant(), help="End here, included.")


@contextmanager
def reading(path: Path) -> Iterator[Journal]:
    """The journal, open for reading; what is wrong with it is one line and exit code 2."""
    try:
        with Journal.open_reader(path) as record:
            yield record
    except RecorderError as error:
        raise InputError(f"{error}; 'patloop journal verify' says more") from error


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's stderr: call it with how much is done and how much there is."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
