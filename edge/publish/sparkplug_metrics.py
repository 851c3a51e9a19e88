"""one record of the journal -> its Sparkplug metrics: fixed names, types and units for a line, by alias in data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.config import LineConfig
from edge.publish.sparkplug_payload import DataType, Metric, Value
from edge.record.chain import Row

MOST_BODY = 8192  # characters of a record's own text that travel; more is cut and marked
Pick = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[Value, str | None]]  # of sample, thought


@dataclass(frozen=True)
class Definition:
    """One metric of a line: its name, type, unit, and where it stands in a cycle (None: in every record)."""

    name: str
    datatype: DataType
    unit: str | None
    pick: Pick | None


RECORD = (
    Definition("Record/Seq", DataType.UINT64, None, None),
    Definition("Record/Hash", DataType.STRING, None, None),
    Definition("Record/Kind", DataType.STRING, None, None),
    Definition("Record/Body", DataType.STRING, None, None),
    Definition("Record/LostFrom", DataType.UINT64, None, None),
    Definition("Record/LostTo", DataType.UINT64, None, None),
)


def definitions(config: LineConfig) -> tuple[Definition, ...]:
    """All metrics of a line; their place in the tuple is their alias."""
    text, number, flag = DataType.STRING, DataType.DOUBLE, DataType.BOOLEAN
    found = [
        *RECORD,
        Definition("Line/Mode", text, None, _of_thought("mode")),
        Definition("Line/Link", text, None, lambda sample, _: (sample.get("link"), None)),
        Definition("Line/Handshake", text, None, _of_thought("handshake")),
        Definition("Line/Holding", flag, None, _of_thought("command", "holding")),
        Definition("Line/Diverting", flag, None, _of_thought("command", "divert")),
        Definition("Line/Reasons", text, None, lambda _, thought: (_joined(thought, "command", "reasons"), None)),
        Definition("Line/Alarms", text, None, lambda _, t: ("; ".join(a["name"] for a in t.get("alarms") or ()), None)),
        Definition("Context/Batch", text, None, lambda sample, _: (_at(sample, "context", "batch"), None)),
        Definition("Context/Product", text, None, lambda sample, _: (_at(sample, "context", "product"), None)),
    ]
    for name in ("value", "lower", "upper", "t2", "t2_limit", "q", "q_limit"):
        found.append(Definition(f"Estimate/{name}", number, None, _estimate(name)))
    units = {"api_pct": "%{w/w}", "api_sigma_pct": "%{w/w}", "nir_bias_pct": "%{w/w}", "tablet_weight_mg": "mg"}
    for name in (*units, "api_gain", "loss_probability", "nir_jump_probability"):
        found.append(Definition(f"Belief/{name}", number, units.get(name), _belief(name)))
    for mv in config.setpoints:
        found.append(Definition(f"Setpoint/{mv.name}/Working", number, mv.unit, _reading(f"{mv.name}.SP_Working")))
        for label, part in (("Recommended", "recommended"), ("Written", "writes")):
            pick = _of_thought("command", part, mv.name)
            found.append(Definition(f"Setpoint/{mv.name}/{label}", number, mv.unit, pick))
    units = {"assay_pct": "%{w/w}", "tablet_weight_mg": "mg", "hardness_n": "N", "sample_time_s": "s"}
    for name, unit in units.items():
        found.append(Definition(f"Lab/{name}", number, unit, _lab(name)))
    return tuple(found)


def birth(known: tuple[Definition, ...], time_ms: int) -> tuple[Metric, ...]:
    """Every metric with name, alias, type and unit, its value not known yet."""
    return tuple(
        Metric(None, one.datatype, time_ms, name=one.name, alias=alias, unit=one.unit)
        for alias, one in enumerate(known)
    )


def metrics(
    known: tuple[Definition, ...], row: Row, lost: tuple[int, int] | None, *, historical: bool
) -> tuple[Metric, ...]:
    """A record's metrics, by alias: of a cycle what it saw and concluded, of another record its text.

    lost: numbers just before it that the journal does not hold any more.
    """
    time_ms = round(1000 * row.time_s)
    first, last = lost or (None, None)
    told: dict[str, Value] = {"Record/Seq": row.seq, "Record/Hash": row.hash.hex(), "Record/Kind": row.kind}
    if lost is not None:
        told |= {"Record/LostFrom": first, "Record/LostTo": last}
    found = []
    if row.kind == "cycle":
        body = row.content()
        sample, thought = body.get("sample") or {}, body.get("thought") or {}
        for alias, one in enumerate(known):
            if one.pick is not None:
                value, quality = one.pick(sample, thought)
                found.append((alias, one, value, quality))
    else:
        text = row.body.decode("ascii")
        told["Record/Body"] = text if len(text) <= MOST_BODY else text[:MOST_BODY] + " [cut]"
    head = [(alias, one, told[one.name], None) for alias, one in enumerate(known) if one.name in told]
    return tuple(
        Metric(value, one.datatype, time_ms, alias=alias, historical=historical, quality=quality)
        for alias, one, value, quality in [*head, *found]
    )


def _at(table: Any, *keys: str) -> Any:
    for key in keys:
        table = (table or {}).get(key)
    return table


def _joined(table: Any, *keys: str) -> str:
    return "; ".join(_at(table, *keys) or ())


def _of_thought(*keys: str) -> Pick:
    return lambda _, thought: (_at(thought, *keys), None)


def _estimate(name: str) -> Pick:
    return lambda _, thought: (_at(thought, "estimate", name), _at(thought, "estimate", "quality"))


def _belief(name: str) -> Pick:
    return lambda _, thought: (_at(thought, "belief", name), _at(thought, "belief", "quality"))


def _reading(tag: str) -> Pick:
    return lambda sample, _: (_at(sample, "readings", tag, "value"), _at(sample, "readings", tag, "quality"))


def _lab(name: str) -> Pick:
    def pick(sample: Mapping[str, Any], _: Mapping[str, Any]) -> tuple[Value, str | None]:
        results = [*(sample.get("lab") or ()), *(sample.get("lims") or ())]
        return (results[-1].get(name) if results else None), None

    return pick
