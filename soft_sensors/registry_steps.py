"""kind of bundle -> the commands that sign a step of its life: the same words for soft sensors and controllers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from soft_sensors.console import one_line
from soft_sensors.errors import RegistryError
from soft_sensors.registry.deposit import Load, Loaded, named_by
from soft_sensors.registry.entries import Kind, Registry, Slots
from soft_sensors.registry.log import read_registry
from soft_sensors.registry_signing import REASON, sign, signed

GROUPS = {Kind.SENSOR: "sensor", Kind.CONTROLLER: "control"}
RELEASING = ("approve", "activate")


@dataclass(frozen=True)
class Family:
    """What the commands must know of a kind of bundle.

    load: a bundle of the kind, checked; release: refuses a registered bundle, by registry folder and hash, that may
    not be released (the second argument of its error is the action). Both raise SensorError.
    """

    kind: Kind
    load: Load[Loaded]
    release: Callable[[str, Path, str], object]
    example: str

    @property
    def group(self) -> str:
        """The command group that governs the kind."""
        return GROUPS[self.kind]


def step_command(of: Family, action: str, says: str, note: str) -> click.Command:
    """A command that signs one step of a bundle's life."""
    example = f"patloop {of.group} {action} {of.example} --reason {note} --registry R --key K"

    @click.command(action, help=f"{says}\n\n\b\nExample:\n  {example}")
    @click.argument("bundle")
    @REASON
    @signed
    @one_line
    def step(bundle: str, reason: str, folder: Path, key: Path, passphrase_file: Path | None) -> None:
        registry = read_registry(folder)
        digest = named_by(of.load, registry, bundle)
        _own(of, registry, digest, action)
        if action in RELEASING:
            of.release(action, folder, digest)
        sign(folder, key, passphrase_file, action, {"bundle": digest, "reason": reason})

    return step


def rollback_command(of: Family, says: str, example: str) -> click.Command:
    """The command that goes back to the bundle that was effective before."""

    @click.command("rollback", help=f"{says}\n\n\b\nExample:\n  {example}")
    @click.argument("model")
    @REASON
    @signed
    @one_line
    def rollback(model: str, reason: str, folder: Path, key: Path, passphrase_file: Path | None) -> None:
        registry = read_registry(folder)
        standby = registry.slots.get(model, Slots()).standby
        if standby is None:
            raise RegistryError(f"rollback: {model} has no bundle to go back to; activate an approved one")
        _own(of, registry, standby, "rollback")
        sign(folder, key, passphrase_file, "rollback", {"bundle": standby, "reason": reason})

    return rollback


def _own(of: Family, registry: Registry, digest: str, action: str) -> None:
    kind = registry.entries[digest].kind
    if kind is not of.kind:
        mend = f"patloop {GROUPS[kind]} {action}"
        raise RegistryError(f"{action}: bundle {digest[:12]} is a {kind.value}, not a {of.kind.value}; mend: {mend}")
