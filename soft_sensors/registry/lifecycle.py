"""registry + event -> registry: the one table of who may do what to a bundle in which state; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import conduct_of, criteria_of, judge_test, judge_trial, number, text, trial_of
from soft_sensors.registry.entries import (
    Criteria,
    Entry,
    Kind,
    Person,
    Registry,
    Role,
    Slots,
    State,
    Trial,
)
from soft_sensors.registry.events import Event
from soft_sensors.registry.people import apply_people, same_person

ALIVE = frozenset(State) - {State.RETIRED}
ANY, SENSOR, CONTROLLER = frozenset(Kind), frozenset({Kind.SENSOR}), frozenset({Kind.CONTROLLER})


@dataclass(frozen=True)
class Rule:
    """Who may do something to a bundle in which states, whose hands it must not be, and what it becomes (None: as is).

    apart: fields of the entry whose person must be somebody else; unexpired: only before the declared expiry; kinds:
    what is done to bundles of these kinds only.
    """

    role: Role
    from_states: frozenset[State]
    to: State | None
    apart: tuple[str, ...] = ("author",)
    unexpired: bool = True
    kinds: frozenset[Kind] = ANY


# A failed test is final: testing again until it passes proves nothing. Whoever approves has neither made the model nor
# tested it. Rolling back and retiring must be possible at once, so any approver may.
RULES: dict[str, Rule] = {
    "verify": Rule(Role.VERIFIER, frozenset({State.DRAFT}), State.VERIFIED, unexpired=False, kinds=SENSOR),
    "fail": Rule(Role.VERIFIER, frozenset({State.DRAFT}), State.FAILED, unexpired=False, kinds=SENSOR),
    "verify_controller": Rule(
        Role.VERIFIER, frozenset({State.DRAFT}), State.VERIFIED, unexpired=False, kinds=CONTROLLER
    ),
    "fail_controller": Rule(
        Role.VERIFIER, frozenset({State.DRAFT}), State.FAILED, unexpired=False, kinds=CONTROLLER
    ),
    "approve": Rule(Role.APPROVER, frozenset({State.VERIFIED}), State.APPROVED, ("author", "verifier")),
    "activate": Rule(Role.APPROVER, frozenset({State.APPROVED}), State.EFFECTIVE),
    "rollback": Rule(Role.APPROVER, frozenset({State.APPROVED}), State.EFFECTIVE, ()),
    "retire": Rule(Role.APPROVER, ALIVE, State.RETIRED, (), unexpired=False),
    "challenge": Rule(Role.APPROVER, frozenset({State.VERIFIED, State.APPROVED}), None, kinds=SENSOR),
    "promote": Rule(
        Role.APPROVER, frozenset({State.VERIFIED, State.APPROVED}), State.EFFECTIVE, ("author", "verifier"),
        kinds=SENSOR,
    ),
    "decline": Rule(Role.APPROVER, frozenset({State.VERIFIED, State.APPROVED}), None, kinds=SENSOR),
    "bias": Rule(Role.APPROVER, frozenset({State.EFFECTIVE}), None, kinds=SENSOR),
}
PEOPLE = ("found", "enrol", "revoke")


def apply(registry: Registry, event: Event) -> Registry:
    """The registry after an event whose signature and place were checked. RegistryError when it is not allowed."""
    if event.action in PEOPLE:
        return apply_people(registry, event)
    signer = registry.people[event.key]
    if event.action in ("register", "register_controller"):
        return _register(registry, event, signer)
    rule = RULES.get(event.action)
    if rule is None:
        raise RegistryError(f"{event.action!r} is not something a registry knows; it is newer than this software")
    entry = registry.entries.get(text(event, "bundle"))
    if entry is None:
        raise RegistryError(f"the bundle {event.body['bundle'][:12]} is not registered; register it first")
    _check(rule, entry, event, signer)
    return _EFFECTS[event.action](registry, replace(entry, state=rule.to or entry.state), event)


def _check(rule: Rule, entry: Entry, event: Event, signer: Person) -> None:
    _role(signer, rule.role, event.action)
    if entry.kind not in rule.kinds:
        raise RegistryError(f"{event.action}: bundle {entry.bundle[:12]} is a {entry.kind.value}; not done to one")
    if entry.state not in rule.from_states:
        allowed = ", ".join(s.value for s in State if s in rule.from_states)
        raise RegistryError(f"{event.action}: bundle {entry.bundle[:12]} is {entry.state.value}, it must be {allowed}")
    for name in rule.apart:
        if same_person(getattr(entry, name), signer.name):
            raise RegistryError(f"{event.action}: {signer.name} is the {name} of it; another person has to sign this")
    if rule.unexpired and not event.time_s < entry.criteria.valid_until_s:
        raise RegistryError(f"{event.action}: bundle {entry.bundle[:12]} has expired; register a new one")


def _role(signer: Person, role: Role, action: str) -> None:
    if role not in signer.roles:
        raise RegistryError(f"{action}: {signer.name} is no {role.value}; an owner can enrol one")


def _register(registry: Registry, event: Event, signer: Person) -> Registry:
    _role(signer, Role.AUTHOR, event.action)
    bundle, model = text(event, "bundle"), text(event, "model")
    text(event, "reason")
    if len(bundle) != 64 or set(bundle) - set("0123456789abcdef"):
        raise RegistryError(f"{event.action}: {bundle[:20]!r} is not the hash of a bundle")
    if bundle in registry.entries:
        raise RegistryError(f"{event.action}: bundle {bundle[:12]} is registered already, and its criteria stand")
    entry = _drafted(event, bundle, model, signer.name)
    if any(e.model == model and e.kind is not entry.kind for e in registry.entries.values()):
        # One name, one slot: else a soft sensor could be put where a controller runs.
        raise RegistryError(f"{event.action}: {model!r} is no {entry.kind.value} in this registry; give another name")
    return _with(registry, entry)


def _drafted(event: Event, bundle: str, model: str, author: str) -> Entry:
    if event.action == "register_controller":
        return Entry(bundle, model, State.DRAFT, author, conduct_of(event), None)
    return Entry(bundle, model, State.DRAFT, author, criteria_of(event), number(event, "skill"))


def _verified(registry: Registry, entry: Entry, event: Event) -> Registry:
    missed = judge_test(entry.criteria, event)
    if missed:
        raise RegistryError(f"{event.action}: the declared criteria are not met: {missed}")
    return _with(registry, replace(entry, verifier=event.person))


def _failed(registry: Registry, entry: Entry, event: Event) -> Registry:
    judge_test(entry.criteria, event)  # the figures must be there; that they fall short is the verifier's word
    return _with(registry, replace(entry, verifier=event.person))


def _approved(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    _skilled(entry, "approve")
    return _with(registry, replace(entry, approver=event.person))


def _activated(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    if entry.challenged:
        raise RegistryError(f"activate: bundle {entry.bundle[:12]} was put to a trial; only evidence can promote it")
    return _takes_over(registry, entry)


def _rolled_back(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    slots = registry.slots.get(entry.model, Slots())
    if slots.standby != entry.bundle:
        raise RegistryError(f"rollback: bundle {entry.bundle[:12]} is not the one that {entry.model} stood on before")
    registry = _takes_over(registry, entry)
    # What was rolled back from is no target of a further rollback: that would be going forward.
    return _slots(registry, entry.model, replace(registry.slots[entry.model], standby=None))


def _retired(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    slots = registry.slots.get(entry.model, Slots())
    left = Slots(*(None if held == entry.bundle else held for held in (slots.effective, slots.standby,
                                                                      slots.challenger)))
    return _slots(_with(registry, entry), entry.model, left)


def _challenged(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    slots = registry.slots.get(entry.model, Slots())
    if slots.effective is None:
        raise RegistryError(f"challenge: {entry.model} has no effective model to compare with; activate one first")
    if slots.standby == entry.bundle:
        raise RegistryError(f"challenge: bundle {entry.bundle[:12]} is what a rollback goes to; roll back instead")
    entry = replace(entry, challenged=True, trial=trial_of(event))
    return _slots(_with(registry, entry), entry.model, replace(slots, challenger=entry.bundle))


def _promoted(registry: Registry, entry: Entry, event: Event) -> Registry:
    missed = judge_trial(_trial(registry, entry, event), event)
    if missed:
        raise RegistryError(f"promote: the declared criteria are not met: {missed}")
    _skilled(entry, "promote")
    registry = _takes_over(registry, replace(entry, approver=event.person, challenged=False, trial=None))
    slots = registry.slots[entry.model]
    return _slots(registry, entry.model, replace(slots, challenger=None))


def _declined(registry: Registry, entry: Entry, event: Event) -> Registry:
    judge_trial(_trial(registry, entry, event), event)
    slots = registry.slots[entry.model]
    return _slots(_with(registry, replace(entry, trial=None)), entry.model, replace(slots, challenger=None))


def _biased(registry: Registry, entry: Entry, event: Event) -> Registry:
    text(event, "reason")
    value = number(event, "value")
    bound = entry.criteria.max_bias if isinstance(entry.criteria, Criteria) else 0.0
    if not abs(value) <= bound:
        raise RegistryError(f"bias: {value:g} is beyond the declared bound of {bound:g}")
    return _with(registry, replace(entry, bias=value))


def _trial(registry: Registry, entry: Entry, event: Event) -> Trial:
    slots = registry.slots.get(entry.model, Slots())
    if entry.trial is None or slots.challenger != entry.bundle:
        raise RegistryError(f"{event.action}: bundle {entry.bundle[:12]} is in no trial; challenge first")
    if slots.effective is None or slots.effective != text(event, "champion"):
        raise RegistryError(f"{event.action}: the evidence is against another model than the effective one; try anew")
    return entry.trial


def _skilled(entry: Entry, action: str) -> None:
    if entry.skill is not None and not entry.skill > 0:
        raise RegistryError(f"{action}: bundle {entry.bundle[:12]} has no skill over the mean ({entry.skill:g})")


def _takes_over(registry: Registry, entry: Entry) -> Registry:
    """The entry is in the effective slot; who was there is approved still, and what a rollback goes to."""
    slots = registry.slots.get(entry.model, Slots())
    if slots.effective is not None:
        registry = _with(registry, replace(registry.entries[slots.effective], state=State.APPROVED))
    standby = slots.effective or slots.standby
    held = replace(slots, effective=entry.bundle, standby=None if standby == entry.bundle else standby)
    return _slots(_with(registry, entry), entry.model, held)


def _with(registry: Registry, *entries: Entry) -> Registry:
    return replace(registry, entries={**registry.entries, **{entry.bundle: entry for entry in entries}})


def _slots(registry: Registry, model: str, slots: Slots) -> Registry:
    return replace(registry, slots={**registry.slots, model: slots})


_EFFECTS: dict[str, Callable[[Registry, Entry, Event], Registry]] = {
    "verify": _verified,
    "fail": _failed,
    "verify_controller": _verified,
    "fail_controller": _failed,
    "approve": _approved,
    "activate": _activated,
    "rollback": _rolled_back,
    "retire": _retired,
    "challenge": _challenged,
    "promote": _promoted,
    "decline": _declined,
    "bias": _biased,
}
