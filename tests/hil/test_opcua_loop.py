"""The loop on the real wire: refused and ignored writes, operator and limits between, plainer PLCs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opcua_hand import Stand, standing

from control.signals import Mode
from edge.acquire.connection import State
from edge.line import Line
from edge.signals import Link
from hil_sim.tags import TagValue

PLAIN = {"handshake": ["SP_Working"]}
API = "FeederApi"


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def working(stand: Stand) -> dict[str, float]:
    return dict(stand.rig.truth().setpoints)


def test_a_refused_write_names_step_tag_and_code(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            put = stand.rig.write

            def refuse(tag: str, value: Any, *, user: str) -> str:
                return "bad_user_access" if tag == f"{API}.SP_Remote" else put(tag, value, user=user)

            stand.rig.write = refuse  # type: ignore[method-assign,assignment]
            await stand.turn()
            refused = stand.recorder.outcomes[-1]
            assert (refused.outcome, refused.step) == ("refused", "accept")
            assert refused.codes == {f"{API}.SP_Remote": "BadUserAccessDenied"}
            thoughts = await stand.turn(3)
            assert "write_refused" in {a.name for a in thoughts[-1].alarms}
            stand.rig.write = put  # type: ignore[method-assign]
            await stand.turn()
            assert stand.recorder.outcomes[-1].outcome == "good"

    run(story())


@pytest.mark.parametrize("plc", ["full", "plain"])
def test_an_ignored_write_stops_the_moves(tmp_path: Path, reference_line: Line, secrets: Path, plc: Any) -> None:
    """Good is answered, and neither echo nor working setpoint follow."""

    async def story() -> None:
        opcua = PLAIN if plc == "plain" else {}
        async with standing(tmp_path, reference_line, secrets, plc=plc, opcua=opcua) as stand:
            await stand.close_loop()
            put = stand.rig.write
            ignoring = ("SP_RemoteSeq",) if plc == "full" else ("SP_Remote",)

            def ignore(tag: str, value: Any, *, user: str) -> str:
                return "good" if tag.endswith(ignoring) else put(tag, value, user=user)

            stand.rig.write = ignore  # type: ignore[method-assign,assignment]
            stand.rig.plc.recipe.api_pct = 11.0  # there is something to move
            thoughts = await stand.turn(10)
            stopped = [t for t in thoughts if "follow" in t.authority or "confirm" in t.authority]
            assert stopped, [t.authority for t in thoughts]
            assert not stopped[0].command.writes
            assert dict(stopped[0].wire)["Apc.Request"] == 0.0, "the plant is given back"

    run(story())


def test_no_response_ends_the_connection_and_the_loop_holds(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 0.3}) as stand:
            await stand.close_loop()
            epoch = stand.remote.epoch
            stand.server.link.cut()
            began = asyncio.get_running_loop().time()
            thought = await stand.think()
            assert stand.scan.link is Link.LOST
            assert thought.command.holding
            assert thought.wire == ()
            assert stand.remote._plc.connection.state in (State.LOST, State.CONNECTING)
            for _ in range(5):
                await stand.think()
            assert asyncio.get_running_loop().time() - began < 3.0, "a loop is not held up by attempts to connect"
            stand.server.link.mend()
            await stand.online()
            assert stand.remote.epoch == epoch + 1
            await stand.turn(2)
            assert stand.rig.plc.authority.shed_reason == 7, "the PLC does not follow a new session by itself"
            stand.rig.write("Apc.Reset", True, user="operator")
            thoughts = await stand.until(stand.moving)
            assert "requested" in [t.handshake for t in thoughts], "only by a handshake of its own"

    run(story())


def test_a_command_of_an_older_epoch_is_dropped(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            seen = await stand.remote.scan()
            await stand.restart()
            await stand.online()
            assert stand.remote.epoch == seen.epoch + 1
            acted = await stand.actuator.write(((f"{API}.SP_Remote", 2.2),), seen.epoch)
            assert (acted.outcome, acted.step) == ("refused", "authorise")
            assert "made anew" in acted.codes["link"]
            assert stand.rig.plc.slots[API].remote != 2.2

    run(story())


def test_an_operator_who_takes_local_in_mid_move_has_the_plant(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            await stand.think()
            stand.rig.write("Apc.OperatorEnable", False, user="operator")
            await stand.tick()
            held = working(stand)
            thoughts = await stand.turn(3)
            assert all(not t.command.writes for t in thoughts)
            assert "shed (reason 2)" in thoughts[0].authority
            assert working(stand) == held
            stand.rig.write("Apc.OperatorEnable", True, user="operator")
            assert all(not t.command.writes for t in await stand.turn(4)), "and keeps it until he resets"
            stand.rig.write("Apc.Reset", True, user="operator")
            await stand.until(stand.moving)

    run(story())


def test_limits_that_are_tightened_bind_the_next_move(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            now = working(stand)[API]
            high = round(now - 0.05, 3)
            assert stand.rig.write(f"{API}.SP_HiLim", high, user="operator") == "good"
            await stand.tick()
            thoughts = await stand.turn(4)
            flags = stand.scan.readings[f"{API}.LimitFlags"].value
            for thought in thoughts:
                assert thought.command.writes[API] <= max(high, now - 0.001), "never away from the limit"
            assert working(stand)[API] <= high + 1e-9, "the clamped value is what the loop goes on from"
            assert stand.scan.readings[f"{API}.SP_HiLim"].value == high
            assert thoughts[-1].command.writes[API] <= high + 1e-9, flags
            assert all(a.outcome == "good" for a in stand.recorder.outcomes[-3:])

    run(story())


def test_a_clamped_setpoint_comes_back_as_what_was_applied(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """GoodClamped is no refusal: what the PLC works with is where the next decision starts, and no foreign write."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            slot = stand.rig.plc.slots[API]
            slot.high = slot.working - 0.02  # tightened between our look and our write
            await stand.turn()
            acted = stand.recorder.outcomes[-1]
            assert acted.outcome == "good"
            assert acted.codes[f"{API}.SP_Remote"] == "GoodClamped"
            thought = (await stand.turn())[0]
            sample = stand.recorder.samples[-1]
            assert sample.acted.read_back == ""
            assert sample.scan.readings[f"{API}.SP_Working"].value == pytest.approx(slot.high)
            assert thought.command.writes[API] <= slot.high + 0.04 * 5.0

    run(story())


def test_a_plc_whose_heartbeat_stopped_is_not_trusted(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            beat = stand.rig.plc.authority.heartbeat_out
            stand.change["Apc.HeartbeatOut"] = lambda tag: replace(tag, value=beat)
            await stand.tick()
            thoughts = await stand.turn(5)
            assert "heartbeat stands still" in thoughts[-1].authority
            assert not thoughts[-1].command.writes
            del stand.change["Apc.HeartbeatOut"]
            await stand.until(stand.moving)

    run(story())


def test_bad_holds_and_is_shed_by_time(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """Bad and Uncertain: hold; for longer than release_after_s the plant is given back in good order."""

    async def story() -> None:
        for status in ("bad", "uncertain"):
            folder = tmp_path / status
            async with standing(folder, reference_line, secrets) as stand:
                await stand.close_loop()

                def spoilt(tag: TagValue, status: Any = status) -> TagValue:
                    return replace(tag, status=status)

                stand.change[f"{API}.SP_Working"] = spoilt
                await stand.tick()
                thoughts = await stand.turn(3)
                assert all(t.command.holding and not t.command.writes for t in thoughts)
                assert stand.rig.plc.authority.remote_active, "a short hold keeps the plant"
                release = stand.line.config.freshness.release_after_s
                await stand.turn(int(release / 5.0) + 2)
                assert not stand.rig.plc.authority.remote_active
                assert stand.rig.plc.authority.shed_reason == 0, "given back in good order, not shed"

    run(story())


def test_without_a_working_setpoint_what_was_given_and_measured_stand_for_it(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    """Request, Permit, HeartbeatIn, SP_Remote and PV: nothing else of the handshake is read or written."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, plc="plain", opcua={"handshake": []}) as stand:
            await stand.turn(2)
            readings = stand.scan.readings
            assert not readings["Apc.RemoteActive"].value
            assert readings[f"{API}.SP_Working"] == readings[f"{API}.PV"], "local: what is measured"
            await stand.close_loop()
            stand.rig.plc.change_recipe(api_pct=11.0)
            thoughts = await stand.turn(12)
            assert all(t.command.writes for t in thoughts[-3:]), [t.command.reasons for t in thoughts]
            assert stand.scan.readings[f"{API}.SP_Working"].value == stand.scan.readings[f"{API}.SP_Remote"].value
            assert working(stand)[API] > 2.1, "the recipe's step was followed"
            assert {a.outcome for a in stand.recorder.outcomes[-6:]} == {"good"}

    run(story())


def test_the_loop_runs_on_a_plain_plc_and_says_what_is_missing(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, plc="plain", opcua=PLAIN) as stand:
            await stand.close_loop()
            stand.rig.plc.change_recipe(api_pct=11.0)
            thoughts = await stand.turn(12)
            assert thoughts[-1].mode is Mode.CLOSED
            assert all(t.command.writes for t in thoughts[-4:])
            assert working(stand)[API] > 2.1, "the recipe's step was followed"
            assert all(a.outcome == "good" for a in stand.recorder.outcomes[-8:])
            alarms = {a.name: a for a in thoughts[-1].alarms}
            assert alarms["unprotected"].priority == 3
            assert "without SessionId" in alarms["unprotected"].text
            tags = {tag for tag, _ in thoughts[-1].wire}
            assert tags == {"Apc.Request", "Apc.HeartbeatIn", *(f"{mv.name}.SP_Remote" for mv in stand.line.config.mv)}

    run(story())
