"""`patloop token`: what lets another system into a line's API."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from edge.api.tokens import MOST_DAYS, ApiRole, Tokens
from edge.commands import LINE, STATE, told
from edge.config import read_config
from edge.errors import ConfigError
from edge.record.journal import Journal

FILE = "tokens.db"


@click.group()
def token() -> None:
    """Tokens for the API of a line: make, list, revoke.

    \b
    Example:
      patloop token make deploy/lines/cdc_ref_1.toml --role reader --name historian --days 365
    """


@token.command()
@LINE
@click.option("--role", required=True, type=click.Choice([role.value for role in ApiRole]))
@click.option("--name", required=True, help="Of the system that will hold it.")
@click.option("--days", default=365.0, show_default=True, help=f"How long it holds, at most {MOST_DAYS}.")
@STATE
def make(line_file: Path, role: str, name: str, days: float, state: Path | None) -> None:
    """Make a token and print it, once; that it was made goes on the record.

    \b
    Example:
      patloop token make deploy/lines/cdc_ref_1.toml --role lab --name lims --days 365
    """
    with _tokens(line_file, state) as tokens:
        text = tokens.make(name, ApiRole(role), days, _me())
    click.echo(f"{name} ({role}), for {days:g} days, shown only now:\n{text}")


@token.command("list")
@LINE
@STATE
def list_(line_file: Path, state: Path | None) -> None:
    """Show every token's name, role and state; never the token itself.

    \b
    Example:
      patloop token list deploy/lines/cdc_ref_1.toml
    """
    table = Table("id", "name", "role", "made", "expires", "state", box=None)
    now_s = time.time()
    with _tokens(line_file, state) as tokens:
        for found in tokens.all():
            word = "holds" if found.holds(now_s) else "expired" if found.revoked_s is None else "revoked"
            table.add_row(found.id, found.name, found.role.value, _day(found.made_s), _day(found.expires_s), word)
    Console().print(table)


@token.command()
@LINE
@click.option("--name", required=True)
@STATE
def revoke(line_file: Path, name: str, state: Path | None) -> None:
    """Take a token back: the next request with it is refused.

    \b
    Example:
      patloop token revoke deploy/lines/cdc_ref_1.toml --name historian
    """
    with _tokens(line_file, state) as tokens:
        count = tokens.revoke(name, _me())
    click.echo(f"{name}: {count} taken back")


@contextmanager
def _tokens(line_file: Path, state: Path | None) -> Iterator[Tokens]:
    """The line's tokens, with its journal as the record: without one nothing is made."""
    with told():
        config, _ = read_config(line_file)
        folder = state or config.line.state_dir
        if not (folder / "journal.sqlite").exists():
            raise ConfigError(f"there is no journal in {folder}: start the service once, so that it is on the record")
        with (
            Journal.open(folder / "journal.sqlite", config.line.name) as journal,
            closing(Tokens(folder / FILE, journal)) as tokens,
        ):
            yield tokens


def _me() -> str:
    return f"local:{getpass.getuser()}"


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
