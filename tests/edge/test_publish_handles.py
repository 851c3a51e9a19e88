"""A press whose handles are moved: other systems see them as they see the feeders."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import ua

from edge.config import LineConfig, read_config
from edge.people import passwords
from edge.publish.opcua_server_tree import NAMESPACE
from edge.publish.sparkplug_metrics import definitions, metrics
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_press_1.toml"
HANDLES = {"FillDepth": ("mm", 6.0, 10.0), "Thickness": ("mm", 2.6, 3.3), "TurretSpeed": ("1/min", 15.0, 60.0)}

_spec = importlib.util.spec_from_file_location("opcua_server_hand", Path(__file__).with_name("opcua_server_hand.py"))
assert _spec is not None
assert _spec.loader is not None
hand: Any = importlib.util.module_from_spec(_spec)
sys.modules["opcua_server_hand"] = hand
_spec.loader.exec_module(hand)


@pytest.fixture(scope="module")
def config() -> LineConfig:
    return read_config(LINE_FILE)[0]


def test_sparkplug_carries_what_the_press_works_with_and_what_it_was_told(config: LineConfig, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, config.line.name) as journal:
        recorder = JournalRecorder(journal)
        run_one(compose_for(LINE_FILE, "mpc"), load_scenario("nominal"), 1, 0.2, recorder=recorder)
        row = list(journal.rows(kind="cycle"))[-1]
    known = definitions(config)
    said = {known[m.alias].name: m.value for m in metrics(known, row, None, historical=False) if m.alias is not None}
    content = row.content()
    for name, (unit, _, _) in HANDLES.items():
        assert {one.unit for one in known if one.name.startswith(f"Setpoint/{name}/")} == {unit}
        assert said[f"Setpoint/{name}/Working"] == content["sample"]["readings"][f"{name}.SP_Working"]["value"]
        assert said[f"Setpoint/{name}/Recommended"] == content["thought"]["command"]["recommended"][name]


def test_the_opcua_server_has_a_place_for_each_handle(
    config: LineConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))
    line = config.line.model_copy(update={"name": "CDC-REF-1"})  # whose record the hand writes
    monkeypatch.setattr(hand, "config", lambda: config.model_copy(update={"line": line}))

    async def story() -> None:
        async with hand.site(tmp_path) as here:
            client = await here.client("quinn")
            index = await client.get_namespace_index(NAMESPACE)
            for name, (unit, low, high) in HANDLES.items():
                at = f"{hand.LINE}/Recommendation/{name}"
                for part in ("Current", "Recommended", "Written"):
                    node = client.get_node(ua.NodeId(f"{at}/{part}", index))
                    assert (await (await node.get_child("0:EngineeringUnits")).read_value()).DisplayName.Text == unit
                current = client.get_node(ua.NodeId(f"{at}/Current", index))
                limits = await (await current.get_child("0:EURange")).read_value()
                assert (limits.Low, limits.High) == (low, high)

    asyncio.run(story())
