"""bundles -> the demonstration registry that the reference line ships with, and the line file that names it.

`make models` runs it. The people are made up and their keys are thrown away: nobody can sign in this registry again,
so the reference line can neither be given another model nor pass for a validated one. A site founds its own registry.
The soft sensor is tested on blends of its own, the controller on runs of the line that it will be part of; those runs
are kept beside the log.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.conduct import figures_of
from control.governed import load_any
from edge.config import SensorTable, read_config
from edge.errors import ConfigError
from edge.line import Line, compose_config
from hil_sim.bench import run_one
from hil_sim.blends import BlendSet, designed_blends, write_blends
from hil_sim.counting import counting
from hil_sim.scenario import load_scenario
from soft_sensors.bundle import load_bundle
from soft_sensors.console import one_line
from soft_sensors.errors import RegistryError
from soft_sensors.registry.deposit import deposit, deposit_by
from soft_sensors.registry.entries import Registry, Role
from soft_sensors.registry.examine import TestSet, examine, file_hash
from soft_sensors.registry.keys import public_hex
from soft_sensors.registry.log import LOG, append, found, read_registry

MODEL = "cdc_api_nir"
REASON = "demonstration on the simulated line: made-up people, not a release"
PEOPLE = {Role.AUTHOR: "Demo Author", Role.VERIFIER: "Demo Verifier", Role.APPROVER: "Demo Approver"}
# Our choice, in % w/w: RMSEP a twentieth of the +-5 % that material is diverted at (of 10 % API); the expiry is far
# because nobody is left to renew it.
CRITERIA = {"max_rmsep": 0.25, "min_coverage": 0.80, "max_coverage": 1.0, "min_samples": 100, "max_bias": 0.1}
VALID_YEARS = 20
CONTROLLER = "cdc_mpc"
RUNS = "runs.json"
SEEDS = (1, 2)
# Our choice: a scenario without a fault, and the two that must not be mistaken for each other.
SCENARIOS = ("nominal", "hidden_loss", "nir_drift")
CONDUCT = {"scenarios": list(SCENARIOS), "min_runs": len(SEEDS), "min_hours": 2.0,
           "max_time_outside_3pct": 5.0}  # fmt: skip
Keys = dict[Role, Ed25519PrivateKey]


@dataclass(frozen=True)
class Controlled:
    """A controller bundle, and the line file whose closed loop it is judged by."""

    bundle: Path
    line_file: Path


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--controller", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
              help="The controller bundle.")
@click.option("--seed", default=2, show_default=True, help="Of the test blends; not the calibration's.")
@one_line
def demonstrate(bundle: Path, line_file: Path, controller: Path, seed: int) -> None:
    """Make the registry beside the bundle anew and write its identity into the line file (three minutes).

    \b
    Example:
      python -m deploy.demonstration deploy/models/cdc_api_nir deploy/lines/cdc_ref_1.toml --controller deploy/models/cdc_mpc
    """  # noqa: E501 - one command, one line
    folder = bundle.resolve().parent / "registry"
    made = make_registry(bundle, folder, seed, time.time(), Controlled(controller.resolve(), line_file))
    name_registry(line_file, made.registry_id)
    click.echo(f"{folder / LOG}: {len(made.events)} events, registry {made.registry_id[:12]}, named in {line_file}")


def make_registry(
    bundle: Path, folder: Path, seed: int, now_s: float, controlled: Controlled | None = None
) -> Registry:
    """Replace the registry by one in which the bundles went the whole way; RegistryError when one fails its test."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        spectra, reference = write_blends(_test_blends(seed), Path(scratch) / "test")
        examined = examine(bundle, TestSet(spectra, reference, "api_pct", "blend"), lambda _: None)
        draft = Path(scratch) / "registry"
        keys = _found(draft, now_s)
        _walk(keys, bundle, draft, examined.body, now_s)
        if controlled is not None:
            _walk_controller(keys, controlled, draft, now_s)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    return read_registry(folder)


def _test_blends(seed: int) -> BlendSet:
    """Other blends of the same design, under names of their own."""
    made = designed_blends(seed)
    rows = tuple((*row[:-1], f"T{row[-1]}") for row in made.reference)
    return replace(made, sample_ids=tuple(f"T{name}" for name in made.sample_ids), reference=rows)


def name_registry(line_file: Path, registry_id: str) -> None:
    """Write the registry's identity into a line file that names a registry."""
    text, count = re.subn(r'^registry_id = ".*"$', f'registry_id = "{registry_id}"', line_file.read_text(), flags=re.M)
    if count == 0:
        raise RegistryError(f"{line_file}: no line 'registry_id = ...' in [sensor]; add it")
    line_file.write_text(text)


def _found(folder: Path, now_s: float) -> Keys:
    owner = Ed25519PrivateKey.generate()
    keys = {role: Ed25519PrivateKey.generate() for role in PEOPLE}
    found(folder, owner, "Demo Owner", (Role.OWNER,), now_s)
    for role, key in keys.items():
        append(folder, owner, "enrol", {"name": PEOPLE[role], "public_key": public_hex(key), "roles": [role]}, now_s)
    return keys


def _walk(keys: Keys, bundle: Path, folder: Path, test: dict[str, object], now_s: float) -> None:
    model = load_bundle(bundle)
    deposit(bundle, folder)
    named = {"bundle": model.bundle_hash}
    criteria = {**CRITERIA, "valid_until_s": _until_s(now_s)}
    registered = {**named, "model": MODEL, "criteria": criteria, "skill": model.card.skill, "reason": REASON}
    append(folder, keys[Role.AUTHOR], "register", registered, now_s)
    append(folder, keys[Role.VERIFIER], "verify", {**named, **test}, now_s)
    _put_into_operation(keys, folder, model.bundle_hash, now_s)


def _walk_controller(keys: Keys, controlled: Controlled, folder: Path, now_s: float) -> None:
    digest = deposit_by(load_any, controlled.bundle, folder).bundle_hash
    criteria = {**CONDUCT, "valid_until_s": _until_s(now_s)}
    registered = {"bundle": digest, "model": CONTROLLER, "criteria": criteria, "reason": REASON}
    append(folder, keys[Role.AUTHOR], "register_controller", registered, now_s)
    runs = _played(controlled, folder)
    figures = figures_of(runs, digest, SCENARIOS)
    tested = {"bundle": digest, "figures": figures, "evidence_sha256": file_hash(runs)}
    append(folder, keys[Role.VERIFIER], "verify_controller", tested, now_s)
    _put_into_operation(keys, folder, digest, now_s)


def _put_into_operation(keys: Keys, folder: Path, digest: str, now_s: float) -> None:
    for action in ("approve", "activate"):
        append(folder, keys[Role.APPROVER], action, {"bundle": digest, "reason": REASON}, now_s)


def _played(controlled: Controlled, folder: Path) -> Path:
    """What the line does with the bundle, in the file that a bench writes."""
    line = _line(controlled, folder)
    plan = list(product(SCENARIOS, SEEDS))
    rows = []
    with counting(len(plan), "runs of the closed loop") as done:
        for scenario, seed in plan:
            rows.append(run_one(line, load_scenario(scenario), seed).row)
            done(f"{scenario}, seed {seed}")
    runs = folder / RUNS
    runs.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return runs


def _line(controlled: Controlled, folder: Path) -> Line:
    """The line of the line file with the soft sensor that the new registry has in effect."""
    table = SensorTable(registry=folder, registry_id=read_registry(folder).registry_id, model=MODEL)
    try:
        config, digest = read_config(controlled.line_file)
        if config.controller is None:
            raise ConfigError(f"{controlled.line_file}: has no [controller]; its closed loop cannot be played")
        chosen = config.controller.with_bundle(controlled.bundle)
        return compose_config(config.model_copy(update={"sensor": table, "controller": chosen}), digest)
    except ConfigError as error:
        raise RegistryError(str(error)) from error


def _until_s(now_s: float) -> float:
    return float(int(now_s) + VALID_YEARS * 365 * 86400)


__all__ = ["Controlled", "demonstrate", "make_registry", "name_registry"]

if __name__ == "__main__":
    demonstrate()
