"""One OPC UA session, from its making to its end: signed, encrypted, the server's certificate pinned, every call timed.

A session that failed is thrown away with its client, never mended: a fresh client each epoch is simple, and a client
that lived through a black hole may hang for ever. Its socket is reset, so that bytes still in flight are lost, not
late.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from edge.acquire.certificates import pinned_bytes
from edge.acquire.look import Question, answered, question
from edge.acquire.raw import Raw
from edge.acquire.stack import bound
from edge.errors import DeviceError, LinkLost, SecurityError
from edge.pki import ClientCredentials

bound()

T = TypeVar("T")

CONNECT_CALLS = 1.25  # deadlines of a call: what begins in a black hole is over before the next cycle
RENEW_AFTER = 0.75  # of the channel's life, Part 4, 5.5.2.1
NEVER_S = 1e6  # between the stack's own probes: every look is one
# What a server, or the stack, calls a refusal that no retry mends.
REFUSALS = ("Security", "Certificate", "Identity", "UserAccess", "BadTcpInternalError")


@dataclass(frozen=True)
class Endpoint:
    """Whom to connect to and as whom.

    timeout_s: of each call; channel_s: life of the secure channel; session_s: how long the server keeps a session that
    nobody uses.
    """

    url: str
    user: str
    timeout_s: float
    channel_s: float = 3600.0
    session_s: float = 30.0


class Quiet(Client):  # type: ignore[misc]  # the stack counts as untyped
    """The stack's client without calls of its own.

    Its renewals run beside our requests, and now and then an answer under the old keys meets the new ones: the
    connection is then gone. The session renews between its calls instead. greeted: the server has answered a hello.
    """

    greeted = False

    async def open_secure_channel(self, renew: bool = False) -> None:
        """As the stack does it; whoever fails from here on has at least met somebody."""
        self.greeted = True
        await super().open_secure_channel(renew)

    def _start_renew_loop(self) -> None:
        """Nothing: see Session.within."""


class Session:
    """A session that is open until it is dropped or closed; one call at a time, the channel renewed between them."""

    def __init__(self, client: Client, endpoint: Endpoint) -> None:
        self.client, self.endpoint = client, endpoint
        self._one = asyncio.Lock()
        self._asked: tuple[list[ua.NodeId], Question] = ([], question([]))
        self._renew_at = time.monotonic() + RENEW_AFTER * endpoint.channel_s

    async def look(self, nodes: Sequence[ua.NodeId]) -> list[Raw]:
        """Values with status and times of the nodes, in one call; bad ones are values like others. Raises LinkLost."""
        wanted = list(nodes)
        if self._asked[0] != wanted:  # look after look the same are asked for
            self._asked = (wanted, question(wanted))
        return _each(await self.within(self._answer(self._asked[1])), nodes)

    async def _answer(self, asked: Question) -> list[Raw]:
        wire = self.client.uaclient.protocol
        if wire is None:
            raise ConnectionError("the connection is not open")
        return answered(await wire.send_request(asked), time.time())

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """The same as the stack's own objects, for what is asked once in an epoch. Raises LinkLost."""
        what = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value) for node in nodes]
        values: list[ua.DataValue] | None = await self.within(
            self.client.uaclient.read(ua.ReadParameters(NodesToRead=what))
        )
        return _each(values, nodes)

    async def write(self, nodes: Sequence[ua.NodeId], values: Sequence[ua.DataValue]) -> list[ua.StatusCode]:
        """Write in one call and in order; the status codes. Raises LinkLost: the write's fate is then not known."""
        written = self.client.uaclient.write_attributes(list(nodes), list(values), ua.AttributeIds.Value)
        codes: list[ua.StatusCode] = await self.within(written)
        return _each(codes, nodes)

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """The result within the deadline; every way in which the stack says 'gone' becomes LinkLost."""
        try:
            async with self._one:
                if time.monotonic() >= self._renew_at:
                    await asyncio.wait_for(self._renew(), self.endpoint.timeout_s)
                async with asyncio.timeout(self.endpoint.timeout_s):  # no task of its own: half a turn of the loop
                    return await work
        except (ConnectionError, TimeoutError, asyncio.CancelledError, ua.UaError, OSError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # we are being stopped, not the link
            raise LinkLost(f"{type(error).__name__}: {error}".rstrip(": ")) from error
        except Exception as error:  # bytes that are no answer end in any error of the stack's decoder
            raise LinkLost(f"the server's answer cannot be read: {type(error).__name__}: {error}") from error
        finally:
            work.close()  # one that did not come to its turn

    async def _renew(self) -> None:
        await self.client.open_secure_channel(renew=True)
        self.client.uaclient.revolve_security_token()
        self._renew_at = time.monotonic() + RENEW_AFTER * self.client.secure_channel_timeout / 1000

    async def drop(self) -> None:
        """Throw the session away at once: the socket is reset first, so that nothing that waits in it is sent later."""
        await discard(self.client)

    async def close(self) -> None:
        """End the session in good order, within the deadline."""
        with contextlib.suppress(Exception):  # the server may be gone: there is nothing left to lose here
            await asyncio.wait_for(self.client.disconnect(), self.endpoint.timeout_s)
        await discard(self.client)


def _each(answers: list[T] | None, nodes: Sequence[ua.NodeId]) -> list[T]:
    """The answers, one a node; a server that gives another number of them (or none) is not trusted any further."""
    given = answers or []
    if len(given) != len(nodes):
        raise LinkLost(f"the server answered {len(given)} of {len(nodes)} items")
    return given


async def open_session(endpoint: Endpoint, credentials: ClientCredentials) -> Session:
    """Connect, all calls of it together within little more than the deadline of one.

    Raises LinkLost, or SecurityError for a refusal by either side.
    """
    client = Quiet(endpoint.url, timeout=endpoint.timeout_s, watchdog_intervall=NEVER_S)
    client.name = client.description = "patloop edge"
    client.application_uri = credentials.application_uri
    client.session_timeout = round(1000 * endpoint.session_s)
    client.secure_channel_timeout = round(1000 * endpoint.channel_s)
    client.set_user(endpoint.user)
    client.set_password(credentials.password)
    try:
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=str(credentials.certificate),
            private_key=str(credentials.private_key),
            server_certificate=str(credentials.server_certificate),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        await asyncio.wait_for(client.connect(), CONNECT_CALLS * endpoint.timeout_s)
    except asyncio.CancelledError:
        await discard(client)
        raise
    except Exception as error:
        await discard(client)
        trouble = named(error, endpoint.url)
        # A server with another key cannot read our first message, and just hangs up: ask who it is.
        if isinstance(trouble, LinkLost) and client.greeted and await _another(endpoint, credentials):
            text = f"{endpoint.url} refuses us or is not who it was: it shows another certificate than the pinned one"
            raise SecurityError(f"{text}; compare {credentials.server_certificate.name} with the server's") from error
        raise trouble from error
    return Session(client, endpoint)


async def discard(client: Client) -> None:
    """Reset the client's socket and end its tasks, whatever state it is in."""
    _reset(client)
    with contextlib.suppress(Exception):  # only clears the dead client's tasks
        await asyncio.wait_for(client.disconnect(), 0.2)


def named(error: Exception, url: str) -> DeviceError:
    """A failed attempt as our own error: refusals apart from transport trouble, for they need a person, not a retry."""
    if isinstance(error, DeviceError):
        return error
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    # The stack asserts where a server refuses our certificate, and only then.
    if isinstance(error, AssertionError) or any(name in text for name in REFUSALS):
        return SecurityError(f"{url} refuses us or is not who it was: {text}; check certificates and password")
    return LinkLost(f"{url} cannot be reached: {text}")


async def _another(endpoint: Endpoint, credentials: ClientCredentials) -> bool:
    """Whether the server shows a certificate that is not the pinned one; False where it does not show any."""
    asking = Client(endpoint.url, timeout=endpoint.timeout_s)
    try:
        told = await asyncio.wait_for(asking.connect_and_get_server_endpoints(), endpoint.timeout_s)
        shown = [bytes(e.ServerCertificate) for e in told if e.ServerCertificate]
        pinned = pinned_bytes(credentials.server_certificate)
        return bool(shown) and not any(certificate.startswith(pinned) for certificate in shown)  # or a chain of it
    except Exception:  # noqa: BLE001 - only a diagnosis: the failure itself is told anyway
        return False
    finally:
        await discard(asking)


def _reset(client: Client) -> None:
    transport = getattr(client.uaclient.protocol, "transport", None)
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):  # already closed
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
