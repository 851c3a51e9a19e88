"""what a person did -> one signed line of the registry's log, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from soft_sensors.errors import RegistryError
from soft_sensors.registry.keys import fingerprint, public_hex

FIRST_PREV = "0" * 64
DOMAIN = b"patloop registry event 1\n"  # a signature made for anything else can never pass for one of ours
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
KEYS = ("seq", "prev", "time", "action", "person", "key", "body", "signature")


@dataclass(frozen=True)
class Event:
    """One line of the log.

    seq: from 0 without gaps; prev: SHA-256 of the line before (64 zeros at first); time: ISO 8601, UTC, seconds;
    key: fingerprint of the signer's public key; body: what was done; signature: Ed25519, hex, over all but itself.
    """

    seq: int
    prev: str
    time: str
    action: str
    person: str
    key: str
    body: Mapping[str, Any]
    signature: str

    @property
    def time_s(self) -> float:
        """The time in seconds since the epoch."""
        return seconds_of(self.time)

    def message(self) -> bytes:
        """What the signature is over."""
        plain = {name: getattr(self, name) for name in KEYS if name != "signature"}
        return DOMAIN + canonical(plain)

    def line(self) -> bytes:
        """The event as it stands in the log, without the newline."""
        return canonical({name: getattr(self, name) for name in KEYS})


def sign(
    key: Ed25519PrivateKey, *, seq: int, prev: str, time_s: float, action: str, person: str, body: Mapping[str, Any]
) -> Event:
    """The signed event; time_s in seconds since the epoch, cut to whole seconds."""
    public = fingerprint(public_hex(key))
    event = Event(seq, prev, text_of(time_s), action, person, public, body, "")
    return Event(seq, prev, event.time, action, person, public, body, key.sign(event.message()).hex())


def parse(line: bytes, seq: int) -> Event:
    """The event in a line of the log, which has to be in the one form that we write. Raises RegistryError."""
    mend = "restore the registry from a copy that verifies"
    try:
        plain = json.loads(line)
        event = Event(**{name: plain[name] for name in KEYS})
        seconds_of(event.time)
        texts = (event.prev, event.action, event.person, event.key, event.signature)
        fits = type(event.seq) is int and isinstance(event.body, dict) and all(isinstance(t, str) for t in texts)
        same = fits and event.line() == line
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise RegistryError(f"event {seq}: not an event of a registry ({type(error).__name__}); {mend}") from error
    if not same:
        raise RegistryError(f"event {seq}: not in the form it was written in; {mend}")
    return event


def line_hash(line: bytes) -> str:
    """SHA-256 of a line, in hex: what the next line names, and of the first line the registry's identity."""
    return hashlib.sha256(line).hexdigest()


def canonical(plain: Mapping[str, Any]) -> bytes:
    """Canonical JSON: sorted keys, compact, ASCII, no NaN."""
    try:
        return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError as error:
        raise RegistryError("a number in an event is not finite; give finite numbers") from error


def text_of(time_s: float) -> str:
    """Seconds since the epoch as ISO 8601, UTC, whole seconds."""
    return datetime.fromtimestamp(int(time_s), UTC).strftime(TIME_FORMAT)


def seconds_of(text: str) -> float:
    """The inverse of text_of. Raises ValueError."""
    moment = datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    if moment.strftime(TIME_FORMAT) != text:
        raise ValueError(f"{text!r} is not a time as we write it")
    return moment.timestamp()
