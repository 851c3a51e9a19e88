"""A planned stop: the request goes first, the heartbeat last, when the PLC has let go."""

from __future__ import annotations

import asyncio

import pytest

from control.signals import Reading
from edge.acquire.protections import spoken
from edge.actuate.hand_back import LOOKS, hand_back
from edge.signals import Acted, Link, Scan

FULL, PLAIN = spoken("full"), spoken(())


class Stand:
    """A plant that lets go after some looks, and a clock of its own."""

    def __init__(self, remote_looks: int, link: Link = Link.ONLINE) -> None:
        self.remote_looks, self.link = remote_looks, link
        self.done: list[str] = []
        self.time_s = 0.0

    async def scan(self) -> Scan:
        self.done.append("look")
        self.remote_looks -= 1
        remote = float(self.remote_looks >= 0)
        readings = {"Apc.RemoteActive": Reading(remote, self.time_s)} if self.link is Link.ONLINE else {}
        return Scan(self.time_s, self.link, 1, 7, readings)

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        assert all(value == 0.0 for _, value in wire)
        self.done.append(" ".join(tag for tag, _ in wire))
        return Acted("good")

    def now_s(self) -> float:
        return self.time_s

    async def sleep_until(self, time_s: float) -> None:
        self.time_s = time_s


@pytest.mark.parametrize(("remote_looks", "looks"), [(0, 1), (2, 3), (1000, LOOKS)])
def test_the_heartbeat_goes_when_the_plc_has_let_go_or_will_not(remote_looks: int, looks: int) -> None:
    stand = Stand(remote_looks)
    asyncio.run(hand_back(stand, stand, stand, FULL))
    assert stand.done == ["Apc.Request Apc.ModeRequest", *["look"] * looks, "Apc.HeartbeatIn"]


def test_a_plain_plc_is_sent_only_what_it_has() -> None:
    stand = Stand(0)
    asyncio.run(hand_back(stand, stand, stand, PLAIN))
    assert stand.done == ["Apc.Request", "look", "Apc.HeartbeatIn"]


def test_a_lost_link_is_not_waited_for() -> None:
    stand = Stand(1000, Link.LOST)
    asyncio.run(hand_back(stand, stand, stand, FULL))
    assert stand.done == ["Apc.Request Apc.ModeRequest", "look", "Apc.HeartbeatIn"]
