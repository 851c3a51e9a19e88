"""A refill that is brought forward over the real wire, and a PLC that has no tag to ask for it by."""

from __future__ import annotations

import asyncio
from pathlib import Path

from opcua_hand import Stand, standing

from edge.line import Line
from hil_sim.variants import compose_variant, variant

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
LEVELS = {
    "FeederApi": {"low_kg": 0.9, "high_kg": 2.4, "early_kg": 1.65, "blind_s": 45.0},
    "FeederLac": {"low_kg": 2.5, "high_kg": 7.5, "early_kg": 5.0, "blind_s": 53.0},
}
MEET_AT_S = 500.0  # after the start, which counts as a change of the recipe for 348 s
ASKED = [f"{name}.RefillRequest" for name in LEVELS]


def line() -> Line:
    return compose_variant(variant(LINE_FILE, "mpc", (("controller.refills", {"levels": LEVELS}),)))


def to_meet(stand: Stand) -> None:
    """Hoppers as full as makes the two refill together; the others full."""
    for key, kg_h in (("api", 2.0), ("lac", 7.0), ("mcc", None), ("mgst", None)):
        feeder, p = stand.rig.line.feeders[key], stand.rig.parameters.feeders[key]
        low_kg, full_kg = p.refill_low * p.capacity_kg, p.refill_high * p.capacity_kg
        feeder.hopper_kg = full_kg if kg_h is None else low_kg + kg_h * MEET_AT_S / 3600
        feeder._forget_weights()


def test_a_refill_is_brought_forward_over_the_wire(tmp_path: Path, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, line(), secrets) as stand:
            to_meet(stand)
            await stand.close_loop()
            thoughts = await stand.until(lambda: bool(stand.recorder.last and stand.recorder.last.command.refill), 110)
            name = thoughts[-1].command.refill
            key = {"FeederApi": "api", "FeederLac": "lac"}[name]
            assert stand.rig.line.feeders[key].volumetric, "the PLC refills it"
            assert dict(thoughts[-1].wire)[f"{name}.RefillRequest"] == 1.0
            assert stand.recorder.outcomes[-1].outcome == "good"
            assert not any(t.command.refill for t in thoughts[:-1])
            both, ask = [], []
            for _ in range(30):
                thought = await stand.think()
                ask.append(thought.command.refill)
                for _ in range(10):
                    await stand.tick(0.5)
                    both.append(sum(f.volumetric for f in stand.rig.line.feeders.values()))
            assert stand.scan.readings[f"{name}.RefillRequest"].value == 0.0, "the request fell back by itself"
            assert max(both) == 1, "and the other one came when it was over"
            assert sum(both) * 0.5 > 60
            assert not any(ask)
            assert "refills_as_they_come" not in {a.name for a in thoughts[-1].alarms}

    asyncio.run(asyncio.wait_for(story(), 120))


def test_a_plc_without_the_tag_is_run_and_named(tmp_path: Path, secrets: Path) -> None:
    async def story() -> None:
        plain = {"handshake": ["SP_Working"]}
        async with standing(tmp_path, line(), secrets, plc="plain", opcua=plain) as stand:
            to_meet(stand)
            await stand.close_loop()
            thoughts = await stand.turn(100)
            assert all(tag in stand.told()["tags_absent"] for tag in ASKED)
            alarms = {a.name: a for a in thoughts[-1].alarms}
            assert all(tag in alarms["refills_as_they_come"].text for tag in ASKED)
            assert alarms["refills_as_they_come"].priority == 3
            assert thoughts[-1].command.writes, "the loop runs as ever"
            assert not [tag for t in thoughts for tag, _ in t.wire if tag in ASKED]
            assert not any(t.command.refill for t in thoughts)

    asyncio.run(asyncio.wait_for(story(), 120))
