"""the box -> what an HTTPS server needs: a certificate of its own for the API, made once, renewed by deleting it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge.errors import ConfigError
from edge.pki import make_server_certificate

STEM, URI = "api", "urn:patloop:api"


@dataclass(frozen=True)
class ServerFiles:
    """Certificate and key, PEM."""

    certificate: Path
    key: Path


def server_files(state_dir: Path, hosts: tuple[str, ...]) -> ServerFiles:
    """The API's certificate and key in the state folder's pki/, made when they are not there. Raises ConfigError.

    hosts: names and addresses it is reached by; they count when the certificate is made.
    """
    pki = state_dir / "pki"
    try:
        made = make_server_certificate(pki, STEM, URI, hosts)
        pem = x509.load_der_x509_certificate(made.read_bytes()).public_bytes(serialization.Encoding.PEM)
        certificate = pki / f"{STEM}_cert.pem"
        if not certificate.exists() or certificate.read_bytes() != pem:
            certificate.write_bytes(pem)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{pki}: no certificate for the API can be made or read there ({error})") from error
    return ServerFiles(certificate, pki / f"{STEM}_key.pem")
