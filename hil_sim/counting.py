"""Progress of many runs: a bar on a terminal, a line each elsewhere; always on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counting(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Yields done(name), to be called after each of `total` things."""
    console, count = Console(stderr=True), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{total} {what}", total=total)

        def done(name: str) -> None:
            nonlocal count
            count += 1
            progress.update(bar, advance=1, description=name)
            if not console.is_terminal:
                click.echo(f"{count} of {total}: {name}", err=True)

        yield done
