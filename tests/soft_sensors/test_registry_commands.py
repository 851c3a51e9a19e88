"""The registry from the command line: keys, people, the way of a bundle, and one line for whoever may not."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from soft_sensors.bundle import CARD, HASHES, PARTS, combined_hash, load_bundle
from soft_sensors.commands import sensor
from soft_sensors.registry.entries import State, standing
from soft_sensors.registry.evidence import COLUMNS
from soft_sensors.registry.log import read_registry

ROLES = {"owner": (), "ada": ("author",), "eve": ("verifier",), "paul": ("approver",)}


def run(*argv: object, code: int = 0) -> Result:
    done = CliRunner().invoke(sensor, [str(a) for a in argv])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    if code == 2:
        assert len(done.stderr.strip().splitlines()) <= 4, done.stderr
    return done


@dataclass(frozen=True)
class Site:
    """A folder with keys of four people and their registry."""

    folder: Path

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    def by(self, person: str) -> list[object]:
        return ["--registry", self.registry, *self.with_key(person)]

    def with_key(self, person: str) -> list[object]:
        return ["--key", self.folder / f"{person}.key", "--passphrase-file", self.folder / "phrase"]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    phrase = tmp_path / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text("open sesame\n")
    for person in ROLES:
        run("key", person, "--out", tmp_path / f"{person}.key", "--passphrase-file", phrase)
    run("registry", "init", found.registry, "--person", "owner", *found.with_key("owner"))
    for person, roles in ROLES.items():
        if roles:
            chosen = [x for r in roles for x in ("--role", r)]
            run("registry", "enrol", tmp_path / f"{person}.key.pub", "--person", person, *chosen, *found.by("owner"))
    return found


@pytest.fixture
def test_set(tmp_path: Path) -> list[object]:
    """Samples that the calibration has not seen, of the same two components (see conftest.make_blends)."""
    draw = np.random.default_rng(9)
    axis = np.linspace(900.0, 1690.0, 80)
    bands = [np.exp(-0.5 * ((axis - c) / w) ** 2) for c, w in ((1150.0, 40.0), (1350.0, 70.0))]
    api, other = draw.uniform(5.0, 15.0, 40), draw.uniform(0.0, 1.0, 40)
    spectra = 0.4 + np.outer(api / 10.0, bands[0]) + np.outer(other, bands[1]) + draw.normal(0.0, 0.002, (40, 80))
    for name, head, rows in (("spectra", axis, spectra), ("reference", ["api"], api[:, None])):
        lines = [",".join(["sample_id", *map(str, head)])]
        lines += [",".join([f"t{k}", *map(str, row)]) for k, row in enumerate(rows)]
        (tmp_path / f"{name}.csv").write_text("\n".join([*lines, ""]))
    return ["--spectra", tmp_path / "spectra.csv", "--reference", tmp_path / "reference.csv", "--target", "api"]


REGISTER = ["--model", "m", "--max-rmsep", 1.0, "--valid-months", 12, "--max-bias", 0.2, "--min-coverage", 0.5]


def test_the_whole_way_and_back(site: Site, bundle_path: Path, test_set: list[object]) -> None:
    run("register", bundle_path, *REGISTER, "--reason", "first", *site.by("ada"))
    refused = run("approve", bundle_path, "--reason", "r", *site.by("paul"), code=2)
    assert "is draft, it must be verified" in refused.stderr
    run("verify", bundle_path, *test_set, *site.by("eve"))
    assert "eve is no approver" in run("approve", bundle_path, "--reason", "r", *site.by("eve"), code=2).stderr
    run("approve", bundle_path, "--reason", "r", *site.by("paul"))
    run("activate", bundle_path, "--reason", "r", *site.by("paul"))
    run("bias", "m", "--reason", "lab", *site.by("paul"), "--", -0.1)
    assert "beyond the declared bound" in run("bias", "m", 0.5, "--reason", "lab", *site.by("paul"), code=2).stderr
    assert "no bundle to go back to" in run("rollback", "m", "--reason", "r", *site.by("paul"), code=2).stderr
    found = standing(read_registry(site.registry), "m").effective
    assert found is not None
    assert found.bias == -0.1
    told = run("history", "--registry", site.registry).output
    for words in ("every signature holds", "paul: approve m", "releases it for use", "lab"):
        assert words in told
    assert "effective" in run("list", "--registry", site.registry).output
    run("retire", found.bundle[:12], "--reason", "over", *site.by("paul"))
    assert read_registry(site.registry).entries[found.bundle].state is State.RETIRED


def test_a_test_that_falls_short_is_recorded_and_final(site: Site, bundle_path: Path, test_set: list[object]) -> None:
    strict = [*REGISTER[:3], 1e-6, *REGISTER[4:]]
    run("register", bundle_path, *strict, "--reason", "r", *site.by("ada"))
    failed = run("verify", bundle_path, *test_set, *site.by("eve"), code=1)
    assert "NOT VERIFIED: RMSEP" in failed.stderr
    assert read_registry(site.registry).events[-1].action == "fail"
    assert "is failed, it must be draft" in run("verify", bundle_path, *test_set, *site.by("eve"), code=2).stderr
    again = run("register", bundle_path, *REGISTER, "--reason", "looser", *site.by("ada"), code=2)
    assert "its criteria stand" in again.stderr


def test_a_revoked_key_signs_nothing_and_what_it_signed_stays(site: Site, bundle_path: Path) -> None:
    run("register", bundle_path, *REGISTER, "--reason", "r", *site.by("ada"))
    key = next(k for k, p in read_registry(site.registry).people.items() if p.name == "ada")
    run("registry", "revoke", key[:10], "--reason", "left", *site.by("owner"))
    refused = run("register", bundle_path, *REGISTER, "--reason", "r", *site.by("ada"), code=2)
    assert "was revoked" in refused.stderr
    assert [entry.author for entry in read_registry(site.registry).entries.values()] == ["ada"]


def test_a_key_is_secret_and_asks_for_a_passphrase(site: Site) -> None:
    file = site.folder / "ada.key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "ENCRYPTED" in file.read_text()
    empty = site.folder / "empty"
    empty.touch(mode=0o600)
    assert "empty passphrase" in run("key", "x", "--out", site.folder / "x", "--passphrase-file", empty, code=2).stderr
    assert not (site.folder / "x").exists()
    assert "is there already" in run("key", "x", "--out", file, *site.with_key("ada")[2:], code=2).stderr
    empty.write_text("wrong")
    argv = ["retire", "m" * 12, "--reason", "r", "--registry", site.registry, "--key", file]
    assert "not one bundle" in run(*argv, "--passphrase-file", empty, code=2).stderr
    enrol = ["registry", "enrol", file.with_name("ada.key.pub"), "--person", "ada", "--role", "author"]
    said = run(*enrol, "--registry", site.registry, "--key", file, "--passphrase-file", empty, code=2).stderr
    assert "another passphrase" in said
    empty.chmod(0o644)
    assert "chmod 600" in run(*enrol, "--registry", site.registry, "--key", file, "--passphrase-file", empty,
                              code=2).stderr  # fmt: skip


def test_no_secret_is_in_the_registry(site: Site) -> None:
    for file in site.registry.rglob("*"):
        if file.is_file():
            assert b"PRIVATE" not in file.read_bytes()
    first = json.loads((site.registry / "log.jsonl").read_text().splitlines()[0])
    assert set(first["body"]) == {"public_key", "roles"}


def test_people_are_enrolled_by_owners_once_a_key(site: Site) -> None:
    public = site.folder / "paul.key.pub"
    enrol = ["registry", "enrol", public, "--person", "p2", "--role", "author"]
    assert "is no owner" in run(*enrol, *site.by("ada"), code=2).stderr
    assert "enrolled already, for paul" in run(*enrol, *site.by("owner"), code=2).stderr
    key = next(k for k, p in read_registry(site.registry).people.items() if p.name == "owner")
    last = run("registry", "revoke", key[:10], "--reason", "r", *site.by("owner"), code=2)
    assert "last owner" in last.stderr


def test_wrong_places_are_one_line(site: Site, bundle_path: Path, tmp_path: Path) -> None:
    gone = ["--registry", tmp_path / "nowhere", *site.with_key("ada")]
    assert "is this a registry?" in run("history", "--registry", tmp_path / "nowhere", code=2).stderr
    assert "is this a registry?" in run("register", bundle_path, *REGISTER, "--reason", "r", *gone, code=2).stderr
    unknown = run("verify", bundle_path, *site.by("eve"), code=2)
    assert "also give" in unknown.stderr
    assert "no challenger in shadow" in run("promote", "m", "--evidence", "x.csv", *site.by("paul"), code=2).stderr


def another(bundle: Path, out: Path) -> Path:
    """The same model with one line of its card changed, and hashes that agree: another, intact bundle."""
    shutil.copytree(bundle, out)
    text = (out / CARD).read_text()
    (out / CARD).write_text(re.sub(r"^refuse_factor = .*$", "refuse_factor = 7.5", text, count=1, flags=re.M))
    hashes = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in PARTS}
    kept = [line for line in (out / HASHES).read_text().splitlines() if "calibration" in line]
    lines = [f'"{name}" = "{digest}"' for name, digest in hashes.items()]
    (out / HASHES).write_text("\n".join([*lines, *kept, f'bundle = "{combined_hash(hashes)}"', ""]))
    return out


@pytest.mark.parametrize(("error", "code", "state"), [(0.1, 0, State.EFFECTIVE), (0.9, 1, State.VERIFIED)])
def test_a_challenger_is_promoted_by_the_declared_evidence_or_not(
    site: Site, bundle_path: Path, test_set: list[object], error: float, code: int, state: State
) -> None:
    first, second = bundle_path, another(bundle_path, site.folder / "second")
    for bundle in (first, second):
        run("register", bundle, *REGISTER, "--reason", "r", *site.by("ada"))
        run("verify", bundle, *test_set, *site.by("eve"))
    run("approve", first, "--reason", "r", *site.by("paul"))
    run("activate", first, "--reason", "r", *site.by("paul"))
    trial = ["--min-results", 2, "--max-ratio", 0.5, "--min-coverage", 0.9, "--reason", "r"]
    run("shadow", second, *trial, *site.by("paul"))
    champion, challenger = (load_bundle(b).bundle_hash for b in (first, second))
    since_s = read_registry(site.registry).events[-1].time_s
    evidence = site.folder / "shadow.csv"

    def pairs(times: list[float]) -> None:
        rows = [[at, 10.0, champion, 10.5, challenger, 10.0 + error, 9.0, 11.0, "good"] for at in times]
        evidence.write_text("\n".join([",".join(COLUMNS), *(",".join(map(str, row)) for row in rows), ""]))

    promote = ["promote", "m", "--evidence", evidence, *site.by("paul")]
    pairs([since_s - 10.0, since_s - 5.0, since_s + 5.0])
    assert "NOT YET: 1 of 2" in run(*promote, code=1).stderr
    assert read_registry(site.registry).events[-1].action == "challenge", "nothing is decided, nothing is signed"
    pairs([since_s + 5.0, since_s + 10.0, since_s + 15.0])
    run(*promote, code=code)
    registry = read_registry(site.registry)
    assert registry.entries[challenger].state is state
    assert registry.slots["m"].challenger is None
    assert registry.events[-1].action == ("decline" if code else "promote")
