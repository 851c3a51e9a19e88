"""Lets the tests here share governed_hand: people, keys, a registry to break and the loop it governs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
