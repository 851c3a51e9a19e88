"""One server kept connected: the state machine, its session, and the attempts, made in the background.

Whoever asks for the session gets it at once or is told why not: a loop never waits for a connection to be made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from edge.acquire.connection import Connection, Event, State, step
from edge.acquire.session import Endpoint, Session, named, open_session
from edge.errors import ConfigError, DeviceError, LinkLost, SecurityError
from edge.pki import ClientCredentials

SLACK_S = 0.001  # a timer may fire a clock's tick too early

Synchronise = Callable[[Session], Awaitable[None]]


class Station:
    """The connection to one server, dialled anew after every loss.

    synchronise: learns everything that one epoch needs (names, types, first values) and raises ConfigError for what
    does not fit: at the first connection that ends the service, later it is trouble like any other. name: for the
    jitter between attempts; cap_s: longest pause between them.
    """

    def __init__(
        self, endpoint: Endpoint, credentials: ClientCredentials, synchronise: Synchronise, *, name: str, cap_s: float
    ) -> None:
        self.endpoint, self.credentials = endpoint, credentials
        self.connection = Connection()
        self._synchronise, self._name, self._cap_s = synchronise, name, cap_s
        self._session: Session | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._wrong: ConfigError | None = None
        self._due: asyncio.TimerHandle | None = None

    async def ready(self) -> Session:
        """The session of this epoch.

        Raises LinkLost or SecurityError while there is none, and ConfigError when the server is not what the line file
        says. Only before the first connection ever does it wait for one, as long as a call may take.
        """
        if self._session is not None and self.connection.up:
            return self._session
        self.dial()
        if self._dialling is not None:
            patience_s = self.endpoint.timeout_s if self.connection.epoch == 0 else 0.0
            await asyncio.wait({self._dialling}, timeout=patience_s)
        if self._wrong is not None:
            raise self._wrong
        if self._session is not None and self.connection.up:
            return self._session
        trouble = self.connection.trouble or f"{self.endpoint.url}: {self.connection.state.value}"
        raise SecurityError(trouble) if self.connection.refused else LinkLost(trouble)

    def dial(self) -> None:
        """Begin an attempt in the background, where there is no connection and one is due."""
        if self._dialling is None and self._wrong is None and self.connection.may_dial(time.monotonic()):
            self._dialling = asyncio.create_task(self._dial())

    async def settled(self) -> None:
        """Wait for the attempt that is under way, or for a first one, whatever comes of it."""
        self.dial()
        if self._dialling is not None:
            await asyncio.wait({self._dialling})

    def session_of(self, epoch: int) -> Session | None:
        """The session, if it is of that epoch; a command that was computed in an older one has none."""
        return self._session if self.connection.carries(epoch) else None

    async def fail(self, error: DeviceError) -> None:
        """The session failed under a call: thrown away; another one will be a new epoch. Without one, nothing."""
        session, self._session = self._session, None
        if session is None:
            return
        self._step(Event.REFUSED if isinstance(error, SecurityError) else Event.FAILED, str(error))
        self._dial_when_due()
        await session.drop()

    def moves(self, *, again: bool) -> None:
        """What is behind the server stands still, or moves again."""
        if not again and self.connection.state is State.ONLINE:
            self._step(Event.STOPPED)
        elif again and self.connection.state is State.STALE:
            self._step(Event.MOVES)

    async def close(self) -> None:
        """End attempt and session in good order."""
        self._wrong = self._wrong or ConfigError(f"{self.endpoint.url}: closed")  # nothing is dialled any more
        if self._due is not None:
            self._due.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            await asyncio.gather(self._dialling, return_exceptions=True)
        session, self._session = self._session, None
        self._step(Event.CLOSE)
        if session is not None:
            await session.close()

    async def _dial(self) -> None:
        self._step(Event.DIAL)
        try:
            session = await open_session(self.endpoint, self.credentials)
            self._step(Event.OPENED)
            try:
                await self._synchronise(session)
            except BaseException:  # a cancelled attempt leaves no socket behind either
                await session.drop()
                raise
            self._session = session
            self._step(Event.SYNCED)
        except ConfigError as error:
            self._wrong = error if self.connection.epoch == 0 else None
            self._step(Event.FAILED, str(error))
        except Exception as error:  # noqa: BLE001 - the stack raises many kinds: each is a failed attempt
            trouble = named(error, self.endpoint.url)
            self._step(Event.REFUSED if isinstance(trouble, SecurityError) else Event.FAILED, str(trouble))
        finally:
            self._dialling = None
            self._dial_when_due()

    def _dial_when_due(self) -> None:
        """The next attempt comes by itself: the look that meets a dead link is the only one that is lost to it."""
        if self.connection.up or self._wrong is not None:
            return
        if self._due is not None:
            self._due.cancel()
        rest_s = max(0.0, self.connection.retry_at_s - time.monotonic()) + SLACK_S
        self._due = asyncio.get_running_loop().call_later(rest_s, self.dial)

    def _step(self, event: Event, why: str = "") -> None:
        self.connection = step(
            self.connection, event, time.monotonic(), why=why, name=self._name, cap_s=self._cap_s
        )  # fmt: skip
