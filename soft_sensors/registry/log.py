"""folder -> Registry, every line checked; and one signed line more. Whatever is not as it should be closes it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import check_keys
from soft_sensors.registry.entries import Person, Registry, Role
from soft_sensors.registry.events import FIRST_PREV, Event, line_hash, parse, sign
from soft_sensors.registry.keys import fingerprint, public_hex, signed_by
from soft_sensors.registry.lifecycle import apply

LOG, MODELS = "log.jsonl", "models"
RESTORE = "restore the registry from a copy that verifies"


def read_registry(folder: Path, registry_id: str | None = None) -> Registry:
    """The registry in a folder, after checking every line: chain, signatures, roles, and that each step was allowed.

    registry_id: what it must be (None: whichever it is, for a person who looks). RegistryError names the event.
    """
    return _told(folder, _raw(folder), registry_id)


def found(folder: Path, key: Ed25519PrivateKey, person: str, roles: tuple[Role, ...], now_s: float) -> Registry:
    """Make a registry whose first event enrols its first owner. RegistryError when there is one already."""
    log = folder / LOG
    body = {"public_key": public_hex(key), "roles": [role.value for role in roles]}
    event = sign(key, seq=0, prev=FIRST_PREV, time_s=now_s, action="found", person=person, body=body)
    registry = accept(Registry(registry_id=line_hash(event.line())), event)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODELS).mkdir(exist_ok=True)
    try:
        with log.open("xb") as file:
            _write(file.fileno(), event.line())
    except FileExistsError as error:
        raise RegistryError(f"{log}: there is a registry already; name another folder") from error
    return registry


def append(
    folder: Path, key: Ed25519PrivateKey, action: str, body: Mapping[str, Any], now_s: float,
    registry_id: str | None = None,
) -> Registry:  # fmt: skip
    """Sign what a person does and add it to the log when it is allowed; the registry after it. Raises RegistryError."""
    with _locked(folder) as descriptor:
        registry = read_registry(folder, registry_id)
        signer = signer_of(registry, key)
        event = sign(
            key, seq=len(registry.events), prev=registry.line_hashes[-1], time_s=now_s, action=action,
            person=signer.name, body=body,
        )  # fmt: skip
        after = accept(registry, event)
        _write(descriptor, event.line())
    return after


def signer_of(registry: Registry, key: Ed25519PrivateKey) -> Person:
    """The person whose key this is. RegistryError when it is not enrolled or was revoked."""
    signer = registry.people.get(fingerprint(public_hex(key)))
    if signer is None:
        raise RegistryError("this key is not enrolled in the registry; an owner enrols its .pub file")
    if signer.revoked:
        raise RegistryError(f"this key of {signer.name} was revoked; an owner enrols a new one")
    return signer


def accept(registry: Registry, event: Event) -> Registry:
    """The registry with one event more, when it follows, is signed and is allowed. Raises RegistryError."""
    seq = len(registry.events)
    expected = registry.line_hashes[-1] if registry.line_hashes else FIRST_PREV
    if event.seq != seq or event.prev != expected:
        raise RegistryError("does not follow the event before it: one was removed, moved or changed")
    if (seq == 0) != (event.action == "found"):
        raise RegistryError("a registry begins with its founding, and only there")
    check_keys(event)
    public = event.body["public_key"] if event.action == "found" else _public(registry, event)
    if not isinstance(public, str) or not signed_by(public, event.signature, event.message()):
        raise RegistryError(f"the signature is not {event.person}'s for this event")
    if registry.events and event.time_s < registry.events[-1].time_s:
        raise RegistryError("its time is before that of the event before it: set the clock right")
    after = apply(registry, event)
    return replace(
        after, events=(*after.events, event), line_hashes=(*after.line_hashes, line_hash(event.line()))
    )  # fmt: skip


def _public(registry: Registry, event: Event) -> str:
    signer = registry.people.get(event.key)
    if signer is None or signer.name != event.person:
        raise RegistryError(f"its key is not enrolled for {event.person}")
    if signer.revoked:
        raise RegistryError(f"its key, {signer.name}'s, was revoked before")
    return signer.public_key


def _raw(folder: Path) -> bytes:
    try:
        return (folder / LOG).read_bytes()
    except OSError as error:
        raise RegistryError(f"{folder / LOG}: cannot be read ({error.strerror}); is this a registry?") from error


def _told(folder: Path, raw: bytes, registry_id: str | None) -> Registry:
    lines = raw.split(b"\n")
    if lines.pop() != b"" or not lines:
        raise RegistryError(f"{folder / LOG}: does not end with a whole event; {RESTORE}")
    registry = Registry(registry_id=line_hash(lines[0]))
    if registry_id is not None and registry.registry_id != registry_id:
        raise RegistryError(
            f"{folder / LOG}: this is registry {registry.registry_id[:12]}, not {registry_id[:12]}; {RESTORE}"
        )
    for seq, line in enumerate(lines):
        try:
            registry = accept(registry, parse(line, seq))
        except RegistryError as error:
            where = "" if str(error).startswith(f"event {seq}:") else f"event {seq}: "
            raise RegistryError(f"{folder / LOG}: {where}{error}") from error
    return registry


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    """The log open for appending, ours alone among those who append."""
    try:
        descriptor = os.open(folder / LOG, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        raise RegistryError(f"{folder / LOG}: cannot be written ({error.strerror}); is this a registry?") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, line: bytes) -> None:
    """One write, so that a reader never sees half of it; on the disk when this returns."""
    os.write(descriptor, line + b"\n")
    os.fsync(descriptor)
