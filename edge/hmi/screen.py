"""what was recorded -> what stands on the screen: every word and number as it is shown, and what is abnormal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edge.hmi.live import Asked, Live, scale_of
from edge.hmi.sensor import sensor_line, widened
from edge.hmi.trend import ACTION_LIMIT_LC_PCT, Trend, draw
from edge.record.recorded import told_setpoints

MODE_SAYS = {
    "monitor": "watching only: nothing is recommended, nothing is moved",
    "advise": "recommends: you decide, you move",
    "closed": "moves the setpoints itself",
}
MODES = ("monitor", "advise", "closed")
NONE = "–"
SUSPECTED_PCT = 20.0  # our choice: below, it comes and goes with the noise


@dataclass(frozen=True)
class Big:
    """A big number; spread: its uncertainty in words; quality and reason: how far to trust it; source: who says so."""

    name: str
    value: str
    unit: str
    spread: str
    quality: str
    reason: str
    abnormal: bool
    source: str = ""


@dataclass(frozen=True)
class Setpoint:
    """One setpoint: what the PLC works with now and what is recommended."""

    name: str
    unit: str
    now: str
    wanted: str
    change: str
    moves: bool


@dataclass(frozen=True)
class AlarmLine:
    """One standing alarm."""

    name: str
    text: str
    priority: int
    since: str


@dataclass(frozen=True)
class Screen:
    """Everything the live part of the page shows."""

    seq: int
    line: str
    clock: str
    stale: bool
    banner: str
    mode: str
    mode_says: str
    holding: bool
    link: str
    link_lost: bool
    bigs: tuple[Big, ...]
    setpoints: tuple[Setpoint, ...]
    reason: str
    notes: tuple[str, ...]
    alarms: tuple[AlarmLine, ...]
    asked: tuple[Asked, ...]
    trend: str
    may_answer: bool
    modes: tuple[str, ...]


def screen(live: Live) -> Screen:
    """The screen for what was read last."""
    thought, sample = live.thought or {}, live.sample
    mode = str(thought.get("mode", ""))
    command = thought.get("command") or {}
    lost = sample.get("link") == "lost"
    return Screen(
        seq=live.seq,
        line=live.line,
        clock=_clock(live.time_s, "%Y-%m-%d  %H:%M:%S %Z"),
        stale=live.stale,
        banner=_banner(live),
        mode=mode.upper() or "NO CYCLE YET",
        mode_says=_mode_says(mode, thought),
        holding=bool(command.get("holding")),
        link=f"line link LOST {sample.get('reason', '')}"
        if lost
        else "line link ok"
        if sample
        else "line link unknown",
        link_lost=lost,
        bigs=_bigs(live, thought),
        setpoints=_setpoints(live, mode),
        reason=_reason(thought, mode),
        notes=(*_press(thought, mode), *(command.get("reasons") or ()), *_evidence(thought, mode)),
        alarms=tuple(
            AlarmLine(a["name"], a["text"], a["priority"], _clock(a["since_s"], "%H:%M:%S"))
            for a in thought.get("alarms") or ()
        ),
        asked=tuple(reversed(live.asked)),
        trend=draw(_trend(live, thought)) if thought else "",
        may_answer=mode == "advise" and not live.stale and bool(command.get("recommended")),
        modes=_modes(live),
    )


def _banner(live: Live) -> str:
    if live.thought is None:
        return "No cycle is on the record yet: the service has not run."
    if live.stale:
        return f"No new cycle for {live.age_s:.0f} s: what is below is OLD. The PLC runs on its own."
    return ""


def _mode_says(mode: str, thought: Mapping[str, Any]) -> str:
    if (thought.get("command") or {}).get("holding"):
        return "HOLDING: moves nothing"
    if mode == "closed" and thought.get("handshake") != "remote":
        return f"not in control yet: {thought.get('authority') or thought.get('handshake')}"
    return MODE_SAYS.get(mode, "")


def _modes(live: Live) -> tuple[str, ...]:
    """The modes that can be asked for: up to what the line file allows."""
    ceiling = ((live.start.get("config") or {}).get("line") or {}).get("mode_ceiling", "monitor")
    return MODES[: MODES.index(ceiling) + 1] if ceiling in MODES else MODES[:1]


def _bigs(live: Live, thought: Mapping[str, Any]) -> tuple[Big, ...]:
    scale, target = scale_of(thought), thought.get("target")
    unit = "% LC" if target else "%"
    bigs = []
    estimate, belief = thought.get("estimate"), thought.get("belief")
    if estimate:
        spread = f"90 %: {_number(scale * estimate['lower'], 1)} to {_number(scale * estimate['upper'], 1)}"
        spread += widened(thought)
        big = _big("API, soft sensor", scale * estimate["value"], unit, spread, estimate, target)
        off = big.abnormal or estimate.get("outcome") == "outside"
        bigs.append(replace(big, source=sensor_line(live, thought), abnormal=off))
    if belief:
        spread = f"σ {_number(scale * belief['api_sigma_pct'], 2)}"
        bigs.append(_big("API, fused", scale * belief["api_pct"], unit, spread, belief, target))
    if target:
        spread = f"{target['api_pct']:g} % w/w at {target['throughput_kg_h']:g} kg/h, {target['tablet_weight_mg']:g} mg"
        bigs.append(Big("Target", "100.0", unit, spread, "", "", abnormal=False))
    return tuple(bigs)


def _big(name: str, value: float, unit: str, spread: str, trust: Mapping[str, Any], target: object) -> Big:
    quality = str(trust["quality"])
    off = target is not None and not abs(value - 100) <= ACTION_LIMIT_LC_PCT
    return Big(name, _number(value, 1), unit, spread, quality, str(trust["reason"]), off or quality != "good")


def _setpoints(live: Live, mode: str) -> tuple[Setpoint, ...]:
    config, readings = live.start.get("config") or {}, live.sample.get("readings") or {}
    command = (live.thought or {}).get("command") or {}
    wanted = command.get("recommended") or {} if mode != "monitor" else {}
    found = []
    for mv in told_setpoints(config):
        now = (readings.get(f"{mv['name']}.SP_Working") or {}).get("value", math.nan)
        aim = wanted.get(mv["name"], math.nan)
        digits = 3 if mv["unit"] == "kg/h" else 2
        change = aim - now
        moves = math.isfinite(change) and abs(change) >= 0.5 * 10**-digits
        text = f"{change:+.{digits}f}" if moves else "0" if math.isfinite(change) else NONE
        found.append(Setpoint(mv["name"], mv["unit"], _number(now, digits), _number(aim, digits), text, moves))
    return tuple(found)


def _reason(thought: Mapping[str, Any], mode: str) -> str:
    decision = thought.get("decision")
    return str(decision["reason"]) if decision and mode != "monitor" else ""


def _press(thought: Mapping[str, Any], mode: str) -> tuple[str, ...]:
    """The press's own sentence, on a line whose press has handles."""
    move = (thought.get("decision") or {}).get("press")
    return (f"press: {move['reason']}".replace("->", "→"),) if move and mode != "monitor" else ()


def _evidence(thought: Mapping[str, Any], mode: str) -> tuple[str, ...]:
    """What takes room from the controller, what limits its move and what that costs; nothing when all is well.

    And what the observer noted, which stands there as long as it holds: what the data do not tell.
    """
    decision, room = thought.get("decision") or {}, thought.get("room") or {}
    told = list((thought.get("belief") or {}).get("notes") or ())
    if mode == "monitor":
        return tuple(told)
    if room.get("reason"):
        told.append(f"PAT has {100 * room['pat']:.0f} % of its authority: {room['reason']}")
    for active in (decision.get("active") or ())[:1]:
        told.append(f"limited by {active['name']} ({active['side']}) in {active['ahead_s']:.0f} s")
    if decision.get("priority"):
        told.append(f"no move keeps every limit: priority {decision['priority']} gives way")
    doubt = 100 * float((thought.get("belief") or {}).get("loss_probability") or 0.0)
    if doubt >= SUSPECTED_PCT:
        told.append(f"delivery may have jumped: {doubt:.0f} % sure")
    return tuple(told)


def _trend(live: Live, thought: Mapping[str, Any]) -> Trend:
    decision = thought.get("decision") or {}
    predicted = dict(decision.get("predicted") or {})
    if thought["mode"] == "monitor":  # R5: nothing to act on is shown
        predicted.pop("api_lc_pct_with_move", None)
    return Trend(
        now_s=live.time_s,
        points=live.points,
        labs=live.labs,
        target=100.0 if thought.get("target") else None,
        ahead_with_move=tuple(predicted.get("api_lc_pct_with_move") or ()),
        ahead_held=tuple(predicted.get("api_lc_pct_held") or ()),
        step_s=float(decision.get("predicted_step_s") or 1.0),
    )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else NONE


def _clock(time_s: float, form: str) -> str:
    return datetime.fromtimestamp(time_s).astimezone().strftime(form) if math.isfinite(time_s) else NONE
