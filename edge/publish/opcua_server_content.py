"""What the server shows of a line: one entry a variable, its shape and how it is read off a look at the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from control.settings import Setpoint
from edge.config import LineConfig
from edge.hmi.screen import MODES
from edge.publish.opcua_server_look import View
from edge.publish.opcua_server_tree import (
    BAD,
    COUNT,
    DOUBLE,
    FLAG,
    GOOD,
    MOMENT,
    NOTHING,
    OLD,
    TEXT,
    TEXTS,
    UNCERTAIN,
    WAITING,
    Shape,
)

BYTES = Shape(ua.VariantType.Byte, array=True)
MOMENTS = Shape(ua.VariantType.DateTime, array=True)
Told = tuple[Any, str, float]
"""Value, status name, source time (s since the epoch, NaN: now)."""


@dataclass(frozen=True)
class Entry:
    """One variable: path, shape, what it holds after a look; parent: of the tree, None: the path's own."""

    path: str
    shape: Shape
    told: Callable[[View], Told]
    parent: str | None = None


def fresh(view: View, value: Any, time_s: float = math.nan) -> Told:
    """A value of the newest cycle: good while cycles come in, else the last usable one."""
    if view.live.thought is None:
        return None, WAITING, math.nan
    return value, OLD if view.live.stale else GOOD, view.live.time_s if math.isnan(time_s) else time_s


def judged(view: View, value: float | None, quality: str, time_s: float) -> Told:
    """A number that has a quality of its own."""
    if view.live.thought is None:
        return None, WAITING, math.nan
    if value is None:
        return None, NOTHING, time_s
    status = {"good": GOOD, "uncertain": UNCERTAIN}.get(quality, BAD)
    return value, OLD if status == GOOD and view.live.stale else status, time_s


def entries(root: str, config: LineConfig) -> tuple[Entry, ...]:
    """State, Observer, Alarms, Recommendation and Record of a line, below the path root."""
    found = [*_state(f"{root}/State", config), *_alarms(f"{root}/Alarms"), *_record(f"{root}/Record")]
    if config.mv:
        found += [*_observer(f"{root}/Observer"), *_recommendation(f"{root}/Recommendation")]
        for mv in config.setpoints:
            found += _setpoint(f"{root}/Recommendation/{mv.name}", mv)
    return tuple(found)


def _state(at: str, config: LineConfig) -> list[Entry]:
    ceiling = MODES.index(config.line.mode_ceiling.value)
    return [
        Entry(f"{at}/Mode", TEXT, lambda v: fresh(v, v.thought.get("mode"))),
        Entry(f"{at}/ModesAllowed", TEXTS, lambda _: (MODES[: ceiling + 1], GOOD, math.nan)),
        Entry(f"{at}/Handshake", TEXT, lambda v: fresh(v, v.thought.get("handshake"))),
        Entry(f"{at}/Authority", TEXT, lambda v: fresh(v, v.thought.get("authority"))),
        Entry(f"{at}/Holding", FLAG, lambda v: fresh(v, bool(_command(v).get("holding")))),
        Entry(f"{at}/Diverting", FLAG, lambda v: fresh(v, bool(_command(v).get("divert")))),
        Entry(f"{at}/Reasons", TEXTS, lambda v: fresh(v, tuple(_command(v).get("reasons") or ()))),
        Entry(f"{at}/Link", TEXT, lambda v: fresh(v, v.live.sample.get("link"))),
        Entry(f"{at}/LinkReason", TEXT, lambda v: fresh(v, v.live.sample.get("reason"))),
        Entry(f"{at}/Cycle", COUNT, lambda v: fresh(v, v.live.sample.get("cycle"))),
        Entry(f"{at}/CycleRecord", COUNT, lambda v: fresh(v, v.live.seq)),
        Entry(f"{at}/CycleTime", MOMENT, lambda v: fresh(v, v.live.time_s)),
        Entry(f"{at}/Stale", FLAG, lambda v: (v.live.stale, GOOD, math.nan)),
        Entry(f"{at}/Batch", TEXT, lambda v: fresh(v, (v.live.sample.get("context") or {}).get("batch"))),
        Entry(f"{at}/Product", TEXT, lambda v: fresh(v, (v.live.sample.get("context") or {}).get("product"))),
        Entry(f"{at}/ConfigHash", TEXT, lambda v: _known(v.live.start.get("config_hash"))),
        Entry(f"{at}/Software", TEXT, lambda v: _known(v.live.start.get("software"))),
    ]


def _observer(at: str) -> list[Entry]:
    def of(name: str, key: str, unit: str) -> Entry:
        def told(view: View) -> Told:
            belief = view.thought.get("belief") or {}
            return judged(view, belief.get(key), str(belief.get("quality", "bad")), view.live.time_s)

        return Entry(f"{at}/{name}", Shape(ua.VariantType.Double, unit), told)

    return [
        of("ApiPct", "api_pct", "% w/w"),
        of("ApiSigmaPct", "api_sigma_pct", "% w/w"),
        of("ApiGain", "api_gain", "1"),
        of("NirBiasPct", "nir_bias_pct", "% w/w"),
        of("TabletWeightMg", "tablet_weight_mg", "mg"),
        Entry(f"{at}/Reason", TEXT, lambda v: fresh(v, (v.thought.get("belief") or {}).get("reason"))),
    ]


def _alarms(at: str) -> list[Entry]:
    def each(key: str) -> Callable[[View], Told]:
        return lambda v: fresh(v, tuple(alarm[key] for alarm in v.thought.get("alarms") or ()))

    return [
        Entry(f"{at}/Names", TEXTS, each("name")),
        Entry(f"{at}/Texts", TEXTS, each("text")),
        Entry(f"{at}/Priorities", BYTES, each("priority")),
        Entry(f"{at}/Since", MOMENTS, each("since_s")),
    ]


def _recommendation(at: str) -> list[Entry]:
    def reason(view: View) -> Told:
        decision = view.thought.get("decision") or {}
        return fresh(view, decision.get("reason") if view.thought.get("mode") != "monitor" else None)

    return [
        Entry(f"{at}/Reason", TEXT, reason),
        Entry(f"{at}/Controller", TEXT, lambda v: fresh(v, (v.thought.get("decision") or {}).get("controller"))),
        Entry(f"{at}/MayAnswer", FLAG, lambda v: fresh(v, may_answer(v))),
        Entry(f"{at}/LastWrite", TEXT, lambda v: fresh(v, (v.live.sample.get("acted") or {}).get("outcome"))),
    ]


def may_answer(view: View) -> bool:
    """Is there a recommendation that a person may accept or decline now? As on the operator's page."""
    return view.thought.get("mode") == "advise" and not view.live.stale and bool(_command(view).get("recommended"))


def _setpoint(at: str, mv: Setpoint) -> list[Entry]:
    number = Shape(ua.VariantType.Double, mv.unit, mv.low, mv.high)

    def current(view: View) -> Told:
        seen = (view.live.sample.get("readings") or {}).get(f"{mv.name}.SP_Working") or {}
        time_s = float(seen.get("time_s", view.live.time_s))
        return judged(view, seen.get("value"), str(seen.get("quality", "bad")), time_s)

    def recommended(view: View) -> Told:  # R5: in monitor nothing to act on is shown
        shown = _command(view).get("recommended") or {} if view.thought.get("mode") != "monitor" else {}
        return fresh(view, shown.get(mv.name))

    return [
        Entry(f"{at}/Current", number, current),
        Entry(f"{at}/Recommended", number, recommended),
        Entry(f"{at}/Written", number, lambda v: fresh(v, (_command(v).get("writes") or {}).get(mv.name))),
    ]


def _record(at: str) -> list[Entry]:
    def head(read: Callable[[Any], Any]) -> Callable[[View], Told]:
        return lambda v: (None, WAITING, math.nan) if v.head is None else (read(v.head), GOOD, v.head.time_s)

    def signed(key: str) -> Callable[[View], Told]:
        def told(view: View) -> Told:
            value = view.checkpoint.get(key)
            return (None, NOTHING, math.nan) if value is None else (value, GOOD, view.checkpoint_time_s)

        return told

    return [
        Entry(f"{at}/HeadSeq", COUNT, head(lambda row: row.seq)),
        Entry(f"{at}/HeadHash", TEXT, head(lambda row: row.hash.hex())),
        Entry(f"{at}/HeadTime", MOMENT, head(lambda row: row.time_s)),
        Entry(f"{at}/CheckpointSeq", COUNT, signed("seq")),
        Entry(f"{at}/CheckpointHash", TEXT, signed("hash")),
        Entry(f"{at}/CheckpointSignature", TEXT, signed("signature")),
        Entry(f"{at}/CheckpointKey", TEXT, signed("key_id")),
        # What a historian keeps of this finds later that the whole record was put back or replaced.
        Entry(f"{at}/Anchor", TEXT, lambda v: (v.anchor, GOOD, math.nan) if v.anchor else (None, NOTHING, math.nan)),
    ]


def _command(view: View) -> Mapping[str, Any]:
    found: Mapping[str, Any] = view.thought.get("command") or {}
    return found


def _known(value: Any) -> Told:
    return (None, WAITING, math.nan) if value is None else (str(value), GOOD, math.nan)


__all__ = ["DOUBLE", "Entry", "Told", "entries", "fresh", "judged", "may_answer"]
