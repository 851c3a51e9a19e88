"""registry + event -> registry: who is enrolled with which key, and whose key is revoked; pure."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from typing import Any

from soft_sensors.errors import RegistryError
from soft_sensors.registry.bodies import text
from soft_sensors.registry.entries import Person, Registry, Role
from soft_sensors.registry.events import Event
from soft_sensors.registry.keys import check_public, fingerprint

LONGEST_NAME = 80


def apply_people(registry: Registry, event: Event) -> Registry:
    """The registry after somebody founded it, enrolled a person or revoked a key. Raises RegistryError."""
    if event.action == "found":
        if registry.people:
            raise RegistryError("found: a registry is founded once")
        return _enrol(registry, event, event.person)
    if Role.OWNER not in registry.people[event.key].roles:
        raise RegistryError(f"{event.action}: {event.person} is no owner; only owners enrol and revoke")
    if event.action == "enrol":
        return _enrol(registry, event, text(event, "name"))
    return _revoke(registry, event)


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's: upper and lower case do not make two people."""
    return one.casefold() == other.casefold()


def _enrol(registry: Registry, event: Event, name: str) -> Registry:
    plain = unicodedata.normalize("NFKC", name)
    if plain != name or " ".join(name.split()) != name or not name.isprintable() or len(name) > LONGEST_NAME:
        raise RegistryError(f"{event.action}: {name[:40]!r} is not a plain name; write it without odd characters")
    public = check_public(text(event, "public_key"), event.action)
    key = fingerprint(public)
    if key in registry.people:
        raise RegistryError(f"{event.action}: this key is enrolled already, for {registry.people[key].name}")
    if event.action == "found" and key != event.key:
        raise RegistryError("found: the first event must be signed with the key that it enrols")
    person = Person(name, public, _roles(event.body["roles"], event.action))
    if event.action == "found" and Role.OWNER not in person.roles:
        raise RegistryError("found: the founder must be an owner")
    return replace(registry, people={**registry.people, key: person})


def _roles(plain: Any, action: str) -> frozenset[Role]:
    known = {role.value for role in Role}
    if not isinstance(plain, list) or not plain or not all(isinstance(r, str) and r in known for r in plain):
        raise RegistryError(f"{action}: roles must be some of {', '.join(sorted(known))}")
    return frozenset(Role(r) for r in plain)


def _revoke(registry: Registry, event: Event) -> Registry:
    key = text(event, "key")
    text(event, "reason")
    person = registry.people.get(key)
    if person is None or person.revoked:
        raise RegistryError(f"revoke: {key[:12]} is no key in use; see 'patloop sensor history'")
    left = [p for k, p in registry.people.items() if k != key and not p.revoked and Role.OWNER in p.roles]
    if not left:
        raise RegistryError(f"revoke: {person.name}'s is the last owner's key; enrol another owner first")
    return replace(registry, people={**registry.people, key: replace(person, revoked=True)})
