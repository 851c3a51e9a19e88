"""Certificates and password of the box: made on first run, kept in the state directory, never in the line file."""

from __future__ import annotations

import datetime
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.errors import ConfigError

APPLICATION_URI = "urn:patloop:edge"
VALID_DAYS = 730
KEY_BITS = 2048


@dataclass(frozen=True)
class ClientCredentials:
    """Where the box's own certificate and key and the pinned server certificate are, and the account's password."""

    application_uri: str
    certificate: Path
    private_key: Path
    server_certificate: Path
    password: str


def make_certificate(folder: Path) -> Path:
    """Make the box's key and self-signed certificate in `folder` if there are none; returns the certificate (DER).

    RSA 2048, SHA-256, application URI in the SAN, as OPC UA Part 6 asks of application instance certificates.
    """
    return _made(folder, "edge", "patloop edge", (APPLICATION_URI,), (), (ExtendedKeyUsageOID.CLIENT_AUTH,))


def make_server_certificate(folder: Path, stem: str, application_uri: str, hosts: tuple[str, ...]) -> Path:
    """Make `<stem>_cert.der` and `<stem>_key.pem` for a server of the box if there are none; returns the certificate.

    hosts: names and addresses it is reached by, beside localhost and this machine's name. Same kind as the box's own.
    """
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    return _made(folder, stem, f"patloop {stem}", (application_uri,), ("localhost", *hosts), usages)


def _made(
    folder: Path,
    stem: str,
    common_name: str,
    uris: tuple[str, ...],
    hosts: tuple[str, ...],
    usages: tuple[x509.ObjectIdentifier, ...],
) -> Path:
    certificate, key_file = folder / f"{stem}_cert.der", folder / f"{stem}_key.pem"
    if certificate.exists() and key_file.exists():
        return certificate
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, common_name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "site")]
    )
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [
        *(x509.UniformResourceIdentifier(uri) for uri in uris),
        *(_host(host) for host in dict.fromkeys((socket.gethostname(), *hosts))),
    ]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_file.touch(mode=0o600)
    key_file.write_bytes(pem)
    certificate.write_bytes(built.public_bytes(serialization.Encoding.DER))
    return certificate


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def credentials(state_dir: Path) -> ClientCredentials:
    """The box's credentials for the PLC, from its state directory. Raises ConfigError naming the file that is missing.
    """
    return _credentials(state_dir / "pki", "PLC", "server.der", "password")


def analyser_credentials(state_dir: Path) -> ClientCredentials:
    """The box's credentials for an analyser on a server of its own. Raises ConfigError naming what is missing."""
    return _credentials(state_dir / "pki", "analyser", "analyser.der", "analyser_password")


def _credentials(pki: Path, whose: str, certificate: str, password: str) -> ClientCredentials:
    files = {
        "edge_cert.der": "make it: patloop certs LINE.toml",
        "edge_key.pem": "make it: patloop certs LINE.toml",
        certificate: f"copy the {whose}'s certificate there, after comparing its fingerprint",
        password: f"write the {whose} account's password into it (mode 0600)",
    }
    for name, mend in files.items():
        if not (pki / name).is_file():
            raise ConfigError(f"{pki / name} is missing; {mend}")
    if (pki / password).stat().st_mode & 0o077:
        raise ConfigError(f"{pki / password} can be read by others; mend: chmod 600")
    return ClientCredentials(
        application_uri=APPLICATION_URI,
        certificate=pki / "edge_cert.der",
        private_key=pki / "edge_key.pem",
        server_certificate=pki / certificate,
        password=(pki / password).read_text().strip(),
    )
