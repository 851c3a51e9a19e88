"""event body -> typed values: nothing missing, nothing unknown, every number finite; and figures held to criteria."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from soft_sensors.errors import RegistryError
from soft_sensors.registry.entries import ConductCriteria, Criteria, Trial
from soft_sensors.registry.events import Event

LAST_S = 253402300799.0  # the end of the year 9999, the last that a date can name
WHOLE_PCT = 100.0

KEYS: dict[str, frozenset[str]] = {
    "found": frozenset({"public_key", "roles"}),
    "enrol": frozenset({"name", "public_key", "roles"}),
    "revoke": frozenset({"key", "reason"}),
    "register": frozenset({"model", "bundle", "criteria", "skill", "reason"}),
    "verify": frozenset({"bundle", "figures", "spectra_sha256", "reference_sha256"}),
    "fail": frozenset({"bundle", "figures", "spectra_sha256", "reference_sha256"}),
    "register_controller": frozenset({"model", "bundle", "criteria", "reason"}),
    "verify_controller": frozenset({"bundle", "figures", "evidence_sha256"}),
    "fail_controller": frozenset({"bundle", "figures", "evidence_sha256"}),
    "approve": frozenset({"bundle", "reason"}),
    "activate": frozenset({"bundle", "reason"}),
    "rollback": frozenset({"bundle", "reason"}),
    "retire": frozenset({"bundle", "reason"}),
    "challenge": frozenset({"bundle", "trial", "reason"}),
    "promote": frozenset({"bundle", "champion", "figures", "evidence_sha256"}),
    "decline": frozenset({"bundle", "champion", "figures", "evidence_sha256"}),
    "bias": frozenset({"bundle", "value", "reason"}),
}


def check_keys(event: Event) -> None:
    """RegistryError when the body lacks something or holds something that its action does not know."""
    wanted = KEYS.get(event.action)
    if wanted is not None and wanted != set(event.body):
        raise RegistryError(f"{event.action}: the event holds {sorted(event.body)}, it needs {sorted(wanted)}")


def text(event: Event, name: str) -> str:
    """A text of the body that says something. Raises RegistryError."""
    value = event.body[name]
    if not isinstance(value, str) or not value.strip():
        raise RegistryError(f"{event.action}: {name} is missing; say it")
    return value


def number(event: Event, name: str) -> float:
    """A finite number of the body. Raises RegistryError."""
    return _number(event, event.body, name)


def criteria_of(event: Event) -> Criteria:
    """The criteria that the body declares. RegistryError when they leave nothing to fail."""
    plain = _table(event, "criteria", {f.name for f in fields(Criteria)})
    found = Criteria(**{f.name: _number(event, plain, f.name) for f in fields(Criteria)})  # type: ignore[arg-type]
    counted = type(found.min_samples) is int and found.min_samples >= 1
    if not (counted and found.max_rmsep > 0 and found.max_bias >= 0):
        raise RegistryError(f"{event.action}: RMSEP and samples must be above 0, the bias bound not below")
    _dated(event, found.valid_until_s)
    if not 0 <= found.min_coverage < found.max_coverage <= 1:
        raise RegistryError(f"{event.action}: coverage is a share: 0 <= min < max <= 1")
    return found


def conduct_of(event: Event) -> ConductCriteria:
    """The criteria that the body declares for a controller. RegistryError when they leave nothing to fail."""
    plain = _table(event, "criteria", {f.name for f in fields(ConductCriteria)})
    scenarios = plain["scenarios"]
    if not isinstance(scenarios, list) or not scenarios or not all(isinstance(s, str) and s.strip() for s in scenarios):
        raise RegistryError(f"{event.action}: scenarios must name at least one")
    runs, hours = _number(event, plain, "min_runs"), _number(event, plain, "min_hours")
    most, until_s = _number(event, plain, "max_time_outside_3pct"), _number(event, plain, "valid_until_s")
    if not (type(runs) is int and runs >= 1 and hours > 0 and 0 <= most < WHOLE_PCT):
        raise RegistryError(f"{event.action}: runs and hours must be above 0, the time outside from 0 to below 100 %")
    _dated(event, until_s)
    return ConductCriteria(tuple(scenarios), runs, hours, most, until_s)


def trial_of(event: Event) -> Trial:
    """The trial that the body declares; it counts from the event's time on. RegistryError when it asks nothing."""
    plain = _table(event, "trial", {"min_results", "max_ratio", "min_coverage"})
    results, ratio = _number(event, plain, "min_results"), _number(event, plain, "max_ratio")
    coverage = _number(event, plain, "min_coverage")
    if not (results >= 2 and results == int(results) and ratio > 0 and 0 < coverage <= 1):
        raise RegistryError(f"{event.action}: 2 results or more, a ratio above 0 and a coverage of 0 to 1 are needed")
    return Trial(int(results), ratio, coverage, event.time_s)


def judge_test(criteria: Criteria | ConductCriteria, event: Event) -> str:
    """What of the declared criteria the test's figures miss; empty when they are met. Raises RegistryError."""
    if isinstance(criteria, ConductCriteria):
        return _judge_conduct(criteria, event)
    plain = _table(event, "figures", {"n", "rmsep", "bias", "coverage_90", "n_bad"})
    for name in ("spectra_sha256", "reference_sha256"):
        text(event, name)
    missed = []
    n, rmsep, coverage = (_or_nan(event, plain, name) for name in ("n", "rmsep", "coverage_90"))
    if not n >= criteria.min_samples:
        missed.append(f"{n:g} samples of {criteria.min_samples}")
    if not rmsep <= criteria.max_rmsep:
        missed.append(f"RMSEP {rmsep:.4g} above {criteria.max_rmsep:g}")
    if not criteria.min_coverage <= coverage <= criteria.max_coverage:
        missed.append(f"coverage {coverage:.3g} not in {criteria.min_coverage:g} to {criteria.max_coverage:g}")
    return "; ".join(missed)


def judge_trial(trial: Trial, event: Event) -> str:
    """What of the declared trial the figures miss; empty when they meet it. Raises RegistryError."""
    plain = _table(event, "figures", {"n", "rmsep", "champion_rmsep", "coverage"})
    text(event, "evidence_sha256")
    n, rmsep, champion, coverage = (
        _or_nan(event, plain, name) for name in ("n", "rmsep", "champion_rmsep", "coverage")
    )
    if n != trial.min_results:  # not more either: who may choose when to look chooses the result
        raise RegistryError(f"{event.action}: {n:g} results, exactly the declared {trial.min_results} are judged")
    missed = []
    if not rmsep <= trial.max_ratio * champion:
        missed.append(f"RMSEP {rmsep:.4g} against the champion's {champion:.4g}, ratio above {trial.max_ratio:g}")
    if not coverage >= trial.min_coverage:
        missed.append(f"coverage {coverage:.3g} below {trial.min_coverage:g}")
    return "; ".join(missed)


def _judge_conduct(criteria: ConductCriteria, event: Event) -> str:
    plain = _table(event, "figures", {"runs", "hours", "time_outside_3pct", "fallbacks"})
    text(event, "evidence_sha256")
    runs, hours, outside = (_or_nan(event, plain, name) for name in ("runs", "hours", "time_outside_3pct"))
    missed = []
    if not runs >= criteria.min_runs:
        missed.append(f"{runs:g} runs of {criteria.min_runs} in the scenario with the fewest")
    if not hours >= criteria.min_hours:
        missed.append(f"the shortest run is {hours:g} h of {criteria.min_hours:g}")
    if not outside <= criteria.max_time_outside_3pct:
        missed.append(f"{outside:.3g} % of the time outside +-3 %, above {criteria.max_time_outside_3pct:g} %")
    return "; ".join(missed)


def _dated(event: Event, until_s: float) -> None:
    if not 0 < until_s < LAST_S:
        raise RegistryError(f"{event.action}: the expiry is no date of this calendar")


def _table(event: Event, name: str, wanted: set[str]) -> Mapping[str, Any]:
    plain = event.body[name]
    if not isinstance(plain, dict) or set(plain) != wanted:
        raise RegistryError(f"{event.action}: {name} must hold {sorted(wanted)}")
    return plain


def _number(event: Event, plain: Mapping[str, Any], name: str) -> float:
    value = plain[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RegistryError(f"{event.action}: {name} is not a finite number")
    return value


def _or_nan(event: Event, plain: Mapping[str, Any], name: str) -> float:
    """A number that could not be worked out is null in the event."""
    return math.nan if plain[name] is None else _number(event, plain, name)
