"""The worked example of evidence and room runs, and what it draws falls as the evidence does."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from control.commands import read_settings

ROOT = Path(__file__).parents[2]


def test_the_authority_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("authority_example", ROOT / "examples" / "authority.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, example)  # dataclasses look their module up
    spec.loader.exec_module(example)
    settings = read_settings(ROOT / "deploy" / "lines" / "cdc_ref_1.toml")
    for what in example.SWEEPS:
        at, room, cap = example.swept(settings, what)
        way = -1 if what == "covered" else 1
        assert all(way * (b - a) <= 0 for a, b in pairwise(room)), what
        assert room.max() == 1.0
        assert cap == pytest.approx(room * 5.0)
        assert room[0 if way > 0 else -1] == 1.0
        assert len(at) == len(room)
    monkeypatch.setattr(example, "WORSE_AT_MIN", 4.0)
    table = example.run(tmp_path, minutes=11.0)
    rooms = {name: row["room"] for name, row in table.items()}
    whole, wide, late, stale, none = rooms.values()
    assert whole > wide > stale > none == 0.0
    assert late == whole, "a laboratory is not missed in the first hour"
    assert table["no evidence"]["trim_pct"] == pytest.approx(0.0, abs=0.01), "plain ratio"
    assert json.loads((tmp_path / "authority.json").read_text()) == table
    assert (tmp_path / "authority.png").stat().st_size > 20_000
