"""What people may ask through the box's OPC UA server, and the alarms that they hear of, over a real connection."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import ua

from edge.people import passwords
from edge.signals import Alarm

_spec = importlib.util.spec_from_file_location("opcua_server_hand", Path(__file__).with_name("opcua_server_hand.py"))
assert _spec is not None
assert _spec.loader is not None
hand = importlib.util.module_from_spec(_spec)
sys.modules["opcua_server_hand"] = hand
_spec.loader.exec_module(hand)
call, count, site, text, values = hand.call, hand.count, hand.site, hand.text, hand.values

ADI = "http://opcfoundation.org/UA/ADI/"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: these tests are about the server."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


def good(value: ua.DataValue) -> Any:
    assert value.StatusCode.is_good(), value
    return value.Value.Value


def test_requests_go_on_the_record_and_nowhere_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria, erik = await here.client("maria"), await here.client("erik")
            before = here.shift.journal.last().seq
            done = await call(maria, "State/RequestMode", text("closed"), text("line settled"))
            assert done.StatusCode.is_good()
            assert done.OutputArguments[0].Value == before + 1, "the number of the request's record"
            shown = (await values(erik, "State/CycleRecord"))["State/CycleRecord"].Value.Value
            assert (await call(erik, "Recommendation/Accept", count(shown), text(""))).StatusCode.is_good()
            assert (await call(erik, "Recommendation/Decline", count(0), text("feeder refills"))).StatusCode.is_good()
            asked = here.requests()
            assert [(a["action"], a["value"], a["user"], a["reason"], a["cycle_seq"]) for a in asked] == [
                ("mode", "closed", "maria", "line settled", None),
                ("accept", "", "erik", "", shown),
                ("decline", "", "erik", "feeder refills", None),
            ]
            kinds = {row.kind for row in here.shift.journal.rows(after_seq=before)}
            assert kinds <= {"request", "people"}
            taken = here.shift.recorder.requests()
            assert [(r.action, r.user) for r in taken][-3:] == [
                ("mode", "maria"), ("accept", "erik"), ("decline", "erik"),
            ]  # fmt: skip

    asyncio.run(story())


def test_what_may_not_be_asked_is_refused_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria, quinn = await here.client("maria"), await here.client("quinn")

            async def code(client: Any, path: str, *arguments: ua.Variant) -> tuple[str, list[str]]:
                result = await call(client, path, *arguments)
                return result.StatusCode.name, [c.name for c in result.InputArgumentResults if c.value]

            why, mode = text("because"), "State/RequestMode"
            wrong = ua.VariantType
            cases = [
                ((mode, (text("closed"),)), ("BadArgumentsMissing", [])),
                ((mode, (text("closed"), why, why)), ("BadTooManyArguments", [])),
                ((mode, (text("turbo"), why)), ("BadInvalidArgument", ["BadOutOfRange"])),
                ((mode, (text("closed"), text("  "))), ("BadInvalidArgument", ["BadInvalidArgument"])),
                ((mode, (text("closed"), text("x" * 301))), ("BadInvalidArgument", ["BadOutOfRange"])),
                ((mode, (text("closed"), text("two\nlines"))), ("BadInvalidArgument", ["BadOutOfRange"])),
                ((mode, (ua.Variant(math.nan, wrong.Double), why)), ("BadInvalidArgument", ["BadTypeMismatch"])),
                ((mode, (ua.Variant(2, wrong.Int32), why)), ("BadInvalidArgument", ["BadTypeMismatch"])),
                ((mode, (ua.Variant(["closed"], wrong.String), why)), ("BadInvalidArgument", ["BadTypeMismatch"])),
                ((mode, (ua.Variant(None, wrong.Null), why)), ("BadInvalidArgument", ["BadTypeMismatch"])),
                (("Alarms/Acknowledge", (text("nothing"), why)), ("BadInvalidArgument", ["BadNotFound"])),
                (("Recommendation/Accept", (text("1"), why)), ("BadInvalidArgument", ["BadTypeMismatch"])),
                (("Recommendation/Decline", (count(1), text(""))), ("BadInvalidArgument", ["BadInvalidArgument"])),
            ]  # fmt: skip
            for (path, arguments), expected in cases:
                assert await code(maria, path, *arguments) == expected, (path, arguments)
            assert await code(quinn, mode, text("monitor"), why) == ("BadUserAccessDenied", []), "qa only looks"
            index = await _index(maria)
            astray = ua.CallMethodRequest(ua.NodeId(hand.LINE, index), ua.NodeId(f"{hand.LINE}/{mode}", index), [])
            assert (await maria.uaclient.call([astray]))[0].StatusCode.name == "BadMethodInvalid"
            here.shift.mode = "closed"
            await here.cycle()
            assert await code(maria, "Recommendation/Accept", count(0), why) == ("BadInvalidState", [])
            here.shift.recorder.stop(here.shift.time_s, "gone")
            await here.server.look()
            assert await code(maria, mode, text("closed"), why) == ("BadInvalidState", []), "no cycle is coming in"
            with here.accounts() as accounts:
                accounts.disable("maria", "test")
            assert await code(maria, mode, text("monitor"), why) == ("BadUserAccessDenied", [])
            assert here.requests() == []

    asyncio.run(story())


def test_one_person_cannot_flood_the_record(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria = await here.client("maria")
            codes = [
                (await call(maria, "State/RequestMode", text("advise"), text("again"))).StatusCode.name
                for _ in range(35)
            ]
            assert codes == ["Good"] * 30 + ["BadTooManyOperations"] * 5
            assert len(here.requests()) == 30

    asyncio.run(story())


def test_alarms_come_and_go_as_events_and_are_acknowledged_like_any_condition(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria = await here.client("maria")
            heard = _Heard()
            subscription = await maria.create_subscription(100, heard)
            kind = maria.get_node(ua.NodeId(ua.ObjectIds.AlarmConditionType))
            await subscription.subscribe_alarms_and_conditions(evtypes=kind)
            at_s = here.shift.time_s
            here.shift.alarms = (Alarm("hidden_loss", "FeederApi delivers -3 %", 1, at_s, at_s),)
            await here.cycle(2)
            came = await heard.next()
            assert (came.ConditionName, came.Severity, came.Retain) == ("hidden_loss", 800, True)
            assert came.Message.Text == "FeederApi delivers -3 %"
            assert getattr(came, "ActiveState/Id") is True
            assert came.Time.timestamp() == pytest.approx(at_s, abs=1e-3)
            condition = ua.NodeId(f"{hand.LINE}/Alarms/hidden_loss", await _index(maria))
            assert came.NodeId == condition
            names = await values(maria, "Alarms/Names", "Alarms/Priorities")
            assert (good(names["Alarms/Names"]), good(names["Alarms/Priorities"])) == (["hidden_loss"], [1])
            refused = await _acknowledge(maria, condition, b"another", "seen")
            assert refused.InputArgumentResults[0].name == "BadEventIdUnknown"
            assert (await _acknowledge(maria, condition, came.EventId, "seen")).StatusCode.is_good()
            assert (await call(maria, "Alarms/Acknowledge", text("hidden_loss"), text(""))).StatusCode.is_good()
            told = [(r["action"], r["value"], r["user"], r["reason"]) for r in here.requests()]
            assert told == [("ack", "hidden_loss", "maria", "seen"), ("ack", "hidden_loss", "maria", "")]
            here.shift.alarms = ()
            await here.cycle()
            gone = await heard.next()
            assert (gone.ConditionName, gone.Retain, getattr(gone, "ActiveState/Id")) == ("hidden_loss", False, False)

    asyncio.run(story())


def test_who_comes_late_is_told_what_stands(tmp_path: Path) -> None:
    """ConditionRefresh of Part 9, on one's own subscription only."""

    async def story() -> None:
        async with site(tmp_path) as here:
            at_s = here.shift.time_s
            here.shift.alarms = (Alarm("hidden_loss", "FeederApi delivers -3 %", 2, at_s, at_s),)
            await here.cycle()
            maria, erik = await here.client("maria"), await here.client("erik")
            heard = _Heard()
            subscription = await maria.create_subscription(100, heard)
            kind = maria.get_node(ua.NodeId(ua.ObjectIds.AlarmConditionType))
            await subscription.subscribe_alarms_and_conditions(evtypes=kind)
            assert heard.events.empty()

            async def refresh(client: Any) -> str:
                number = ua.Variant(subscription.subscription_id, ua.VariantType.UInt32)
                asked = ua.CallMethodRequest(
                    ua.NodeId(ua.ObjectIds.ConditionType),
                    ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh),
                    [number],
                )
                return str((await client.uaclient.call([asked]))[0].StatusCode.name)

            assert await refresh(erik) == "BadSubscriptionIdInvalid", "another's"
            assert await refresh(maria) == "Good"
            stands = await heard.next()
            assert (stands.ConditionName, stands.Severity, stands.Retain) == ("hidden_loss", 500, True)

    asyncio.run(story())


class _Heard:
    """Takes events off a subscription."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        self.events.put_nowait(event)

    async def next(self) -> Any:
        return await asyncio.wait_for(self.events.get(), 5)


async def _acknowledge(client: Any, condition: ua.NodeId, event_id: bytes, comment: str) -> ua.CallMethodResult:
    asked = ua.CallMethodRequest(
        condition,
        ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge),
        [ua.Variant(event_id, ua.VariantType.ByteString), ua.Variant(ua.LocalizedText(comment))],
    )
    return (await client.uaclient.call([asked]))[0]


async def _index(client: Any) -> int:
    return int(await client.get_namespace_index(hand.NAMESPACE))
