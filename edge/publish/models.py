"""soft sensor -> ADI chemometric model: a prediction with its limits, statistics and alarm states (OPC 10020, annex G).

Type and reference numbers are those of the ADI nodeset: 2008 ProcessVariableType, 2009 MVAModelType, 2010
MVAOutputParameterType, 3009 AlarmStateEnumeration, 4001 HasDataSource, 4002 HasInput, 4003 HasOutput.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from asyncua import ua

from edge.config import LineConfig
from edge.publish.opcua_server_content import Entry, Told, fresh, judged
from edge.publish.opcua_server_look import View
from edge.publish.opcua_server_tree import GOOD, NOTHING, TEXT, WAITING, Shape, unit_information
from edge.units import UnitError

PROCESS_VARIABLE, MODEL, OUTPUT, ALARM_STATE = 2008, 2009, 2010, 3009
HAS_DATA_SOURCE, HAS_INPUT, HAS_OUTPUT = 4001, 4002, 4003
WARNING_SHARE = 0.6  # of the alarm limit: +-3 % of label claim where material is diverted at +-5 %
STATISTICS = ("t2", "q")
REFUSED_AT = 3.0  # times the limit, where the card does not say from where on an estimate is refused


class AlarmState(IntEnum):
    """AlarmStateEnumeration of ADI."""

    NORMAL = 0
    WARNING_LOW = 1
    WARNING_HIGH = 2
    WARNING = 4
    ALARM_LOW = 8
    ALARM_HIGH = 16
    ALARM = 32


@dataclass(frozen=True)
class Limits:
    """Between which values a parameter is normal, and between which it is no alarm; infinite: no such limit."""

    warning_low: float = -math.inf
    warning_high: float = math.inf
    alarm_low: float = -math.inf
    alarm_high: float = math.inf

    def state(self, value: float, quality: str) -> AlarmState:
        """Where a value stands; a bad or uncertain one is an alarm or a warning whatever it says."""
        if quality == "bad" or not math.isfinite(value):
            return AlarmState.ALARM
        if value < self.alarm_low or value > self.alarm_high:
            return AlarmState.ALARM_LOW if value < self.alarm_low else AlarmState.ALARM_HIGH
        if value < self.warning_low or value > self.warning_high:
            return AlarmState.WARNING_LOW if value < self.warning_low else AlarmState.WARNING_HIGH
        return AlarmState.NORMAL if quality == "good" else AlarmState.WARNING


@dataclass(frozen=True)
class Model:
    """One soft sensor in the tree: its entries in the order they are made, and the references between them."""

    entries: tuple[Entry, ...]
    references: tuple[tuple[str, int, str], ...]


def model(root: str, config: LineConfig) -> Model:
    """The line's soft sensor below `root`/SoftSensors and its process variable below `root`/ProcessVariables."""
    name = sensor_name(config)
    at = f"{root}/SoftSensors/{name}"
    out, source = f"{at}/Prediction", f"{root}/ProcessVariables/{name}"
    numbers = Shape(ua.VariantType.Double, array=True, reference=HAS_INPUT)
    found = [
        Entry(at, Shape(ua.VariantType.ByteString, type_id=MODEL), _digest),
        *_about(at),
        Entry(f"{at}/Spectrum", numbers, lambda v: _spectrum(v, lambda s: tuple(map(float, s.values)))),
        Entry(
            f"{at}/Spectrum/Axis",
            replace(numbers, reference=None),
            lambda v: _spectrum(v, lambda s: tuple(map(float, s.axis))),
        ),
        Entry(f"{at}/Spectrum/AxisUnit", TEXT, lambda v: _spectrum(v, lambda s: s.axis_unit)),
        Entry(f"{at}/Spectrum/Counter", Shape(ua.VariantType.UInt32), lambda v: _spectrum(v, lambda s: s.counter)),
        *_output(out, HAS_OUTPUT, "value", lambda v: _value_limits(v, config)),
        *_measured(out),
        Entry(f"{out}/Outcome", TEXT, lambda v: fresh(v, _estimate(v).get("outcome"))),
    ]
    for leaf, key in (("T2", "t2"), ("Q", "q")):
        found += _output(f"{out}/{leaf}", None, key, lambda v, key=key: _statistic_limits(v, key))  # type: ignore[misc]
    for leaf, key in (("Lower", "lower"), ("Upper", "upper"), ("Sigma", "sigma")):
        found.append(Entry(f"{out}/{leaf}", Shape(ua.VariantType.Double), _number(key)))
    found.append(Entry(source, Shape(ua.VariantType.Double, type_id=PROCESS_VARIABLE), _number("value")))
    return Model(tuple(found), ((source, HAS_DATA_SOURCE, out),))


def sensor_name(config: LineConfig) -> str:
    """What the soft sensor is called: the model of the registry, or the bundle's folder."""
    bundle = config.sensor.bundle
    return (config.sensor.model or ("model" if bundle is None else bundle.name)).replace("/", "_")


def _about(at: str) -> Iterable[Entry]:
    """The properties of the model: those of ADI, and what tells which version may do what until when."""
    words = Shape(ua.VariantType.LocalizedText, prop=True, space="adi")
    main = Shape(ua.VariantType.Int32, prop=True, space="adi")
    made = Shape(ua.VariantType.DateTime, prop=True, space="adi")
    ours = replace(TEXT, prop=True)
    licence: Callable[[View], Mapping[str, Any]] = lambda v: v.live.sample.get("licence") or {}  # noqa: E731
    return (
        Entry(f"{at}/Name", words, lambda v: _card(v, v.card.get("name"))),
        # The card does not date a model: it is as old as its first record, or older.
        Entry(f"{at}/CreationDate", made, lambda v: _card(v, v.card_time_s)),
        Entry(f"{at}/ModelDescription", words, lambda v: _card(v, description(v.card))),
        Entry(f"{at}/MainDataIndex", main, lambda _: (0, GOOD, math.nan)),
        Entry(f"{at}/BundleHash", ours, lambda v: _card(v, v.bundle_hash)),
        Entry(f"{at}/State", ours, lambda v: fresh(v, licence(v).get("state"))),
        Entry(f"{at}/ValidUntil", replace(made, space="ours"), lambda v: fresh(v, licence(v).get("valid_until_s"))),
    )


def description(card: Mapping[str, Any]) -> str:
    """What a person reads about the model."""
    axis = card.get("axis") or [math.nan]
    return (
        f"{card.get('cqa')} in {card.get('unit')}, {card.get('target')}; "
        f"{len(axis)} channels from {axis[0]:g} to {axis[-1]:g} {card.get('axis_unit')}; {card.get('family', 'PLS')}, "
        f"{card.get('pretreatment')}, {card.get('n_latent')} latent variables; calibrated on {card.get('n_samples')} "
        f"samples from {card.get('reference_low')} to {card.get('reference_high')} {card.get('unit')}, "
        f"RMSECV {float(card.get('rmsecv', math.nan)):.3g}"
    )


def _output(at: str, reference: int | None, key: str, limits: Callable[[View], Limits]) -> list[Entry]:
    """An MVAOutputParameterType with its value, limits and state."""
    prop = Shape(ua.VariantType.ExtensionObject, prop=True, space="adi", data_type=ua.NodeId(ua.ObjectIds.Range))
    state = Shape(ua.VariantType.Int32, prop=True, space="adi")
    told = Shape(ua.VariantType.String, prop=True, space="adi")
    return [
        Entry(at, Shape(ua.VariantType.Double, type_id=OUTPUT, reference=reference), _number(key)),
        Entry(f"{at}/WarningLimits", prop, lambda v: _range(v, limits(v).warning_low, limits(v).warning_high)),
        Entry(f"{at}/AlarmLimits", prop, lambda v: _range(v, limits(v).alarm_low, limits(v).alarm_high)),
        Entry(f"{at}/AlarmState", state, lambda v: _state(v, key, limits(v))),
        Entry(f"{at}/VendorSpecificError", told, lambda v: fresh(v, _estimate(v).get("reason"))),
    ]


def _measured(at: str) -> list[Entry]:
    """Unit and range of the prediction, as on the card: three times the range that it was calibrated in."""
    prop = Shape(ua.VariantType.ExtensionObject, prop=True, space="ua")

    def span(view: View) -> Told:
        low, high = view.card.get("reference_low"), view.card.get("reference_high")
        if low is None or high is None:
            return _card(view, None)
        return _range(view, 2 * float(low) - float(high), 2 * float(high) - float(low))

    def unit(view: View) -> Told:
        try:
            return _card(view, unit_information(str(view.card.get("unit", "1"))))
        except UnitError:  # a unit of the site's own: the description still says it
            return _card(view, None)

    return [
        Entry(f"{at}/EURange", replace(prop, data_type=ua.NodeId(ua.ObjectIds.Range)), span),
        Entry(f"{at}/EngineeringUnits", replace(prop, data_type=ua.NodeId(ua.ObjectIds.EUInformation)), unit),
    ]


def _value_limits(view: View, config: LineConfig) -> Limits:
    """Where material is diverted; on a line that is only watched, the range the model was calibrated in."""
    target = view.thought.get("target")
    if target is not None and config.diversion is not None:
        aim, share = float(target["api_pct"]), config.diversion.api_limit_lc_pct / 100
        near = WARNING_SHARE * share
        return Limits(aim * (1 - near), aim * (1 + near), aim * (1 - share), aim * (1 + share))
    low, high = view.card.get("reference_low"), view.card.get("reference_high")
    return Limits() if low is None or high is None else Limits(float(low), float(high))


def _statistic_limits(view: View, key: str) -> Limits:
    """The card's limit, and the multiple of it from which on an estimate is refused."""
    limit = _estimate(view).get(f"{key}_limit")
    if limit is None:
        return Limits()
    return Limits(0.0, float(limit), 0.0, float(limit) * float(view.card.get("refuse_factor", REFUSED_AT)))


def _range(view: View, low: float, high: float) -> Told:
    if not (math.isfinite(low) and math.isfinite(high)):
        return None, WAITING if view.live.thought is None else NOTHING, math.nan
    return ua.Range(low, high), GOOD, math.nan


def _state(view: View, key: str, limits: Limits) -> Told:
    found = _estimate(view)
    if not found:
        return fresh(view, None)
    return fresh(view, int(limits.state(float(found[key]), _quality(found, key))), float(found["time_s"]))


def _number(key: str) -> Callable[[View], Told]:
    def told(view: View) -> Told:
        found = _estimate(view)
        time_s = float(found.get("time_s", view.live.time_s))
        return judged(view, found.get(key), _quality(found, key), time_s)

    return told


def _quality(found: Mapping[str, Any], key: str) -> str:
    """A statistic is as good as its own number: it is what makes an estimate bad."""
    return "good" if key in STATISTICS else str(found.get("quality", "bad"))


def _spectrum(view: View, read: Callable[[Any], Any]) -> Told:
    if view.spectrum is None:
        return None, WAITING if view.live.thought is None else NOTHING, math.nan
    return fresh(view, read(view.spectrum), view.spectrum.time_s)


def _digest(view: View) -> Told:
    return (bytes.fromhex(view.bundle_hash), GOOD, math.nan) if view.bundle_hash else (None, WAITING, math.nan)


def _card(view: View, value: Any) -> Told:
    return (value, GOOD, math.nan) if view.card else (None, WAITING, math.nan)


def _estimate(view: View) -> Mapping[str, Any]:
    found: Mapping[str, Any] = view.thought.get("estimate") or {}
    return found
