"""Late, foreign and muted writes on the real wire: what arrives when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opcua_hand import Stand, standing

from edge.line import Line
from edge.signals import Link

PLAIN = {"handshake": ["SP_Working"]}
API = "FeederApi"


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def working(stand: Stand) -> dict[str, float]:
    return dict(stand.rig.truth().setpoints)


async def cut_with_a_write_in_flight(stand: Stand, value: float) -> None:
    """The look succeeds, then the link dies, and what is written waits in it."""
    seen = await stand.remote.scan()
    assert seen.link is Link.ONLINE
    stand.server.link.cut()
    rows = (("Apc.Request", 1.0), (f"{API}.SP_Remote", value), ("Apc.HeartbeatIn", 9999.0))
    if stand.rig.plc.authority.session_id:
        sequence = stand.loop.handshake.sequence + 1
        rows = (*rows[:2], (f"{API}.SP_RemoteSeq", sequence), rows[2])
    acted = await stand.actuator.write(rows, seen.epoch)
    assert acted.outcome == "unknown"
    sent = replace(stand.loop.sent, asked={**stand.loop.sent.asked, API: value}, doubtful=True)
    stand.loop, stand.acted = replace(stand.loop, sent=sent), acted


@pytest.mark.parametrize("watchdog_ms", [5000, 20_000])
def test_a_late_write_moves_nothing_where_the_plc_checks(
    tmp_path: Path, reference_line: Line, secrets: Path, watchdog_ms: int
) -> None:
    """(a) a watchdog shorter than the outage sheds and refuses; (c) the sequence check refuses without it, too."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 0.5}) as stand:
            stand.rig.plc.authority.watchdog_timeout_ms = watchdog_ms
            await stand.close_loop()
            arrived: list[tuple[str, str]] = []
            put = stand.rig.write

            def noted(tag: str, value: Any, *, user: str) -> str:
                arrived.append((tag, put(tag, value, user=user)))
                return arrived[-1][1]

            before = working(stand)
            await cut_with_a_write_in_flight(stand, before[API] * 1.1)
            stand.rig.write = noted  # type: ignore[method-assign,assignment]
            await stand.turn(2)
            assert stand.scan.link is Link.LOST
            shed = watchdog_ms < 10_000
            assert stand.rig.plc.authority.remote_active is not shed
            # Another client's session number has taken over by the time the bytes arrive, as after a restart.
            stand.rig.plc.write("Apc.SessionId", 4711)
            await stand.tick(1)
            held = working(stand)
            stand.server.link.mend()
            for _ in range(100):
                await asyncio.sleep(0.01)
                if any(tag == f"{API}.SP_Remote" for tag, _ in arrived):
                    break
            late = dict(arrived)
            assert late.get(f"{API}.SP_Remote") == "bad_invalid_state", "the bytes came, and were refused"
            await stand.tick(2)
            assert working(stand) == held, "nothing moved"

    run(story())


def test_a_late_write_that_a_plain_plc_takes_is_noticed_and_adopted(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    """(b) no sequence check and a watchdog longer than the outage: 5 s late, the setpoint moves the plant."""

    async def story() -> None:
        async with standing(
            tmp_path, reference_line, secrets, plc="plain", opcua={**PLAIN, "timeout_s": 0.5}
        ) as stand:
            await stand.close_loop()
            before = working(stand)[API]
            late = round(before * 1.1, 3)
            await cut_with_a_write_in_flight(stand, late)
            await stand.turn(1)
            stand.server.link.mend()
            for _ in range(200):
                await asyncio.sleep(0.01)
                if stand.rig.plc.slots[API].remote == late:
                    break
            await stand.tick(5.0)
            assert working(stand)[API] > before + 0.02, "the premise: the plain PLC took it, late, and moved"
            await stand.online()
            thought = await stand.think()
            assert stand.recorder.samples[-1].acted.read_back == "taken"
            assert "was taken" in {a.name: a.text for a in thought.alarms}["write_read_back"]
            assert not thought.command.writes, "it does not move before it has adopted what it found"
            await stand.tick()
            await stand.until(stand.moving)
            first = stand.recorder.samples[-1].scan.readings[f"{API}.SP_Working"].value
            asked = stand.loop.sent.asked[API]
            rate = next(mv.rate_per_s for mv in stand.line.config.mv if mv.name == API)
            assert abs(asked - first) <= rate * 5.0 + 1e-9, "its first move starts from what the PLC works with"

    run(story())


def test_a_setpoint_that_is_not_ours_is_noticed_adopted_and_corrected(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    """Bytes of an old connection, or a second box: the plain PLC takes them while we are in control."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, plc="plain", opcua=PLAIN) as stand:
            await stand.close_loop()
            await stand.turn(2)
            stand.rig.write(f"{API}.SP_Remote", 2.4, user="edge")
            await stand.tick()
            thought = (await stand.turn())[0]
            assert stand.recorder.samples[-1].acted.read_back == "foreign"
            assert "not ours" in " ".join(thought.command.reasons)
            assert "2.4" in {a.name: a.text for a in thought.alarms}["write_read_back"]
            assert not any("SP_Remote" in tag for tag, _ in thought.wire)
            corrected = (await stand.turn())[0]
            assert corrected.command.writes, "and the next move corrects it"
            assert corrected.command.writes[API] < 2.4

    run(story())


def test_a_muted_server_does_what_it_heard_and_that_is_seen(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 0.5}) as stand:
            await stand.close_loop()
            write = stand.remote._plc.session_of(stand.remote.epoch)
            assert write is not None
            real = write.write

            async def then_mute(*args: Any) -> Any:
                stand.server.link.mute()
                return await real(*args)

            write.write = then_mute  # type: ignore[method-assign]
            thought = await stand.think()
            assert thought.command.writes
            assert stand.acted.outcome == "unknown"
            sequence = stand.loop.handshake.sequence
            await stand.tick()
            assert stand.rig.plc.slots[API].echo == sequence, "the premise: the PLC has it"
            assert (await stand.think()).command.holding
            stand.server.link.mend()
            await stand.online()
            thought = await stand.think()
            assert stand.recorder.samples[-1].acted.read_back == "taken"
            assert not thought.command.writes

    run(story())
