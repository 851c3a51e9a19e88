"""The network between line and controller, which can be dead for a while: bytes are held back, not lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket

# Seconds of silence, seconds between questions, questions without an answer; ms that sent bytes may stay unanswered.
ASKED = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000))
TURNS = 3  # of the loop, from accept() to the relay's first step


class Link:
    """TCP relay in front of the server; `cut()` holds every byte both ways until `mend()`, `mute()` only the answers.

    A client that gives up meanwhile is not noticed by the server, and what it had sent arrives after mending: the
    worst case for a setpoint in flight.
    """

    def __init__(self) -> None:
        self._open, self._answers = asyncio.Event(), asyncio.Event()
        self._open.set()
        self._answers.set()
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._stopping = False
        self._upstream = ("127.0.0.1", 0)

    @property
    def port(self) -> int:
        """The public port."""
        if self._server is None:
            raise RuntimeError("the link is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int, upstream: tuple[str, int]) -> None:
        """Listen on host:port and relay to upstream; raises OSError when the port is taken."""
        self._upstream = upstream
        self._server = await asyncio.start_server(self._relay, host, port)

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            await _accept_no_more(self._server)
            self._server.close()
        # Connections end by their sockets: a cancelled relay would be reported as an error by the stream protocol.
        self._stopping = True
        self.mend()
        for end in tuple(self._ends):
            end.transport.abort()
        await asyncio.gather(*self._relays)
        if self._server is not None:
            await self._server.wait_closed()

    def cut(self) -> None:
        """Hold back all bytes from now on."""
        self._open.clear()
        self._answers.clear()

    def mute(self) -> None:
        """Hold back what the server says from now on: it hears and does, and nobody is told."""
        self._answers.clear()

    def mend(self) -> None:
        """Let everything through again, the held bytes first."""
        self._open.set()
        self._answers.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._relays.add(task)
            task.add_done_callback(self._relays.discard)
        _keep_asking(writer)
        self._ends.add(writer)
        await self._open.wait()
        try:
            if not self._stopping:
                with contextlib.suppress(OSError):  # the server is gone: closing is all that is left to do
                    await self._join(reader, writer)
        finally:
            writer.close()
            self._ends.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        self._ends.add(up_writer)
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, self._open), self._pump(up_reader, writer, self._answers)
            )
        finally:
            up_writer.close()
            self._ends.discard(up_writer)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: asyncio.Event) -> None:
        held: asyncio.Queue[bytes] = asyncio.Queue()
        feeding = asyncio.ensure_future(self._take(source, held))
        try:
            with contextlib.suppress(ConnectionError):  # the other side is gone: closing is all that is left to do
                while piece := await held.get():
                    await way.wait()
                    sink.write(piece)
                    await sink.drain()
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
            sink.close()

    async def _take(self, source: asyncio.StreamReader, held: asyncio.Queue[bytes]) -> None:
        # Read even while cut, so that what the client sent before it gave up is in hand when the link heals.
        piece = b"-"
        while piece:
            try:
                piece = await source.read(65536)
            except ConnectionError:
                piece = b""
            await held.put(piece)


async def _accept_no_more(server: asyncio.Server) -> None:
    """Let a connection that was accepted in this very turn of the loop become one, so that it can be dropped.

    A listener closed before that leaves its socket open for good (asyncio of Python 3.11).
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _keep_asking(writer: asyncio.StreamWriter) -> None:
    """Have the kernel ask a silent client whether it is there, as PLCs do: one whose end got lost does not stay."""
    wire = writer.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ASKED:
        if hasattr(socket, option):
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
