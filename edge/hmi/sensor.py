"""what was recorded of the soft sensor -> the one line that stands under its number: calm when all is well."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from edge.hmi.live import Live

SOON_S = 14 * 86400.0
OUTCOMES = {"within": "within limits", "outside": "OUTSIDE limits"}


def sensor_line(live: Live, thought: Mapping[str, Any]) -> str:
    """What may be concluded, which model in which state, and the instrument's; dates only when they are near."""
    parts = (_outcome(thought["estimate"]), _model(live, thought), _instrument(live, thought))
    return " · ".join(part for part in parts if part)


def widened(thought: Mapping[str, Any]) -> str:
    """How far the interval is widened, to stand behind it; empty when it is the card's."""
    factor = float(thought.get("interval_factor", 1.0))
    return f", widened ×{factor:.2f}" if factor > 1.0 else ""


def _outcome(estimate: Mapping[str, Any]) -> str:
    """Nothing where there are no limits to hold it against; what is short, unless the quality below says it."""
    outcome, short = str(estimate.get("outcome", "")), str(estimate.get("undecided", ""))
    if outcome != "undecided":
        return OUTCOMES.get(outcome, "")
    return "undecided" if not short or short.startswith("the estimate is") else f"undecided: {short}"


def _model(live: Live, thought: Mapping[str, Any]) -> str:
    licence = live.sample.get("licence")
    table = (live.start.get("config") or {}).get("sensor") or {}
    name = str(table.get("model") or "").strip() or str(table.get("bundle") or "model").rsplit("/", 1)[-1]
    if not licence:
        return f"{name}, no licence"
    state, until_s = str(licence["state"]), float(licence["valid_until_s"])
    if state == "ungoverned":
        return f"{name}, not governed"
    if until_s <= live.time_s:
        return f"{name}, EXPIRED {_day(until_s)}"
    if until_s - live.time_s < SOON_S:
        return f"{name}, {state}, expires {_day(until_s)}"
    return f"{name}, {state}" + (", NOT FIT for closed loop" if thought.get("unlicensed") else "")


def _instrument(live: Live, thought: Mapping[str, Any]) -> str:
    if not ((live.start.get("config") or {}).get("analyser") or {}).get("verification"):
        return ""
    found = live.sample.get("verification") or {}
    if found.get("failed"):
        return "instrument FAILED verification"
    if not found or thought.get("unverified"):
        return "instrument NOT VERIFIED"
    until_s = float(found["valid_until_s"])
    return f"verified until {_day(until_s)}" if until_s - live.time_s < SOON_S else "verified"


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
