"""journal -> signed heads and anchors: what finds that a whole file was put back, cut off or replaced."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edge.errors import ConfigError
from edge.record.canonical import encode
from edge.record.chain import Head, Row
from edge.record.journal import Journal

KIND = "checkpoint"
PRIVATE, PUBLIC = "record_key.pem", "record_key.pub"
SHOWN = 48  # hex digits of the hash in an anchor: 192 bits, which nobody can meet by trying, and a person can type
_ANCHOR = re.compile(r"(\d+)\s+(\S+)\s+((?:[0-9a-f]{4}-){11}[0-9a-f]{4})\s+([0-9a-f]{4})\b")


@dataclass(frozen=True)
class Anchor:
    """A record that was seen: its number, its time (ISO 8601, UTC) and the first 48 hex digits of its hash."""

    seq: int
    time: str
    start: str

    def text(self) -> str:
        """The anchor in one line that can be printed and typed; its last four digits find a typing error."""
        groups = "-".join(self.start[i : i + 4] for i in range(0, SHOWN, 4))
        return f"{self.seq} {self.time} {groups} {_check(self.seq, self.time, groups)}"

    def fits(self, digest: bytes) -> bool:
        """Whether this is the hash that was seen."""
        return digest.hex().startswith(self.start)


class Signer:
    """The box's own key for its record (Ed25519)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def checkpoint(self, journal: Journal, time_s: float) -> Row:
        """Append a record that signs the one before it; what is older can be retired then. Raises RecorderError."""
        row = journal.append_with(KIND, time_s, lambda _, head: self._body(head, time_s))
        journal.pack_anew()
        return row

    def _body(self, head: Head, time_s: float) -> bytes:
        signature = self._key.sign(signed_text(head, time_s))
        told = {"seq": head.seq, "hash": head.hash.hex(), "time_s": float(time_s)}
        return encode({**told, "key": self.public.hex(), "key_id": key_id(self.public), "signature": signature.hex()})


def signer(folder: Path) -> Signer:
    """The signer whose key lies in folder; made there at the first call, private key readable by its owner only.

    Raises ConfigError when the key cannot be made or used, or can be read by others.
    """
    file = folder / PRIVATE
    try:
        if not file.exists():
            _make(folder)
        if file.stat().st_mode & 0o077:
            raise ConfigError(f"{file} can be read by others; mend: chmod 600")
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{file}: the record's key cannot be used ({error}); restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{file} is not an Ed25519 key; restore the record's key from a backup")
    return Signer(key)


def read_key(text: str) -> bytes:
    """The public key in a file that signer wrote, or typed: 64 hex digits. Raises ValueError when it is none."""
    key = bytes.fromhex(text.strip())
    if len(key) != 32:
        raise ValueError("a public key has 64 hex digits")
    return key


def key_id(public: bytes) -> str:
    """The short name of a public key."""
    return hashlib.sha256(public).hexdigest()[:16]


def signed_text(head: Head, time_s: float) -> bytes:
    """What a checkpoint signs: the head it follows, and when."""
    return b"patloop checkpoint 1\n" + struct.pack(">qd", head.seq, time_s) + head.hash


def signature_fits(public: bytes, signature: bytes, head: Head, time_s: float) -> bool:
    """Whether the key signed that head at that time."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_text(head, time_s))
    except (InvalidSignature, ValueError):
        return False
    return True


def anchor_of(row: Row) -> Anchor:
    """The anchor of a record."""
    when = datetime.fromtimestamp(row.time_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Anchor(row.seq, when, row.hash.hex()[:SHOWN])


def latest_anchor(journal: Journal) -> Anchor | None:
    """The anchor of the newest checkpoint; of the newest record where none is signed; None for an empty journal.

    A checkpoint is never retired, so its anchor can be checked as long as the journal lives. Raises RecorderError.
    """
    row = journal.last(KIND) or journal.last()
    return None if row is None else anchor_of(row)


def read_anchor(text: str) -> Anchor:
    """The anchor in a text. Raises ValueError when there is none or it was mistyped."""
    found = _ANCHOR.search(text.lower())
    if found is None:
        raise ValueError(f"{text.strip()[:80]!r} is no anchor: 'patloop journal anchor' prints one")
    seq, time, groups = int(found[1]), found[2].upper(), found[3]
    if _check(seq, time, groups) != found[4]:
        raise ValueError("the anchor was mistyped: its last four digits do not fit")
    return Anchor(seq, time, groups.replace("-", ""))


def _check(seq: int, time: str, groups: str) -> str:
    return hashlib.sha256(f"{seq} {time} {groups}".encode()).hexdigest()[:4]


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    key = Ed25519PrivateKey.generate()
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    draft = folder / f"{PRIVATE}.part"
    draft.touch(mode=0o600)
    draft.write_bytes(key.private_bytes(*form))
    (folder / PUBLIC).write_text(key.public_key().public_bytes_raw().hex() + "\n", encoding="ascii")
    draft.replace(folder / PRIVATE)
