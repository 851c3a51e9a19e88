"""Who is let in, and how much of the server one client may hold: a trusted certificate, a person's account, caps.

The stack's own rules are too wide for a box on a plant network: it lets a session be taken over from an unsecured
channel by a guessed token, hands out subscriptions without asking whose they are, and believes anybody who registers
as a server. What is changed here is changed for these reasons, and each has a test that tries it.
"""

# ruff: noqa: ARG002 - the signatures are the stack's
from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge.people.accounts import Accounts, Refusal

CHECKS = CertificateValidatorOptions.EXT_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
MOST_NODES = 1000  # of one read, browse or write call
MOST_ITEMS = 500  # monitored items of one subscription
MOST_SUBSCRIPTIONS = 8  # of one session
FASTEST_MS, SLOWEST_MS = 100.0, 5_000.0  # publishing interval; with the counts below it bounds a dead client's life
LIFETIME_COUNT, KEEP_ALIVE_COUNT = 60, 20
SESSION_MS = 60_000.0


class Judge(Protocol):
    """Answers a person's method call."""

    async def answer(self, name: str, asked: Any) -> Any:
        """The result (ua.CallMethodResult) of one call (ua.CallMethodRequest) by the account `name`."""


class TrustedFolder:
    """The client certificates in a folder (*.der): who is not there does not get in; a file removed is a client out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._checks = CertificateValidator(CHECKS)

    def holds(self, certificate_der: bytes) -> bool:
        """Is exactly this certificate in the folder now?"""
        return any(hmac.compare_digest(path.read_bytes(), certificate_der) for path in self.folder.glob("*.der"))

    async def __call__(self, certificate: x509.Certificate, application: Any) -> None:
        """Certificate validator of the stack. Raises ServiceError when the client is not to be let in."""
        if not self.holds(certificate.public_bytes(Encoding.DER)):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)
        await self._checks(certificate, application)


class Brake:
    """At most `most` events of one kind within a window; monotonic: seconds."""

    def __init__(self, most: int, window_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._most, self._window_s, self._monotonic = most, window_s, monotonic
        self._times: dict[str, deque[float]] = {}

    def held(self, key: str) -> bool:
        """Were there too many of late?"""
        times = self._times.get(key)
        return times is not None and len(times) == self._most and times[0] > self._monotonic() - self._window_s

    def count(self, key: str) -> None:
        """Note one."""
        now_s = self._monotonic()
        self._times = {k: t for k, t in self._times.items() if t[-1] > now_s - self._window_s}
        self._times.setdefault(key, deque(maxlen=self._most)).append(now_s)


class Doorkeeper:
    """User manager of the stack: the line's accounts, over a channel whose certificate is trusted; no administrator."""

    def __init__(self, accounts: Accounts, trusted: TrustedFolder) -> None:
        self._accounts, self._trusted = accounts, trusted
        self._failures = Brake(10, 60.0)

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> Any:
        """The user, or None: refused. certificate: the channel's own; the one that a session names may be left out."""
        if not username or password is None or not certificate or not self._trusted.holds(certificate):
            return None
        place = hashlib.sha256(certificate).hexdigest()
        if self._failures.held(place):  # a guess costs the box a tenth of a second: they are not free
            return None
        text = password.decode(errors="replace") if isinstance(password, bytes) else password
        entered = self._accounts.log_in(username.strip().lower(), text)
        if isinstance(entered, Refusal):
            self._failures.count(place)
            return None
        if entered.must_change:  # a one-time password opens the page, where it is changed, and nothing else
            return None
        return User(role=UserRole.User, name=entered.name)


class Guest(InternalSession):  # type: ignore[misc]  # the stack is untyped
    """One client's session: reads what it likes, writes nothing, calls what the judge answers, keeps to its caps."""

    user: Any

    def __init__(self, *told: Any, external: bool = False, **named: Any) -> None:
        super().__init__(*told, external=False, **named)
        self.auth_token = ua.NodeId(secrets.token_bytes(32), 0, ua.NodeIdType.ByteString)  # the stack counts 1000, 1001
        self.external = external
        self.certificate = b""
        if external:
            self.iserver.register_external_session(self)

    def activate_session(self, params: Any, peer_certificate: bytes | None) -> Any:
        """Log in; a session stays with the person and the certificate that it began with."""
        before = self.user.name, self.certificate
        was_active = self.is_activated()
        result = super().activate_session(params, peer_certificate)
        self.certificate = peer_certificate or b""
        if was_active and (self.user.name, self.certificate) != before:
            self.user = User(role=UserRole.Anonymous)
            raise ServiceError(ua.StatusCodes.BadIdentityChangeNotSupported)
        return result

    async def read(self, params: Any) -> Any:
        _at_most(params.NodesToRead)
        return await super().read(params)

    async def browse(self, params: Any) -> Any:
        _at_most(params.NodesToBrowse)
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(self, params: Any) -> Any:
        _at_most(params)
        return await super().translate_browsepaths_to_nodeids(params)

    async def browse_next(self, parameters: Any) -> Any:
        """No browse is ever answered in parts, so no continuation point is known."""
        raise ServiceError(ua.StatusCodes.BadContinuationPointInvalid)

    async def write(self, params: Any) -> Any:
        """Nothing of this server is written by value, whoever asks."""
        _at_most(params.NodesToWrite)
        return [_code("BadNotWritable") for _ in params.NodesToWrite]

    async def call(self, params: Any) -> Any:
        _at_most(params)
        judge: Judge = self.iserver.judge
        return [await self._refresh(a) if _is_refresh(a) else await judge.answer(self.user.name, a) for a in params]

    async def _refresh(self, asked: Any) -> Any:
        """ConditionRefresh: only of one's own subscription."""
        told = [argument.Value for argument in asked.InputArguments or ()]
        mine = bool(told) and told[0] in self._own()
        if not mine:
            return ua.CallMethodResult(StatusCode=_code("BadSubscriptionIdInvalid"))
        return (await super().call([asked]))[0]

    async def create_subscription(self, params: Any, callback: Any, request_callback: Any = None) -> Any:
        if len(self._own()) >= MOST_SUBSCRIPTIONS:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        asked_ms = float(params.RequestedPublishingInterval)
        params.RequestedPublishingInterval = min(max(asked_ms, FASTEST_MS), SLOWEST_MS) if asked_ms > 0 else FASTEST_MS
        if not math.isfinite(params.RequestedPublishingInterval):
            params.RequestedPublishingInterval = SLOWEST_MS
        return await super().create_subscription(params, callback, request_callback=request_callback)

    async def create_monitored_items(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        subscription = self.subscription_service.subscriptions[params.SubscriptionId]
        held = len(subscription.monitored_item_srv._monitored_items)
        if held + len(params.ItemsToCreate) > MOST_ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: Any) -> Any:
        for number in params.SubscriptionIds:
            self._mine(number)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        return super().modify_subscription(params)

    def republish(self, params: Any) -> Any:
        self._mine(params.SubscriptionId)
        return super().republish(params)

    def publish(self, acks: Any = None) -> Any:
        """Acknowledgements of others' subscriptions, or of one that has ended, are told so one by one."""
        own = self._own()
        acks = list(acks or ())
        count, codes = super().publish([ack for ack in acks if ack.SubscriptionId in own])
        of_own = iter(codes)
        return count, [next(of_own) if a.SubscriptionId in own else _code("BadSubscriptionIdInvalid") for a in acks]

    async def delete_subscriptions(self, ids: Any) -> Any:
        own = self._own()
        codes = iter(await super().delete_subscriptions([number for number in ids if number in own]))
        return [next(codes) if number in own else _code("BadSubscriptionIdInvalid") for number in ids]

    async def transfer_subscriptions(self, params: Any, callback: Any) -> Any:
        """Never: a client that comes back begins anew, and nobody takes over another's notifications."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    async def add_nodes(self, params: Any) -> Any:
        raise ServiceError(ua.StatusCodes.BadUserAccessDenied)

    delete_nodes = add_references = delete_references = add_nodes

    def _own(self) -> set[int]:
        known = self.subscription_service.subscriptions.items()
        return {number for number, one in known if one.session_id == self.session_id}

    def _mine(self, number: int) -> None:
        if number not in self._own():
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)


class House(InternalServer):  # type: ignore[misc]  # the stack is untyped
    """The stack's inner server with our sessions, lowered limits, and no way in but through a secured log-in."""

    judge: Judge

    def __init__(self, doorkeeper: Doorkeeper, trusted: TrustedFolder, sessions: int) -> None:
        super().__init__(user_manager=doorkeeper)
        self.allow_remote_admin = False
        self.certificate_validator = trusted
        self.supported_tokens = (ua.UserNameIdentityToken,)
        self.bind_condition_methods = 1  # answered, with events of that severity round a refresh
        self.max_connections = sessions
        self.max_subscriptions = sessions * MOST_SUBSCRIPTIONS
        self.max_lifetime_count, self.max_keep_alive_count = LIFETIME_COUNT, KEEP_ALIVE_COUNT
        self.max_session_timeout_ms = SESSION_MS
        self.max_pending_activation_seconds = 5.0
        self.max_pending_messages_per_connection = 100
        self.max_monitored_item_queue_size = 100
        self.max_unacked_messages_per_subscription = 200

    def create_session(self, name: str, user: Any = None, external: bool = False) -> Any:
        """A session of ours."""
        known = User(role=UserRole.Anonymous) if user is None else user
        return Guest(self, self.aspace, self.subscription_service, name, user=known, external=external)

    def lookup_external_session(self, auth_token: Any) -> None:
        """None, always: a session is never handed to another connection."""
        return

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Nobody registers here: discovery shows this server and no other."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    register_server2 = register_server

    def guests(self) -> tuple[Guest, ...]:
        """The sessions of clients, whichever state they are in."""
        return tuple(self._external_sessions.values())


def _code(name: str) -> Any:
    return ua.StatusCode(ua.UInt32(getattr(ua.StatusCodes, name)))


def _at_most(asked: Any) -> None:
    if len(asked or ()) > MOST_NODES:
        raise ServiceError(ua.StatusCodes.BadTooManyOperations)


def _is_refresh(asked: Any) -> bool:
    names = (ua.ObjectIds.ConditionType_ConditionRefresh, ua.ObjectIds.ConditionType_ConditionRefresh2)
    return asked.MethodId in [ua.NodeId(name) for name in names]
