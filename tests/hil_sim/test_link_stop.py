"""The line's relay is stopped while somebody connects: nothing of it stays open."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import pytest

from hil_sim.link import Link


async def stopped_while_connecting(turns: int) -> None:
    """So many turns of the loop after a client knocked: by one of them it has been accepted, and is no one's yet."""
    link = Link()
    await link.start("127.0.0.1", 0, ("127.0.0.1", 9))  # nobody there: what is relayed ends at once
    with socket.socket() as client:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", link.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.stop()


@pytest.mark.parametrize("turns", range(6))
def test_a_connection_that_comes_at_the_end_is_closed(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left_open: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: left_open.append(str(told.exc_value)))
    for _ in range(20):
        asyncio.run(stopped_while_connecting(turns))
    gc.collect()
    assert left_open == []
