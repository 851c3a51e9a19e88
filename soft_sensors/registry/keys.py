"""passphrase -> Ed25519 key files: the secret stays with the person, the public half goes into the registry."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from soft_sensors.errors import RegistryError

PUBLIC_BYTES = 32


def write_key(out: Path, passphrase: str) -> str:
    """Make a key pair: `out` (encrypted PKCS8, mode 0600) and `out`.pub; returns the public key in hex.

    RegistryError when the passphrase is empty or one of the files is there already.
    """
    if not passphrase.strip():
        raise RegistryError(f"{out}: an empty passphrase protects nothing; give one")
    public_file = out.with_name(out.name + ".pub")
    for file in (out, public_file):
        if file.exists():
            raise RegistryError(f"{file}: is there already and is not overwritten; name another --out")
    key = Ed25519PrivateKey.generate()
    encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as secret:
        secret.write(pem)
    public = public_hex(key)
    public_file.write_text(public + "\n", encoding="ascii")
    return public


def read_key(path: Path, passphrase: str) -> Ed25519PrivateKey:
    """The secret key in a file. RegistryError when it is none, or the passphrase does not open it."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RegistryError(f"{path}: no key, or another passphrase; give the file of 'patloop sensor key'") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RegistryError(f"{path}: not an Ed25519 key; make one with 'patloop sensor key'")
    return key


def read_public_key(path: Path) -> str:
    """The public key in a .pub file, in hex. RegistryError when it holds none."""
    text = path.read_bytes().decode("ascii", "replace").strip()
    return check_public(text, str(path))


def check_public(text: str, where: str) -> str:
    """The text when it is a public key in lower-case hex; RegistryError, naming where, when it is not."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != PUBLIC_BYTES or raw.hex() != text:
        raise RegistryError(f"{where}: not a public key; give the .pub file that 'patloop sensor key' wrote")
    return text


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half of a key, in hex."""
    return key.public_key().public_bytes_raw().hex()


def fingerprint(public: str) -> str:
    """What a key is called in the registry: the SHA-256 of the public key, in hex."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def signed_by(public: str, signature: str, message: bytes) -> bool:
    """Whether the signature (hex) over the message is that of the public key (hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
