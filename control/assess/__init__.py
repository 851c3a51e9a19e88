"""beliefs, commands, records of them -> findings: how loop and model do, and what people must be told."""

from __future__ import annotations

from control.assess.conduct import Cost, constraint_costs, time_in_control, travel_pct
from control.assess.findings import Finding, assess, assess_estimate, assess_material
from control.assess.loop import Oscillation, Whiteness, harris_index, oscillation, whiteness
from control.assess.mismatch import Mismatch, gain_mismatch

__all__ = [
    "Cost",
    "Finding",
    "Mismatch",
    "Oscillation",
    "Whiteness",
    "assess",
    "assess_estimate",
    "assess_material",
    "constraint_costs",
    "gain_mismatch",
    "harris_index",
    "oscillation",
    "time_in_control",
    "travel_pct",
    "whiteness",
]
