"""Real packets lost, late, double, spoilt, held, and half of a connection gone: the loop keeps period, state and size.

The short form of `make network-faults`: one fault of each hard kind and a few of the mild ones, in two namespaces.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.faults.campaign import run
from deploy.faults.flows import RST, Flows, checksum
from deploy.faults.impair import KINDS, LOST, Fault, Way, plan
from deploy.faults.judge import Injected, Seen, judge
from deploy.faults.machine import Machine
from deploy.faults.wire import missing

WHY_NOT = missing()
SHORT = (
    Fault("storm", 1.5, *(2 * (Way(drop=0.1, duplicate=0.3, corrupt=0.05, jitter_s=0.05),))),
    Fault("delay", 1.2, Way(delay_s=0.1), Way(delay_s=0.1)),
    Fault("mute", 0.9, to_box=LOST),
    Fault("stall", 1.5, Way(hold=True), Way(hold=True)),
    Fault("half_open", 1.0, half_open=True),
    Fault("flap", 1.5, LOST, LOST, flap_s=0.3),
    Fault("blackhole", 4.8, LOST, LOST),  # longer than the PLC's watchdog: it sheds, and is asked anew
)
CALM = Seen(0.0, True, 1, 7, "remote", True, {}, False, "good", "", 0.0)


@pytest.mark.timeout(180)
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
def test_the_loop_keeps_period_state_and_size_under_network_faults(tmp_path: Path) -> None:
    found = run(tmp_path / "wire", len(SHORT), 1, script=SHORT, calm_cycles=1.0)
    assert found.wrong == ()
    assert found.faults == len(SHORT)
    packets = found.figures["packets"]
    assert min(packets[what] for what in ("lost", "double", "held", "late", "forged")) > 0, packets
    steps = found.figures["epoch_steps"]
    assert list(steps["half_open"]) == [1], "a connection that is gone at one end is made anew, once"
    assert list(steps["blackhole"]) == [1]
    assert found.figures["setpoints"]["taken"] > 30


def test_every_kind_comes_equally_often_and_the_same_for_the_same_seed() -> None:
    faults = plan(5, 3 * len(KINDS), 6.0)
    assert plan(5, 3 * len(KINDS), 6.0) == faults
    assert {kind: sum(f.kind == kind for f in faults) for kind in KINDS} == dict.fromkeys(KINDS, 3)
    assert all(0.2 <= f.duration_s <= 6.0 for f in faults)


def test_a_forged_reset_is_what_the_other_end_would_send() -> None:
    box, line = bytes((10, 77, 0, 1)), bytes((10, 77, 0, 2))

    def packet(a: bytes, a_port: int, b: bytes, b_port: int, seq: int, ack: int, load: bytes) -> bytes:
        tcp = struct.pack("!HHIIBBHHH", a_port, b_port, seq, ack, 5 << 4, 0x18, 0, 0, 0) + load
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, a, b) + tcp

    flows = Flows()
    flow = flows.note(0, packet(box, 5000, line, 4840, 1000, 70, b"abc"))
    assert flow == flows.note(1, packet(line, 4840, box, 5000, 70, 1003, b"hello"))
    assert flow is not None
    for way, (source, target, seq) in enumerate(((box, line, 1003), (line, box, 75))):
        forged = flows.reset(flow, way)
        assert (forged[12:16], forged[16:20]) == (source, target)
        assert struct.unpack_from("!I", forged, 24)[0] == seq
        assert forged[33] == RST
        assert checksum(forged[:20]) == 0
        pseudo = forged[12:20] + struct.pack("!BBH", 0, 6, 20)
        assert checksum(pseudo + forged[20:]) == 0


def test_the_judge_finds_what_he_should() -> None:
    cycles = [replace(CALM, time_s=t + 0.01, line_time_s=float(t)) for t in range(40)]
    line = [{"what": "tick", "wall_s": float(t), "time_s": float(t), "connections": 1, "subscriptions": 0, "tasks": 9}
            for t in range(40)]  # fmt: skip
    sizes = [{"rss_mb": 100.0, "files": 9, "sockets": 3, "tasks": 7, "objects": 9000} for _ in range(40)]
    fault = Injected("drop", 10.0, 12.5, 13.0)

    def wrong(cycles: list[Seen] = cycles, line: list[dict] = line, sizes: list[dict] = sizes) -> str:  # type: ignore[type-arg]
        return "; ".join(judge(cycles, line, sizes, (fault,), Machine(), cycle_s=1.0, watchdog_s=4.0).wrong)

    assert wrong() == ""
    assert "2 cycles missing" in wrong([*cycles[:20], *cycles[22:]])
    lost = [replace(c, online=False, holding=True) if 10 < c.time_s < 16 else c for c in cycles]
    assert "online at the look number 4 (3.51 cycles)" in wrong(lost)
    assert "did not hold" in wrong([replace(c, online=False) if c.time_s < 5 else c for c in cycles])
    moved = [replace(c, writes={"FeederApi": 2.0}) if c.time_s > 20 else c for c in cycles]
    assert "without a granted request" in wrong(moved)
    old = [replace(c, line_time_s=5.0) if 12 < c.time_s < 14 else c for c in cycles]
    assert "8 s old" in wrong(old)
    taken = {"what": "setpoint", "wall_s": 30.0, "tag": "FeederApi.SP_Remote", "value": 2.0, "code": "Good",
             "remote": True, "session": 7}  # fmt: skip
    assert "no cycle on record decided" in wrong(line=[*line, taken])
    assert "files grew" in wrong(sizes=[{**row, "files": 9 + i // 4} for i, row in enumerate(sizes)])
    assert "objects grew" in wrong(sizes=[{**row, "objects": 9000 + 80 * i} for i, row in enumerate(sizes)])


def test_a_machine_that_stood_still_is_not_the_loops_fault() -> None:
    machine = Machine()
    machine.stalls.append((19.9, 22.1))
    cycles = [replace(CALM, time_s=t + 0.01, line_time_s=float(t)) for t in (*range(20), *range(22, 40))]
    verdict = judge(cycles, [], [], (), machine, cycle_s=1.0, watchdog_s=4.0)
    assert verdict.wrong == []
    assert len(verdict.figures["machine"]["excused"]) == 1
    assert np.isclose(verdict.figures["machine"]["worst_s"], 2.2)
