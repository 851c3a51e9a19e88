"""`patloop user`: the accounts of a line."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from edge.commands import told
from edge.people.accounts import Accounts, Role
from edge.record.journal import Journal

NAME = click.argument("name")
STATE = click.option(
    "--state",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The line's state folder, which holds people.db and the journal.",
)


@click.group()
def user() -> None:
    """The accounts of a line: add, list, disable, reset.

    \b
    Example:
      patloop user add maria --role engineer --state var/cdc_ref_1
    """


@user.command()
@NAME
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@STATE
def add(name: str, role: str, state: Path) -> None:
    """Make an account and print its one-time first password, once.

    \b
    Example:
      patloop user add maria --role engineer --state var/cdc_ref_1
    """
    with _accounts(state) as accounts:
        password = accounts.add(name, Role(role), _me())
    click.echo(f"{name} ({role}), first password, shown only now: {password}")


@user.command(name="list")
@STATE
def list_accounts(state: Path) -> None:
    """List the accounts with role and state.

    \b
    Example:
      patloop user list --state var/cdc_ref_1
    """
    table = Table("name", "role", "state", box=None)
    with _accounts(state) as accounts:
        for account in accounts.all():
            words = ["disabled"] if account.disabled else []
            if account.locked_until_s > time.time():
                words.append(f"locked until {datetime.fromtimestamp(account.locked_until_s, UTC):%H:%M:%S} UTC")
            if account.must_change:
                words.append("first password not yet changed")
            table.add_row(account.name, account.role.value, ", ".join(words) or "active")
    Console().print(table)


@user.command()
@NAME
@STATE
def disable(name: str, state: Path) -> None:
    """Close an account to log-ins; its sessions end.

    \b
    Example:
      patloop user disable maria --state var/cdc_ref_1
    """
    with _accounts(state) as accounts:
        accounts.disable(name, _me())
    click.echo(f"{name} is disabled")


@user.command()
@NAME
@STATE
def reset(name: str, state: Path) -> None:
    """Give an account a new one-time password; unlocks and enables it.

    \b
    Example:
      patloop user reset maria --state var/cdc_ref_1
    """
    with _accounts(state) as accounts:
        password = accounts.reset(name, _me())
    click.echo(f"{name}, new one-time password, shown only now: {password}")


def _me() -> str:
    return f"local:{getpass.getuser()}"


@contextmanager
def _accounts(state: Path) -> Iterator[Accounts]:
    """The accounts of a state folder, with its journal as the record once there is one."""
    with told():
        journal: Journal | None = None
        if (state / "journal.sqlite").exists():
            journal = Journal.open_existing(state / "journal.sqlite")
        else:
            click.echo(f"note: {state} holds no journal yet, so this is not on the record", err=True)
        with (
            closing(journal) if journal else nullcontext(),
            closing(Accounts(state / "people.db", journal)) as accounts,
        ):
            yield accounts
