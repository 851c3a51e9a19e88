"""patloop sensor key, registry, register, verify, approve, activate, retire: the way of a bundle into operation."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path

import click

from soft_sensors.bundle import load_bundle
from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.errors import AlteredError, RegistryError
from soft_sensors.registry.bodies import judge_test
from soft_sensors.registry.deposit import deposit, deposited
from soft_sensors.registry.entries import Kind, Role
from soft_sensors.registry.events import Event
from soft_sensors.registry.keys import fingerprint, read_key, read_public_key, write_key
from soft_sensors.registry.log import found, read_registry
from soft_sensors.registry_signing import KEY, PHRASE, REASON, expiring, expiry_s, passphrase, sign, signed
from soft_sensors.registry_steps import Family, step_command
from soft_sensors.show import show_score


@click.command("key")
@click.argument("name")
@click.option("--out", type=FILE, required=True, help="File for the secret key; the public one is OUT.pub.")
@PHRASE
@one_line
def key_command(name: str, out: Path, passphrase_file: Path | None) -> None:
    """Make a person's signing key, protected by a passphrase.

    \b
    Example:
      patloop sensor key "Ada Chemist" --out chemist.key
    """
    public = write_key(out, passphrase(passphrase_file, confirm=True))
    click.echo(f"{name}: {out} (keep it), {out}.pub (give it to an owner), fingerprint {fingerprint(public)}")


@click.group("registry")
def registry_group() -> None:
    """Found a registry of models, enrol people, revoke keys.

    \b
    Example:
      patloop sensor registry init models/registry --key owner.key --person "Olga Owner"
    """


@registry_group.command()
@click.argument("folder", type=FILE)
@KEY
@click.option("--person", required=True, help="Name of the first owner.")
@PHRASE
@one_line
def init(folder: Path, key: Path, person: str, passphrase_file: Path | None) -> None:
    """Found a registry; its first owner signs and can enrol others.

    \b
    Example:
      patloop sensor registry init models/registry --key owner.key --person "Olga Owner"
    """
    made = found(folder, read_key(key, passphrase(passphrase_file)), person, (Role.OWNER,), time.time())
    click.echo(f'{folder}: founded. For the line file:\nregistry_id = "{made.registry_id}"')


@registry_group.command()
@click.argument("public_key", type=FILE, metavar="PERSON.key.pub")
@click.option("--person", required=True, help="Whose key it is.")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice([r.value for r in Role]))
@signed
@one_line
def enrol(
    public_key: Path, person: str, roles: tuple[str, ...], folder: Path, key: Path, passphrase_file: Path | None
) -> None:
    """Enrol a person's public key with roles; owners only.

    \b
    Example:
      patloop sensor registry enrol ada.key.pub --person "Ada Chemist" --role author --registry R --key owner.key
    """
    body = {"name": person, "public_key": read_public_key(public_key), "roles": list(roles)}
    sign(folder, key, passphrase_file, "enrol", body)


@registry_group.command()
@click.argument("fingerprint_start", metavar="FINGERPRINT")
@REASON
@signed
@one_line
def revoke(fingerprint_start: str, reason: str, folder: Path, key: Path, passphrase_file: Path | None) -> None:
    """Revoke a key: it signs nothing from now on; what it signed before stays; owners only.

    \b
    Example:
      patloop sensor registry revoke 3fa9c1d2 --reason "left the company" --registry R --key owner.key
    """
    known = [k for k in read_registry(folder).people if k.startswith(fingerprint_start.lower())]
    if len(known) != 1:
        raise InputError(f"{fingerprint_start}: not one key of this registry; see 'patloop sensor history'")
    sign(folder, key, passphrase_file, "revoke", {"key": known[0], "reason": reason})


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--model", required=True, help="Name under which lines run it.")
@click.option("--max-rmsep", type=float, required=True, help="RMSEP that the test may not exceed.")
@click.option("--min-coverage", type=float, default=0.8, show_default=True, help="Least share inside the interval.")
@click.option("--max-coverage", type=float, default=1.0, show_default=True, help="Largest share inside the interval.")
@click.option("--min-samples", type=int, default=20, show_default=True, help="Least number of test samples.")
@expiring
@click.option("--max-bias", type=float, default=0.0, show_default=True, help="Bound of later bias updates.")
@REASON
@signed
@one_line
def register(
    bundle: Path, model: str, max_rmsep: float, min_coverage: float, max_coverage: float, min_samples: int,
    valid_months: int | None, valid_until: datetime | None, max_bias: float, reason: str, folder: Path, key: Path,
    passphrase_file: Path | None,
) -> None:  # fmt: skip
    """Copy a bundle into the registry as a draft, with the criteria that its test will be held to.

    \b
    Example:
      patloop sensor register api_nir --model api --max-rmsep 0.2 --valid-months 12 --reason "first model" --registry R --key ada.key
    """  # noqa: E501 - one command, one line
    until_s = expiry_s(valid_months, valid_until, time.time())
    read_registry(folder)
    made = deposit(bundle, folder)
    criteria = {"max_rmsep": max_rmsep, "min_coverage": min_coverage, "max_coverage": max_coverage,
                "min_samples": min_samples, "valid_until_s": until_s, "max_bias": max_bias}  # fmt: skip
    body = {"bundle": made.bundle_hash, "model": model, "criteria": criteria, "skill": made.card.skill,
            "reason": reason}  # fmt: skip
    sign(folder, key, passphrase_file, "register", body)
    click.echo(f"draft {made.bundle_hash}")


@click.command()
@click.argument("bundle", type=FILE)
@click.option("--registry", "folder", type=FILE, metavar="R", help="Verify in this registry, against its criteria.")
@click.option("--key", type=FILE, metavar="K", help="Your key file.")
@PHRASE
@click.option("--spectra", type=FILE, help="Spectra of the test set.")
@click.option("--reference", type=FILE, help="References of the test set.")
@click.option("--target", metavar="COL", help="Column of the reference to predict.")
@click.option("--group", metavar="COL", help="Samples that belong together, such as a batch.")
@click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet.")
@one_line
def verify(
    bundle: Path, folder: Path | None, key: Path | None, passphrase_file: Path | None, spectra: Path | None,
    reference: Path | None, target: str | None, group: str | None, mass: str | None,
) -> None:  # fmt: skip
    """Check a bundle is intact; with --registry also test it, and sign the result (exit 1: altered, or failed).

    \b
    Example:
      patloop sensor verify api_nir
      patloop sensor verify api_nir --registry R --key eve.key --spectra S.csv --reference R.csv --target api_pct
    """
    try:
        model = load_bundle(bundle)
    except AlteredError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    click.echo(f"{bundle}: intact, golden vectors agree, {model.bundle_hash}")
    if folder is None:
        return
    if key is None or spectra is None or reference is None or target is None:
        raise click.UsageError("with --registry also give --key, --spectra, --reference and --target")
    from soft_sensors.registry.examine import TestSet, examine

    entry = read_registry(folder).entries.get(model.bundle_hash)
    if entry is None:
        raise RegistryError(f"{bundle}: not registered in {folder}; mend: patloop sensor register")
    deposited(folder, model.bundle_hash)
    with progress("reading") as say:
        examined = examine(bundle, TestSet(spectra, reference, target, group, mass), say)
    show_score(examined.score)
    body = {"bundle": model.bundle_hash, **examined.body}
    missed = judge_test(entry.criteria, Event(0, "", "", "verify", "", "", body, ""))
    sign(folder, key, passphrase_file, "fail" if missed else "verify", body)
    if missed:
        click.echo(f"NOT VERIFIED: {missed}", err=True)
        sys.exit(1)


def _skilful(action: str, folder: Path, digest: str) -> None:
    skill = deposited(folder, digest).card.skill
    if not skill > 0:
        raise RegistryError(f"{action}: the card of {digest[:12]} says skill {skill:.3g}: no evidence")


SOFT_SENSORS = Family(Kind.SENSOR, load_bundle, _skilful, "api_nir")
approve = step_command(
    SOFT_SENSORS, "approve", "Release a verified bundle for use; neither author nor verifier may.", '"released"'
)
activate = step_command(
    SOFT_SENSORS, "activate", "Make an approved bundle the one that runs; the one before is standby.", '"start"'
)
retire = step_command(SOFT_SENSORS, "retire", "End a bundle's life for good.", '"superseded"')
