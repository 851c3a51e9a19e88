"""What the commands of the registry share: options, passphrase, one signed event."""

from __future__ import annotations

import time
from collections.abc import Callable
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
PHRASE = click.option("--passphrase-file", type=FILE, help="File with the key's passphrase; else it is asked for.")
REGISTRY = click.option("--registry", "folder", type=FILE, required=True, metavar="R", help="The registry's folder.")
KEY = click.option("--key", type=FILE, required=True, metavar="K", help="Your key file.")
REASON = click.option("--reason", required=True, help="Why, for the record.")


def signed(command: Callable[P, R]) -> Callable[P, R]:
    """The options of a command that signs: registry, key and passphrase."""
    return REGISTRY(KEY(PHRASE(command)))


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
