"""The server's own certificate, the clients it trusts, and its two accounts, in one folder made on first run."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

APPLICATION_URI = "urn:patloop:hil:cdc-ref-1"
USERS = ("edge", "operator")
DAYS = 365


@dataclass(frozen=True)
class ServerCredentials:
    """Paths and secrets of the served line.

    certificate: server.der; private_key: server-key.pem; trusted: folder whose *.der are the clients let in;
    passwords: by user, from <user>.password.
    """

    certificate: Path
    private_key: Path
    trusted: Path
    passwords: Mapping[str, str]

    def trusts(self, certificate_der: bytes) -> bool:
        """Is exactly this certificate in the trusted folder now?"""
        return any(hmac.compare_digest(path.read_bytes(), certificate_der) for path in self.trusted.glob("*.der"))

    def knows(self, user: str, password: str) -> bool:
        """Is this the user's password? Compared in constant time."""
        expected = self.passwords.get(user, "")
        return bool(expected) and hmac.compare_digest(expected.encode(), password.encode())


def server_credentials(folder: Path, host: str = "127.0.0.1") -> ServerCredentials:
    """Load the credentials in folder; whatever is missing is made (secrets with mode 0600)."""
    folder.mkdir(parents=True, exist_ok=True)
    trusted = folder / "trusted"
    trusted.mkdir(exist_ok=True)
    certificate, key = folder / "server.der", folder / "server-key.pem"
    if not (certificate.exists() and key.exists()):
        _make_certificate(certificate, key, host)
    passwords = {user: _password(folder / f"{user}.password") for user in USERS}
    return ServerCredentials(certificate, key, trusted, passwords)


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, never readable by others even for a moment."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
    partial.replace(path)


def _password(path: Path) -> str:
    if not path.exists():
        write_secret(path, (secrets.token_urlsafe(18) + "\n").encode())
    return path.read_text(encoding="utf-8").strip()


def _make_certificate(certificate: Path, key: Path, host: str) -> None:
    private_key = generate_private_key()
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(APPLICATION_URI),
        x509.DNSName("localhost"),
        x509.DNSName(socket.gethostname()),
    ]
    try:
        names.append(x509.IPAddress(ip_address(host)))
    except ValueError:
        names.append(x509.DNSName(host))
    made = generate_self_signed_app_certificate(
        private_key, "patloop simulated line", {}, names,
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH], days=DAYS,
    )  # fmt: skip
    write_secret(key, dump_private_key_as_pem(private_key))
    certificate.write_bytes(made.public_bytes(Encoding.DER))
