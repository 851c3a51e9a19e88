"""Who is let in: two accounts, and clients whose exact certificate lies in the trusted folder."""

from __future__ import annotations

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_server import InternalServer, InternalSession
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from hil_sim.credentials import ServerCredentials

CHECKS = CertificateValidatorOptions.EXT_VALIDATION | CertificateValidatorOptions.PEER_CLIENT


class Accounts:
    """Name and password, over a channel of a trusted certificate; nobody is an administrator."""

    def __init__(self, credentials: ServerCredentials) -> None:
        self._credentials = credentials

    def get_user(
        self,
        iserver: InternalServer,  # noqa: ARG002
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """The user, or None: refused. The channel's certificate is looked at again, as a session may omit its own."""
        if username is None or password is None or not certificate or not self._credentials.trusts(certificate):
            return None
        text = password.decode(errors="replace") if isinstance(password, bytes) else password
        return User(role=UserRole.User, name=username) if self._credentials.knows(username, text) else None


class ClosedServices(InternalServer):  # type: ignore[misc]  # the stack counts as untyped
    """The stack's services without the two that would be open to a channel that nobody secured."""

    def lookup_external_session(self, auth_token: ua.NodeId) -> InternalSession | None:  # noqa: ARG002
        """None: a session lives and dies with its connection, or whoever guesses its token could take it over."""
        return None

    def register_server(self, server: object, conf: object = None) -> None:  # noqa: ARG002
        """Refused: this is a line, no directory of servers."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)


class TrustedClients:
    """Certificate validator: exact match with a trusted file, then dates, URI and usage."""

    def __init__(self, credentials: ServerCredentials) -> None:
        self._credentials = credentials
        self._checks = CertificateValidator(CHECKS)

    async def __call__(self, certificate: x509.Certificate, application: ua.ApplicationDescription) -> None:
        """Raises ServiceError when the client is not to be let in."""
        if not self._credentials.trusts(certificate.public_bytes(Encoding.DER)):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        await self._checks(certificate, application)
