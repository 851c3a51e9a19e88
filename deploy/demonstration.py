"""bundle -> the demonstration registry that the reference line ships with, and the line file that names it.

`make models` runs it. The people are made up and their keys are thrown away: nobody can sign in this registry again,
so the reference line can neither be given another model nor pass for a validated one. A site founds its own registry.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hil_sim.blends import BlendSet, designed_blends, write_blends
from soft_sensors.bundle import load_bundle
from soft_sensors.console import one_line
from soft_sensors.errors import RegistryError
from soft_sensors.registry.deposit import deposit
from soft_sensors.registry.entries import Registry, Role
from soft_sensors.registry.examine import TestSet, examine
from soft_sensors.registry.keys import public_hex
from soft_sensors.registry.log import LOG, append, found, read_registry

MODEL = "cdc_api_nir"
REASON = "demonstration on the simulated line: made-up people, not a release"
PEOPLE = {Role.AUTHOR: "Demo Author", Role.VERIFIER: "Demo Verifier", Role.APPROVER: "Demo Approver"}
# Our choice, in % w/w: RMSEP a twentieth of the +-5 % that material is diverted at (of 10 % API); the expiry is far
# because nobody is left to renew it.
CRITERIA = {"max_rmsep": 0.25, "min_coverage": 0.80, "max_coverage": 1.0, "min_samples": 100, "max_bias": 0.1}
VALID_YEARS = 20


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--seed", default=2, show_default=True, help="Of the test blends; not the calibration's.")
@one_line
def demonstrate(bundle: Path, line_file: Path, seed: int) -> None:
    """Make the registry beside the bundle anew and write its identity into the line file.

    \b
    Example:
      python -m deploy.demonstration deploy/models/cdc_api_nir deploy/lines/cdc_ref_1.toml
    """
    folder = bundle.resolve().parent / "registry"
    made = make_registry(bundle, folder, seed, time.time())
    name_registry(line_file, made.registry_id)
    click.echo(f"{folder / LOG}: {len(made.events)} events, registry {made.registry_id[:12]}, named in {line_file}")


def make_registry(bundle: Path, folder: Path, seed: int, now_s: float) -> Registry:
    """Replace the registry by one in which the bundle went the whole way; RegistryError when it fails its test."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        spectra, reference = write_blends(_test_blends(seed), Path(scratch) / "test")
        examined = examine(bundle, TestSet(spectra, reference, "api_pct", "blend"), lambda _: None)
        draft = Path(scratch) / "registry"
        _walk(bundle, draft, examined.body, now_s)
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
    if count != 1:
        raise RegistryError(f"{line_file}: no line 'registry_id = ...' in [sensor]; add it")
    line_file.write_text(text)


def _walk(bundle: Path, folder: Path, test: dict[str, object], now_s: float) -> None:
    owner = Ed25519PrivateKey.generate()
    keys = {role: Ed25519PrivateKey.generate() for role in PEOPLE}
    found(folder, owner, "Demo Owner", (Role.OWNER,), now_s)
    for role, key in keys.items():
        append(folder, owner, "enrol", {"name": PEOPLE[role], "public_key": public_hex(key), "roles": [role]}, now_s)
    model = load_bundle(bundle)
    deposit(bundle, folder)
    named = {"bundle": model.bundle_hash}
    criteria = {**CRITERIA, "valid_until_s": float(int(now_s) + VALID_YEARS * 365 * 86400)}
    registered = {**named, "model": MODEL, "criteria": criteria, "skill": model.card.skill, "reason": REASON}
    append(folder, keys[Role.AUTHOR], "register", registered, now_s)
    append(folder, keys[Role.VERIFIER], "verify", {**named, **test}, now_s)
    append(folder, keys[Role.APPROVER], "approve", {**named, "reason": REASON}, now_s)
    append(folder, keys[Role.APPROVER], "activate", {**named, "reason": REASON}, now_s)


__all__ = ["demonstrate", "make_registry", "name_registry"]

if __name__ == "__main__":
    demonstrate()
