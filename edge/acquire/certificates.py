"""certificates -> what people must be told: that ours, or the pinned one of the server, ends within 30 days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from control.assess import Finding
from edge.errors import ConfigError
from edge.pki import ClientCredentials

WARN_S = 30 * 86400.0  # our choice: time enough to have a certificate signed and trusted at the other end
URGENT_S = 7 * 86400.0


def not_after(path: Path) -> float:
    """When a certificate (DER or PEM) ends, s since the epoch, UTC. Raises ConfigError."""
    return _load(path).not_valid_after_utc.timestamp()


def pinned_bytes(path: Path) -> bytes:
    """A certificate (DER or PEM) as it goes over the wire. Raises ConfigError."""
    return _load(path).public_bytes(Encoding.DER)


def _load(path: Path) -> x509.Certificate:
    try:
        raw = path.read_bytes()
        load = x509.load_pem_x509_certificate if raw.startswith(b"-----") else x509.load_der_x509_certificate
        return load(raw)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no X.509 certificate; copy the right file there") from error


class Expiry:
    """When the certificates of one connection end."""

    def __init__(self, credentials: ClientCredentials, whose: str) -> None:
        mend = "make a new one (patloop certs) and have it trusted there"
        pinned = f"pin its new one at {credentials.server_certificate} when it has one"
        self._ends = (
            (f"certificate_ours_{whose}", "our certificate", not_after(credentials.certificate), mend),
            (f"certificate_{whose}", f"the {whose}'s certificate", not_after(credentials.server_certificate), pinned),
        )

    def findings(self, wall_s: float) -> Iterator[Finding]:
        """One for each certificate that ends within 30 days of this wall time (s, epoch, UTC)."""
        for name, what, end_s, mend in self._ends:
            left_s = end_s - wall_s
            if left_s < WARN_S:
                day = datetime.fromtimestamp(end_s, UTC).strftime("%Y-%m-%d")
                when = f"expires on {day}, in {left_s / 86400:.0f} days" if left_s > 0 else f"expired on {day}"
                yield Finding(name, f"{what} {when}: {mend}", 2 if left_s < URGENT_S else 3)
