"""Lets the tests here share journal_hand: journals of both formats, and ways to change them behind their back."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
