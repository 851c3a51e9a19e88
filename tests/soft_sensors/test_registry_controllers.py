"""Every state x every action x every person, for a controller: effective by the legal way only, never by a sensor's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import check_keys
from soft_sensors.registry.entries import Kind, Person, Registry, Role, State, standing
from soft_sensors.registry.events import Event, text_of
from soft_sensors.registry.lifecycle import RULES, apply

AT_S, UNTIL_S = 1_700_000_000.0, 1_700_000_100.0
MINE, OTHER = "a" * 64, "b" * 64
ROLES = {
    "Olga": {Role.OWNER}, "Ada": {Role.AUTHOR}, "Eve": {Role.VERIFIER}, "Paul": {Role.APPROVER},
    "Max": {Role.AUTHOR, Role.VERIFIER, Role.APPROVER},
}  # fmt: skip
PEOPLE = {f"key of {name}": Person(name, "", frozenset(roles)) for name, roles in ROLES.items()}
CRITERIA = {"scenarios": ["nominal"], "min_runs": 2, "min_hours": 1.0, "max_time_outside_3pct": 10.0,
            "valid_until_s": UNTIL_S}  # fmt: skip
GOOD = {"runs": 2, "hours": 1.0, "time_outside_3pct": 10.0, "fallbacks": 3}
POOR = {**GOOD, "time_outside_3pct": 10.1}
SENSOR_CRITERIA = {"max_rmsep": 0.2, "min_coverage": 0.8, "max_coverage": 1.0, "min_samples": 20,
                   "valid_until_s": UNTIL_S, "max_bias": 0.3}  # fmt: skip
SENSOR_GOOD = {"n": 50, "rmsep": 0.1, "bias": 0.0, "coverage_90": 0.9, "n_bad": 0}
TRIAL = {"min_results": 5, "max_ratio": 1.0, "min_coverage": 0.8}
WON = {"n": 5, "rmsep": 0.1, "champion_rmsep": 0.2, "coverage": 1.0}


def event(name: str, action: str, body: dict[str, Any], at_s: float = AT_S) -> Event:
    return Event(0, "", text_of(at_s), action, name, f"key of {name}", body, "")


def step(registry: Registry, done: Event) -> Registry:
    check_keys(done)
    after = apply(registry, done)
    return replace(after, events=(*after.events, done))


def asked_of(bundle: str, model: str = "c") -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that can be asked of one bundle, as a controller first and as a soft sensor."""
    yield "register_controller", {"model": model, "bundle": bundle, "criteria": CRITERIA, "reason": "r"}
    for action in ("verify_controller", "fail_controller"):
        for figures in (GOOD, POOR):
            yield action, {"bundle": bundle, "figures": figures, "evidence_sha256": "e"}
    for action in ("approve", "activate", "rollback", "retire"):
        yield action, {"bundle": bundle, "reason": "r"}
    for action in ("verify", "fail"):
        yield action, {"bundle": bundle, "figures": SENSOR_GOOD, "spectra_sha256": "s", "reference_sha256": "r"}
    yield "challenge", {"bundle": bundle, "trial": TRIAL, "reason": "r"}
    yield "promote", {"bundle": bundle, "champion": OTHER, "figures": WON, "evidence_sha256": "e"}
    yield "bias", {"bundle": bundle, "value": 0.0, "reason": "r"}


def legal(registry: Registry, at_s: float) -> bool:
    """An oracle of its own over the events: was the controller brought into effect as it must be?"""
    mine = [e for e in registry.events if e.body.get("bundle") == MINE]
    hands = {action: {e.person for e in mine if e.action == action} for action in RULES}
    authors = {e.person for e in mine if e.action == "register_controller"}
    testers, releasers = hands["verify_controller"], hands["approve"]
    of_role = all(Role.AUTHOR in ROLES[p] for p in authors) and all(Role.VERIFIER in ROLES[p] for p in testers)
    of_role &= all(Role.APPROVER in ROLES[p] for p in releasers | hands["activate"])
    good = all(e.body["figures"] == GOOD for e in mine if e.action == "verify_controller")
    apart = not authors & testers and not releasers & (authors | testers)
    sensors = {e.action for e in mine} & {"verify", "fail", "challenge", "promote", "bias", "register"}
    ended = sensors or hands["retire"] or hands["fail_controller"] or at_s >= UNTIL_S
    return bool(authors and testers and releasers and hands["activate"] and of_role and good and apart and not ended)


@pytest.mark.parametrize("at_s", [AT_S, UNTIL_S])
def test_no_path_makes_a_controller_effective_but_the_legal_one(at_s: float) -> None:
    start = Registry("id", people=PEOPLE)
    known: set[object] = {()}
    waiting, effective, refused = [start], 0, 0
    while waiting:
        registry = waiting.pop()
        for name in ROLES:
            for action, body in asked_of(MINE):
                try:
                    after = step(registry, event(name, action, body, at_s))
                except RegistryError:
                    refused += 1
                    continue
                if after.entries[MINE].state is State.EFFECTIVE:
                    effective += 1
                    assert legal(after, at_s), [(e.person, e.action) for e in after.events]
                    assert after.entries[MINE].kind is Kind.CONTROLLER
                found = (*after.entries.values(), *after.slots.items())
                if found not in known:
                    known.add(found)
                    waiting.append(after)
    assert len(known) > 10, "the walk went somewhere"
    assert refused > 500
    assert (effective > 0) == (at_s < UNTIL_S), "the legal way is open until the expiry"


def way(registry: Registry, bundle: str, until: str = "activate", model: str = "c") -> Registry:
    """Bring a controller to where `until` brings it, by the legal way."""
    bodies = {}
    for action, body in asked_of(bundle, model):
        bodies.setdefault(action, body)
    steps = {"register_controller": "Ada", "verify_controller": "Eve", "approve": "Paul", "activate": "Paul"}
    for action, name in steps.items():
        registry = step(registry, event(name, action, bodies[action]))
        if action == until:
            break
    return registry


def test_a_rollback_goes_to_the_one_before_and_no_further() -> None:
    registry = way(way(Registry("id", people=PEOPLE), MINE), OTHER)
    back = event("Paul", "rollback", {"bundle": MINE, "reason": "r"})
    registry = step(registry, back)
    found = standing(registry, "c")
    assert found.effective is not None
    assert found.effective.bundle == MINE
    assert found.standby is None, "what was rolled back from is no target"
    with pytest.raises(RegistryError, match="not the one that c stood on before"):
        step(registry, event("Paul", "rollback", {"bundle": OTHER, "reason": "r"}))


def test_one_name_is_of_one_kind() -> None:
    registry = way(Registry("id", people=PEOPLE), MINE, "register_controller", model="m")
    sensor = {"model": "m", "bundle": OTHER, "criteria": SENSOR_CRITERIA, "skill": 0.9, "reason": "r"}
    with pytest.raises(RegistryError, match="'m' is no soft sensor in this registry"):
        step(registry, event("Ada", "register", sensor))
    registry = step(registry, event("Ada", "register", {**sensor, "model": "s"}))
    with pytest.raises(RegistryError, match="'s' is no controller in this registry"):
        way(registry, "c" * 64, "register_controller", model="s")
    with pytest.raises(RegistryError, match="is a soft sensor; not done to one"):
        step(registry, event("Eve", "verify_controller", {"bundle": OTHER, "figures": GOOD, "evidence_sha256": "e"}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"criteria": {**CRITERIA, "scenarios": []}}, "name at least one"),
        ({"criteria": {**CRITERIA, "scenarios": "nominal"}}, "name at least one"),
        ({"criteria": {**CRITERIA, "min_runs": 0}}, "above 0"),
        ({"criteria": {**CRITERIA, "min_runs": 1.5}}, "above 0"),
        ({"criteria": {**CRITERIA, "min_hours": 0.0}}, "above 0"),
        ({"criteria": {**CRITERIA, "max_time_outside_3pct": 100.0}}, "below 100 %"),
        ({"criteria": {**CRITERIA, "valid_until_s": 1e300}}, "expiry"),
        ({"criteria": SENSOR_CRITERIA}, "criteria must hold"),
        ({"reason": " "}, "reason is missing"),
        ({"skill": 0.9}, "it needs"),
    ],
)
def test_a_registration_that_says_too_little_is_refused(change: dict[str, Any], word: str) -> None:
    body = {"model": "c", "bundle": MINE, "criteria": CRITERIA, "reason": "r", **change}
    with pytest.raises(RegistryError, match=word):
        step(Registry("id", people=PEOPLE), event("Ada", "register_controller", body))


@pytest.mark.parametrize("missing", ["runs", "hours", "time_outside_3pct"])
def test_what_could_not_be_worked_out_is_no_pass(missing: str) -> None:
    registry = way(Registry("id", people=PEOPLE), MINE, "register_controller")
    body = {"bundle": MINE, "figures": {**GOOD, missing: None}, "evidence_sha256": "e"}
    with pytest.raises(RegistryError, match="declared criteria are not met"):
        step(registry, event("Eve", "verify_controller", body))
