"""Every state x every action x every person, walked to the end: nothing becomes effective but by the legal way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import KEYS, check_keys
from soft_sensors.registry.entries import Person, Registry, Role, State, standing
from soft_sensors.registry.events import Event, text_of
from soft_sensors.registry.lifecycle import RULES, apply

AT_S, UNTIL_S = 1_700_000_000.0, 1_700_000_100.0
CHAMPION, OTHER = "a" * 64, "b" * 64
ROLES = {
    "Olga": {Role.OWNER}, "Ada": {Role.AUTHOR}, "Eve": {Role.VERIFIER}, "Paul": {Role.APPROVER},
    "Max": {Role.AUTHOR, Role.VERIFIER, Role.APPROVER}, "max": {Role.AUTHOR, Role.VERIFIER, Role.APPROVER},
}  # fmt: skip
PEOPLE = {f"key of {name}": Person(name, "", frozenset(roles)) for name, roles in ROLES.items()}
CRITERIA = {"max_rmsep": 0.2, "min_coverage": 0.8, "max_coverage": 1.0, "min_samples": 20, "valid_until_s": UNTIL_S,
            "max_bias": 0.3}  # fmt: skip
GOOD = {"n": 50, "rmsep": 0.1, "bias": 0.0, "coverage_90": 0.9, "n_bad": 0}
POOR = {**GOOD, "rmsep": 0.3}
TRIAL = {"min_results": 5, "max_ratio": 1.0, "min_coverage": 0.8}
WON = {"n": 5, "rmsep": 0.1, "champion_rmsep": 0.2, "coverage": 1.0}
LOST = {**WON, "rmsep": 0.3}


def event(name: str, action: str, body: dict[str, Any], at_s: float = AT_S) -> Event:
    return Event(0, "", text_of(at_s), action, name, f"key of {name}", body, "")


def step(registry: Registry, done: Event) -> Registry:
    check_keys(done)
    after = apply(registry, done)
    return replace(after, events=(*after.events, done))


def bodies(bundle: str, skill: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that can be asked of one bundle, with figures that meet and that miss what was declared."""
    yield "register", {"model": "m", "bundle": bundle, "criteria": CRITERIA, "skill": skill, "reason": "r"}
    for action in ("verify", "fail"):
        for figures in (GOOD, POOR):
            yield action, {"bundle": bundle, "figures": figures, "spectra_sha256": "s", "reference_sha256": "r"}
    for action in ("approve", "activate", "rollback", "retire"):
        yield action, {"bundle": bundle, "reason": "r"}
    yield "challenge", {"bundle": bundle, "trial": TRIAL, "reason": "r"}
    for action in ("promote", "decline"):
        for figures in (WON, LOST):
            yield action, {"bundle": bundle, "champion": CHAMPION, "figures": figures, "evidence_sha256": "e"}
    for value in (0.3, 0.31):
        yield "bias", {"bundle": bundle, "value": value, "reason": "r"}


def with_champion() -> Registry:
    """A registry in which one bundle is effective by the legal way."""
    registry = Registry("id", people=PEOPLE)
    for name, action in (("Ada", "register"), ("Eve", "verify"), ("Paul", "approve"), ("Paul", "activate")):
        registry = step(registry, event(name, action, bodies_by_action(CHAMPION)[action]))
    return replace(registry, events=())


def bodies_by_action(bundle: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for action, body in bodies(bundle, 0.9):
        found.setdefault(action, body)
    return found


def signature(registry: Registry) -> object:
    """What the future of a registry depends on."""
    return tuple(registry.entries.values()), tuple(registry.slots.items())


def legal(registry: Registry, bundle: str, skill: float, expired: bool) -> bool:
    """An oracle of its own over the events: was this bundle brought into effect as it must be?"""
    mine = [e for e in registry.events if e.body.get("bundle") == bundle]
    by = {action: [e for e in mine if e.action == action] for action in KEYS}
    authors = {e.person.casefold() for e in by["register"]}
    testers = {e.person.casefold() for e in by["verify"]}
    releases = [*by["approve"], *by["promote"]]
    good = all(e.body["figures"] == GOOD for e in by["verify"]) and all(e.body["figures"] == WON for e in by["promote"])
    roles = all(Role.AUTHOR in ROLES[e.person] for e in by["register"])
    roles &= all(Role.VERIFIER in ROLES[e.person] for e in by["verify"])
    roles &= all(Role.APPROVER in ROLES[e.person] for e in releases)
    apart = not authors & testers and not {e.person.casefold() for e in releases} & (authors | testers)
    tried = not by["challenge"] or bool(by["promote"])
    started = bool(by["activate"] or by["promote"])
    ended = by["retire"] or by["fail"]
    return (len(authors) == len(testers) == 1 and bool(releases) and good and roles and apart and tried and started
            and not ended and skill > 0 and not expired)  # fmt: skip


@pytest.mark.parametrize(("skill", "at_s"), [(0.9, AT_S), (0.0, AT_S), (-0.2, AT_S), (0.9, UNTIL_S)])
def test_no_path_makes_a_bundle_effective_but_the_legal_one(skill: float, at_s: float) -> None:
    asked = [*bodies(OTHER, skill), *(b for b in bodies(CHAMPION, 0.9) if b[0] in ("rollback", "retire", "activate"))]
    start = with_champion()
    known, waiting = {signature(start)}, [start]
    effective = refused = 0
    while waiting:
        registry = waiting.pop()
        for name in ROLES:
            for action, body in asked:
                try:
                    after = step(registry, event(name, action, body, at_s))
                except RegistryError:
                    refused += 1
                    continue
                entry = after.entries.get(OTHER)
                if entry is not None and entry.state is State.EFFECTIVE:
                    effective += 1
                    assert legal(after, OTHER, skill, at_s >= UNTIL_S), [(e.person, e.action) for e in after.events]
                check_slots(after)
                if signature(after) not in known:
                    known.add(signature(after))
                    waiting.append(after)
    assert len(known) > 20, "the walk went somewhere"
    assert refused > 1000
    assert (effective > 0) == (skill > 0 and at_s < UNTIL_S), "the legal way is open, and only to a sound model"


def check_slots(registry: Registry) -> None:
    """What is effective stands in the slot and nowhere else; nothing dead stands in any."""
    found = standing(registry, "m")
    effective = [b for b, e in registry.entries.items() if e.state is State.EFFECTIVE]
    assert effective == ([] if found.effective is None else [found.effective.bundle])
    for held in (found.standby, found.challenger, found.shown):
        assert held is None or held.state not in (State.FAILED, State.RETIRED)
    assert found.standby is None or found.standby.state is State.APPROVED


def test_the_final_states_are_final() -> None:
    for state in (State.FAILED, State.RETIRED):
        onward = {action for action, rule in RULES.items() if state in rule.from_states}
        assert onward == ({"retire"} if state is State.FAILED else set())


def test_a_trial_that_was_lost_cannot_be_walked_around() -> None:
    registry = with_champion()
    for name, action in (("Ada", "register"), ("Eve", "verify"), ("Paul", "approve"), ("Paul", "challenge")):
        registry = step(registry, event(name, action, bodies_by_action(OTHER)[action]))
    with pytest.raises(RegistryError, match="only evidence can promote"):
        step(registry, event("Paul", "activate", bodies_by_action(OTHER)["activate"]))
    lost = {"bundle": OTHER, "champion": CHAMPION, "figures": LOST, "evidence_sha256": "e"}
    registry = step(registry, event("Paul", "decline", lost))
    with pytest.raises(RegistryError, match="only evidence can promote"):
        step(registry, event("Paul", "activate", bodies_by_action(OTHER)["activate"]))
    with pytest.raises(RegistryError, match="is in no trial"):
        step(registry, event("Paul", "promote", {**lost, "figures": WON}))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"criteria": {**CRITERIA, "max_rmsep": 0.0}}, "above 0"),
        ({"criteria": {**CRITERIA, "min_coverage": 1.0}}, "coverage is a share"),
        ({"criteria": {**CRITERIA, "min_samples": 20.5}}, "above 0"),
        ({"criteria": {**CRITERIA, "valid_until_s": 1e300}}, "expiry"),
        ({"criteria": {k: v for k, v in CRITERIA.items() if k != "max_bias"}}, "criteria must hold"),
        ({"skill": float("nan")}, "skill is not a finite number"),
        ({"skill": True}, "skill is not a finite number"),
        ({"bundle": "../../etc"}, "not the hash"),
        ({"reason": " "}, "reason is missing"),
        ({"note": "more"}, "it needs"),
    ],
)
def test_a_registration_that_says_too_little_is_refused(change: dict[str, Any], word: str) -> None:
    body = {**bodies_by_action(OTHER)["register"], **change}
    with pytest.raises(RegistryError, match=word):
        step(with_champion(), event("Ada", "register", body))
