"""registry -> tables for people: who signed what and what it means, and where the models stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table

from soft_sensors.bundle import load_bundle
from soft_sensors.console import InputError
from soft_sensors.errors import BundleError
from soft_sensors.registry.entries import Criteria, Kind, Registry
from soft_sensors.registry.events import Event, text_of

MEANING = {
    "found": "founds the registry and answers for who is enrolled",
    "enrol": "answers for this person's identity and roles",
    "revoke": "this key signs nothing from now on",
    "register": "made this model and declares what it will be held to",
    "verify": "tested it on independent samples: it meets what was declared",
    "fail": "tested it on independent samples: it misses what was declared",
    "register_controller": "built this controller and declares what it will be held to",
    "verify_controller": "reproduced it and judged its closed loop: it meets what was declared",
    "fail_controller": "judged its closed loop: it misses what was declared",
    "approve": "releases it for use",
    "activate": "puts it into operation",
    "rollback": "puts the model before back into operation",
    "retire": "takes it out of use for good",
    "challenge": "puts it into shadow and declares what it will have to show",
    "promote": "the evidence meets what was declared: it takes over",
    "decline": "the evidence misses what was declared: the trial is over",
    "bias": "shifts its estimates within the declared bound",
}


def show_history(registry: Registry) -> None:
    """Print every event with name, time and the meaning of its signature."""
    click.echo(f"registry {registry.registry_id}\n{len(registry.events)} events, every signature holds")
    for event in registry.events:
        of, what = _about(registry, event)
        click.echo(f"{event.seq:>4}  {event.time}  {event.person}: {event.action} {of}")
        click.echo(f"      signed as: {MEANING[event.action]}\n      {what}")


def show_models(folder: Path, registry: Registry | None) -> None:
    """Print a registry's bundles and where they stand; without a registry the bundles in a folder."""
    if registry is not None:
        show_registered(registry, Kind.SENSOR)
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    table = Table("bundle", "CQA", "model", "RMSECV", "samples", "hash")
    for card in sorted(folder.glob("*/card.toml")):
        try:
            model = load_bundle(card.parent)
        except BundleError as error:
            table.add_row(card.parent.name, "-", str(error), "-", "-", "-")
            continue
        c = model.card
        table.add_row(card.parent.name, c.cqa, f"{c.pretreatment}, {c.n_latent} LV", f"{c.rmsecv:.4g} {c.unit}",
                      str(c.n_samples), model.bundle_hash[:12])  # fmt: skip
    Console().print(table)


def show_registered(registry: Registry, kind: Kind) -> None:
    """Print a registry's bundles of one kind and where they stand."""
    table = Table(*(Column(name, no_wrap=True) for name in ("model", "bundle", "state", "expires", "bias (bound)")))
    for entry in (e for e in registry.entries.values() if e.kind is kind):
        slots = registry.slots.get(entry.model)
        held = [name for name in ("standby", "challenger") if slots and getattr(slots, name) == entry.bundle]
        bias = f"{entry.bias:+g} (±{entry.criteria.max_bias:g})" if isinstance(entry.criteria, Criteria) else "-"
        table.add_row(
            entry.model, entry.bundle[:12], ", ".join([entry.state.value, *held]),
            text_of(entry.criteria.valid_until_s)[:10], bias,
        )  # fmt: skip
    Console().print(table)


def _about(registry: Registry, event: Event) -> tuple[str, str]:
    body = event.body
    if "bundle" in body:
        entry = registry.entries[body["bundle"]]
        return f"{entry.model} {entry.bundle[:12]}", _what(body)
    if event.action == "revoke":
        return registry.people[body["key"]].name, f"{body['reason']} (key {body['key'][:12]})"
    return str(body.get("name", event.person)), ", ".join(body["roles"])


def _what(body: Any) -> str:
    parts = [f"{k} {v:.4g}" for k, v in (body.get("figures") or {}).items() if v is not None]
    for name in ("criteria", "trial"):
        parts += [f"{k} {_shown(k, v)}" for k, v in (body.get(name) or {}).items()]
    parts += [f"to {body['value']:+g}"] if "value" in body else []
    return "; ".join([*parts, *([body["reason"]] if "reason" in body else [])])


def _shown(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return text_of(value) if name == "valid_until_s" else str(value)
