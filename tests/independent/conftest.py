"""Lets the tests here share second_stack, hil_wire (a served rig) and opcua_server_hand (a served record)."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "hil_sim"), str(HERE.parent / "edge")]
