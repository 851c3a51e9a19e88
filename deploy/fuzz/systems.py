"""Targets: what other systems send: LIMS files, units, Sparkplug payloads, requests to the pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploy.fuzz.target import Broken, Once, Target

RESULT = b'{"sample_id":"S","sample_time":"2026-11-23T09:12:00Z","assay":"99.1","assay_unit":"%{label}"}'
FILE = b"sample_id;sample_time;assay;assay_unit;weight;weight_unit;reason\n" \
       b"S-17;2026-11-23T09:12:00+00:00;9.91;%{w/w};250.1;mg;\nS-18;2026-11-23T09:40:00Z;99,5;%{label};;;typo\n"
UNITS = (b"%{w/w}", b"kg/h", b"g/(cm3.s)", b"1/min", b"mg", b"% LC", b"kN", b"m2.s-2", b"Cel", b"10*3/uL", b"{rev}/min")


def targets() -> tuple[Target, ...]:
    """Every message of another system."""
    from edge.lab.result import ResultError
    from edge.units import UnitError

    words = (b'"assay":', b"sample_time", b"{w/w}", b"%{label}", b"1e400", b'"results":[')
    return (
        Target("lims_csv", lambda: (FILE, FILE.replace(b";", b",")), lambda _: _lims("x.csv"), (ResultError,),
               ("edge/lab", "edge/units.py"), words),
        Target("lims_json", lambda: (RESULT, b"[" + RESULT + b"," + RESULT + b"]", b'{"results":[' + RESULT + b"]}"),
               lambda _: _lims("x.json"), (ResultError,), ("edge/lab", "edge/units.py"), words),
        Target("unit", lambda: UNITS, lambda _: _unit, (UnitError,), ("edge/units.py",),
               (b"/", b".", b"{", b"}", b"(", b")", b"-2", b"k", b"10*"), most=200),
        Target("sparkplug", _payloads, lambda _: _sparkplug, (ValueError,), ("edge/publish/sparkplug_payload.py",)),
    )  # fmt: skip


def _lims(name: str) -> Once:
    from edge.lab.files import read_results
    from edge.lab.result import QUANTITIES, ResultError, converted

    def once(raw: bytes) -> object:
        entries = read_results(name, raw)
        for entry in entries:
            if (entry.told is None) == (not entry.why):
                raise Broken(f"entry {entry.number}: neither a result nor a reason, or both")
            if entry.told is None:
                continue
            try:
                values = converted(entry.told, 10.0)
            except ResultError:
                continue
            told = {QUANTITIES[name].recorded for name in entry.told.values}
            if not all(math.isfinite(values[name]) for name in told):
                raise Broken(f"entry {entry.number}: {values}")
        return entries

    return once


def _unit(raw: bytes) -> object:
    from edge.units import parse_unit

    found = parse_unit(raw.decode("utf-8", "replace"))
    if not (math.isfinite(found.factor) and found.factor != 0):
        raise Broken(f"a unit of {found.factor}")
    return found


def _payloads() -> Sequence[bytes]:
    from edge.publish.sparkplug_payload import DataType, Metric, Payload, encode

    rebirth = Metric(True, DataType.BOOLEAN, 1_700_000_000_000, name="Node Control/Rebirth")
    row = Metric(7, DataType.INT64, 1_700_000_000_000, alias=0, quality="good")
    text = Metric("closed", DataType.STRING, 1_700_000_000_000, name="mode", unit="1", historical=True)
    number = Metric(1.5, DataType.DOUBLE, 1_700_000_000_000, alias=3, name="api", unit="%")
    return [encode(Payload(1_700_000_000_000, metrics, 1)) for metrics in ((rebirth,), (row, text, number), ())]


def _sparkplug(raw: bytes) -> object:
    from edge.publish.sparkplug_payload import decode

    return decode(raw)
