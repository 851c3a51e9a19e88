"""What the commands of the registry share: options, passphrase, one signed event."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from soft_sensors.console import FILE, InputError
from soft_sensors.registry.entries import Registry
from soft_sensors.registry.keys import read_key
from soft_sensors.registry.log import append
from soft_sensors.registry_show import MEANING

P = ParamSpec("P")
R = TypeVar("R")
SECONDS_A_DAY = 86400
PHRASE = click.option("--passphrase-file", type=FILE, help="File with the key's passphrase; else it is asked for.")
REGISTRY = click.option("--registry", "folder", type=FILE, required=True, metavar="R", help="The registry's folder.")
KEY = click.option("--key", type=FILE, required=True, metavar="K", help="Your key file.")
REASON = click.option("--reason", required=True, help="Why, for the record.")


def signed(command: Callable[P, R]) -> Callable[P, R]:
    """The options of a command that signs: registry, key and passphrase."""
    return REGISTRY(KEY(PHRASE(command)))


def expiring(command: Callable[P, R]) -> Callable[P, R]:
    """The options that say when what is registered expires."""
    months = click.option("--valid-months", type=click.IntRange(1, 600), help="Months from now until it expires.")
    until = click.option("--valid-until", type=click.DateTime(["%Y-%m-%d"]), help="Day on which it expires (UTC).")
    return months(until(command))


def expiry_s(valid_months: int | None, valid_until: datetime | None, now_s: float) -> float:
    """When it expires, in whole seconds since the epoch. UsageError for none or both, InputError for the past."""
    if (valid_months is None) == (valid_until is None):
        raise click.UsageError("give either --valid-months or --valid-until")
    months_s = 0.0 if valid_months is None else now_s + valid_months * 365.25 / 12 * SECONDS_A_DAY
    until_s = months_s if valid_until is None else valid_until.replace(tzinfo=UTC).timestamp()
    if until_s <= now_s:
        raise InputError("--valid-until: is in the past; name a later day")
    return float(int(until_s))


def passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase from a file that only its owner can read, else from the prompt. Raises InputError."""
    if file is None:
        said: str = click.prompt("passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
        return said
    if file.stat().st_mode & 0o077:
        raise InputError(f"{file}: can be read by others; mend: chmod 600")
    return file.read_text(encoding="utf-8").rstrip("\r\n")


def sign(folder: Path, key: Path, phrase: Path | None, action: str, body: dict[str, Any]) -> Registry:
    """Sign what a person does, add it to the registry and say so; the registry after it. Raises RegistryError."""
    after = append(folder, read_key(key, passphrase(phrase)), action, body, time.time())
    event = after.events[-1]
    click.echo(f"event {event.seq}: {event.person}: {MEANING[action]}")
    return after
