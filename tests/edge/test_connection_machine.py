"""The connection's states: every move that can be made and every one that cannot, epochs, pauses; names and types."""

from __future__ import annotations

import math
from itertools import pairwise, product

import pytest
from asyncua import ua

from edge.acquire.connection import REFUSED_PAUSE_S, TRANSITIONS, UP, Connection, Event, State, step
from edge.acquire.names import node_ids, own_name
from edge.acquire.types import MappingError, counted, kind_of, variant
from edge.errors import ConfigError

V = ua.VariantType


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_of_state_and_event_is_a_move_or_an_error(state: State, event: Event) -> None:
    now = Connection(state, epoch=3, attempts=1)
    wanted = TRANSITIONS.get((state, event))
    if wanted is None:
        with pytest.raises(ValueError, match=f"{state} cannot be told '{event}'"):
            step(now, event)
        return
    after = step(now, event, 10.0, why="x", name="a", cap_s=1.0)
    assert after.state is wanted
    assert after.epoch == (4 if event is Event.SYNCED else 3), "only a synchronised connection is a new epoch"
    assert bool(after.trouble) is (event in (Event.FAILED, Event.REFUSED))


def test_the_moves_are_those_that_are_drawn() -> None:
    reached = {state: {to for (of, _), to in TRANSITIONS.items() if of is state} for state in State}
    assert reached == {
        State.DISCONNECTED: {State.CONNECTING, State.DISCONNECTED},
        State.CONNECTING: {State.SYNCING, State.LOST, State.DISCONNECTED},
        State.SYNCING: {State.ONLINE, State.LOST, State.DISCONNECTED},
        State.ONLINE: {State.STALE, State.LOST, State.DISCONNECTED},
        State.STALE: {State.ONLINE, State.LOST, State.DISCONNECTED},
        State.LOST: {State.CONNECTING, State.DISCONNECTED},
    }
    assert {State.ONLINE, State.STALE} == UP


def connected(now: Connection) -> Connection:
    for event in (Event.DIAL, Event.OPENED, Event.SYNCED):
        now = step(now, event)
    return now


def test_a_command_goes_out_on_its_own_epoch_or_not_at_all() -> None:
    first = connected(Connection())
    assert (first.epoch, first.up, first.carries(1)) == (1, True, True)
    stale = step(first, Event.STOPPED)
    assert stale.carries(1), "what is stale is still told that we live"
    lost = step(first, Event.FAILED, why="gone")
    assert not lost.carries(1)
    again = connected(lost)
    assert again.epoch == 2
    assert not again.carries(1)
    assert again.carries(2)
    assert (again.attempts, again.trouble) == (0, "")


def test_pauses_grow_to_the_cap_and_spread_by_name_and_never_by_chance() -> None:
    def pauses(name: str, event: Event = Event.FAILED) -> list[float]:
        now, found = Connection(), []
        for _ in range(8):
            now = step(step(now, Event.DIAL), event, 100.0, why="x", name=name, cap_s=1.0)
            found.append(now.retry_at_s - 100.0)
            assert not now.may_dial(now.retry_at_s - 1e-6)
            assert now.may_dial(now.retry_at_s)
        return found

    one = pauses("line one")
    assert one == pauses("line one")
    assert one != pauses("line two"), "boxes that lost one server together do not come back together"
    assert all(0.1 < p <= 1.2 for p in one)
    assert min(one[4:]) > max(one[:1])
    assert len({round(b / a, 6) for a, b in pairwise(one[4:])}) > 1, "at the cap it still spreads"
    assert all(0.8 * REFUSED_PAUSE_S <= p <= 1.2 * REFUSED_PAUSE_S for p in pauses("a", Event.REFUSED))


SPACES = ["http://opcfoundation.org/UA/", "urn:server", "urn:vendor", "urn:plc"]


def test_names_are_resolved_by_uri_and_the_longest_beginning() -> None:
    own = {"Apc.": "PLC1.Apc.", "Apc.Permit": "nsu=urn:vendor;i=77", "Line.Time": "i=2258"}
    own |= {"A.": "s=Db[1].", "A.PV": "Q"}
    found = node_ids(["Apc.Request", "Apc.Permit", "Line.Time", "A.SP", "A.PV", "B.PV"], "urn:plc", own, SPACES)
    assert found == {
        "Apc.Request": ua.NodeId("PLC1.Apc.Request", 3),
        "Apc.Permit": ua.NodeId(77, 2),
        "Line.Time": ua.NodeId(2258, 0),
        "A.SP": ua.NodeId("Db[1].SP", 3),
        "A.PV": ua.NodeId("Q", 3),
        "B.PV": ua.NodeId("B.PV", 3),
    }
    moved = node_ids(["B.PV"], "urn:plc", own, [SPACES[0], "urn:plc"])
    assert moved["B.PV"].NamespaceIndex == 1
    assert own_name("Apc.X", {"Apc.": "P.", "A": "no"}) == "P.X"
    with pytest.raises(ConfigError, match="no namespace 'urn:gone'"):
        node_ids(["B.PV"], "urn:gone", {}, SPACES)
    with pytest.raises(ConfigError, match="no node id"):
        node_ids(["B.PV"], "urn:plc", {"B.PV": "nsu=urn:plc;rubbish"}, SPACES)


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (1.5, V.Double, True), (1.5, V.Float, True), (1e300, V.Float, False), (math.nan, V.Double, False),
        (math.inf, V.Float, False), (7.0, V.UInt32, True), (-1.0, V.UInt16, False), (65536.0, V.UInt16, False),
        (1.5, V.Int32, False), (2.0**31, V.Int32, False), (1.0, V.Boolean, True), (2.0, V.Boolean, False),
        (1.0, V.String, False), (255.0, V.Byte, True),
    ],
)  # fmt: skip
def test_a_value_goes_out_in_the_node_s_type_or_not_at_all(value: float, kind: ua.VariantType, fits: bool) -> None:
    if not fits:
        with pytest.raises(MappingError, match="has no place in"):
            variant(value, kind)
        return
    made = variant(value, kind)
    assert made.VariantType is kind
    assert made.Value == value


def test_counters_wrap_where_their_type_ends_and_leave_out_zero() -> None:
    assert [counted(n, V.UInt16) for n in (1, 65535, 65536, 65537)] == [1, 65535, 1, 2]
    assert counted(70_000.0, V.Double) == 70_000.0


def test_a_type_is_told_by_the_attribute_or_else_by_the_value() -> None:
    def dv(value: object, kind: ua.VariantType) -> ua.DataValue:
        return ua.DataValue(ua.Variant(value, kind))

    double, vendor = ua.NodeId(ua.ObjectIds.Double), ua.NodeId("Setpoint", 4)
    nothing = ua.DataValue()
    assert kind_of(dv(double, V.NodeId), nothing) is V.Double
    assert kind_of(dv(vendor, V.NodeId), dv(1.0, V.Float)) is V.Float
    assert kind_of(nothing, dv("text", V.String)) is None
    assert kind_of(nothing, nothing) is None
