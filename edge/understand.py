"""readings -> what they mean for control: target, feeders, limits, and whether all that is needed is fresh."""

from __future__ import annotations

import math
from dataclasses import replace

from control.guard import Permission
from control.settings import ControlSettings, Setpoint
from control.signals import Envelope, FeederReading, Quality, Reading, Target
from edge.signals import Acted, Link, Scan

BEYOND = 2.0  # times a setpoint's high limit: no feeder or press gives that, nor less than nothing by a tenth of it
RECIPE = ("Recipe.ApiPct", "Recipe.ThroughputKgH", "Recipe.TabletWeightMg")
RECIPE_LEAST = 1e-3  # % w/w, kg/h, mg: no line is asked for less, and times through the line would be no numbers
RECIPE_BELOW = dict(zip(RECIPE, (100.0, 1000.0, 5000.0), strict=True))  # % w/w, kg/h, mg: beyond what any line is asked


def reading(scan: Scan, tag: str) -> Reading:
    """The tag's reading; a bad one that says so when the line did not give it, or gave what is no number."""
    found = scan.readings.get(tag)
    if found is None:
        return Reading(math.nan, scan.time_s, Quality.BAD, f"{tag} is not there")
    if found.quality is Quality.BAD:
        return found
    if not math.isfinite(found.value):
        return replace(found, quality=Quality.BAD, reason="not finite")
    if tag in RECIPE_BELOW and not RECIPE_LEAST < found.value < RECIPE_BELOW[tag]:
        return replace(found, quality=Quality.BAD, reason=f"{found.value:.4g} is not possible")
    return found


def possible(mv: Setpoint, found: Reading) -> Reading:
    """A reading in a setpoint's own unit (kg/h, kN), bad where it is more, or less, than the line can give."""
    if found.quality is Quality.BAD or -BEYOND / 20 * mv.high <= found.value <= BEYOND * mv.high:
        return found
    return replace(found, quality=Quality.BAD, reason=f"{found.value:.4g} {mv.unit} is not possible")


def usable(value: Reading) -> bool:
    """Whether a number may be built on: not bad, and finite."""
    return value.quality is not Quality.BAD and math.isfinite(value.value)


def target(scan: Scan) -> Target | None:
    """What the recipe asks for; None when it cannot be read."""
    values = [reading(scan, tag) for tag in RECIPE]
    if not all(usable(v) for v in values):
        return None
    return Target(*(v.value for v in values))


def feeders(settings: ControlSettings, scan: Scan) -> dict[str, FeederReading]:
    """The feeders' readings by setpoint name; a feeder whose 'volumetric' flag is unknown counts as blind.

    A flow that the feeder cannot give is bad, whatever its own quality says.
    """
    found = {}
    for mv in settings.mv:
        if mv.role == "force":
            continue
        blind = reading(scan, f"{mv.name}.Volumetric")
        found[mv.name] = FeederReading(
            flow_kg_h=possible(mv, reading(scan, f"{mv.name}.PV")),
            hopper_kg=reading(scan, f"{mv.name}.HopperKg"),
            screw_rpm=reading(scan, f"{mv.name}.ScrewRpm"),
            volumetric=not usable(blind) or blind.value != 0,
        )
    return found


def working(settings: ControlSettings, scan: Scan) -> dict[str, float]:
    """The setpoints the PLC works with, read back; NaN where unknown, or where no PLC would work with them."""
    found = {mv.name: possible(mv, reading(scan, f"{mv.name}.SP_Working")) for mv in settings.setpoints}
    return {name: value.value if usable(value) else math.nan for name, value in found.items()}


def envelopes(settings: ControlSettings, scan: Scan) -> dict[str, Envelope]:
    """Own limits and the PLC's, whichever is tighter; what the PLC does not tell is left to our own."""
    found = {}
    for mv in settings.setpoints:
        plc = {key: reading(scan, f"{mv.name}.{key}") for key in ("SP_LoLim", "SP_HiLim", "SP_RateLim", "DevLimit")}
        low = max(mv.low, plc["SP_LoLim"].value) if usable(plc["SP_LoLim"]) else mv.low
        high = min(mv.high, plc["SP_HiLim"].value) if usable(plc["SP_HiLim"]) else mv.high
        rate = min(mv.rate_per_s, plc["SP_RateLim"].value) if usable(plc["SP_RateLim"]) else mv.rate_per_s
        if usable(plc["DevLimit"]):
            rate = min(rate, plc["DevLimit"].value / settings.cycle_s)
        free = scan.readings.get(f"{mv.name}.Available")
        available = free is None or (usable(free) and free.value != 0)
        found[mv.name] = Envelope(low, max(low, high), rate, available, mv.resolution or 0.0)
    return found


def freshness(settings: ControlSettings, scan: Scan, acted: Acted) -> Permission:
    """Whether everything that a move rests on is there, good and fresh; the first thing that is not is named.

    Not the NIR: without it the authority of its corrections fades until plain ratio control is left.
    """
    if scan.link is Link.LOST:
        return Permission(given=False, reason=f"no connection to the line: {scan.reason}")
    if scan.link is Link.STALE:
        return Permission(given=False, reason=scan.reason or "nothing in the line moves")
    if acted.outcome == "unknown":
        return Permission(given=False, reason="the fate of the last write is not known")
    if acted.read_back == "foreign":
        told = "; ".join(f"{tag} {said}" for tag, said in sorted(acted.codes.items()))
        return Permission(given=False, reason=f"the PLC has setpoints that are not ours: {told}")
    needed = [*RECIPE, *(f"{mv.name}.SP_Working" for mv in settings.setpoints)]
    found = {tag: reading(scan, tag) for tag in needed}
    found |= {f"{n}.PV": f.flow_kg_h for n, f in feeders(settings, scan).items() if not f.volumetric}
    for tag, value in found.items():
        if value.quality is not Quality.GOOD:
            return Permission(given=False, reason=f"{tag}: {value.reason or value.quality.value}")
    return Permission(given=True)
