"""A controller bundle goes the soft sensor's way: three people, criteria before the test, one line for who may not."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from control.bundle import load_bundle_for
from control.commands import control
from control.governed import load_any
from soft_sensors.commands import sensor
from soft_sensors.registry.entries import Kind, State, standing
from soft_sensors.registry.log import read_registry

SENSOR = Path(__file__).parents[2] / "deploy" / "models" / "cdc_api_nir"
ROLES = {"owner": (), "ada": ("author",), "eve": ("verifier",), "paul": ("approver",)}
DECLARED = ["--model", "mpc", "--scenario", "nominal", "--scenario", "hidden_loss", "--max-time-outside", 10.0,
            "--min-runs", 2, "--min-hours", 1.0, "--valid-months", 12, "--reason", "r"]  # fmt: skip


def run(group: Any, *argv: object, code: int = 0) -> Result:
    done = CliRunner().invoke(group, [str(a) for a in argv])
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
        return ["--registry", self.registry, "--key", self.folder / f"{person}.key",
                "--passphrase-file", self.folder / "phrase"]  # fmt: skip

    def runs(self, bundle: Path, name: str = "kpi.json", **change: Any) -> Path:
        """What a bench writes: two scenarios, two seeds, and rows that must not count."""
        digest = load_any(bundle).bundle_hash
        row = {"controller": "mpc", "controller_hash": digest, "hours": 2.0, "time_outside_3pct": 4.0, "fallbacks": 1}
        rows = [{**row, "scenario": s, "seed": k, **change} for s in ("nominal", "hidden_loss") for k in (1, 2)]
        others = ({"controller": "ratio"}, {"controller_hash": "0" * 64}, {"scenario": "bridge"})
        rows += [{**rows[0], "seed": 9, "time_outside_3pct": 90.0, **other} for other in others]
        (self.folder / name).write_text(json.dumps(rows))
        return self.folder / name


@pytest.fixture
def site(tmp_path: Path) -> Site:
    found = Site(tmp_path)
    phrase = tmp_path / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text("open sesame\n")
    for person in ROLES:
        run(sensor, "key", person, "--out", tmp_path / f"{person}.key", "--passphrase-file", phrase)
    run(sensor, "registry", "init", found.registry, "--person", "owner", *found.by("owner")[2:])
    for person, roles in ROLES.items():
        for role in roles:
            public = tmp_path / f"{person}.key.pub"
            run(sensor, "registry", "enrol", public, "--person", person, "--role", role, *found.by("owner"))
    return found


def another(bundle: Path, out: Path) -> Path:
    """The same controller under another comment in its card: another, intact bundle."""
    shutil.copytree(bundle, out)
    card = out / "card.toml"
    card.write_text("# built again\n" + card.read_text())
    return out


def effective(site: Site, bundle: Path) -> str:
    run(control, "register", bundle, *DECLARED, *site.by("ada"))
    run(control, "verify", bundle, "--runs", site.runs(bundle), *site.by("eve"))
    run(control, "approve", bundle, "--reason", "r", *site.by("paul"))
    run(control, "activate", bundle, "--reason", "r", *site.by("paul"))
    return load_any(bundle).bundle_hash


def test_the_whole_way_and_back(site: Site, bundle_folder: Path) -> None:
    run(control, "register", bundle_folder, *DECLARED, *site.by("ada"))
    early = run(control, "approve", bundle_folder, "--reason", "r", *site.by("paul"), code=2)
    assert "is draft, it must be verified" in early.stderr
    runs = site.runs(bundle_folder)
    verified = run(control, "verify", bundle_folder, "--runs", runs, *site.by("eve"))
    assert "runs 2, hours 2, time_outside_3pct 4, fallbacks 4" in verified.output
    refused = run(control, "approve", bundle_folder, "--reason", "r", *site.by("eve"), code=2)
    assert "eve is no approver" in refused.stderr
    run(control, "approve", bundle_folder, "--reason", "r", *site.by("paul"))
    run(control, "activate", bundle_folder, "--reason", "r", *site.by("paul"))
    first = standing(read_registry(site.registry), "mpc").effective
    assert first is not None
    assert first.kind is Kind.CONTROLLER
    assert (first.author, first.verifier, first.approver) == ("ada", "eve", "paul")
    second = effective(site, another(bundle_folder, site.folder / "second"))
    assert standing(read_registry(site.registry), "mpc").effective is not first
    run(control, "rollback", "mpc", "--reason", "r", *site.by("paul"))
    registry = read_registry(site.registry)
    assert registry.slots["mpc"].effective == first.bundle
    assert registry.entries[second].state is State.APPROVED
    none = run(control, "rollback", "mpc", "--reason", "r", *site.by("paul"), code=2)
    assert "no bundle to go back to" in none.stderr
    run(control, "retire", first.bundle[:12], "--reason", "r", *site.by("paul"))
    assert standing(read_registry(site.registry), "mpc").effective is None
    told = run(control, "history", "--registry", site.registry).output
    assert "releases it for use" in told
    assert "time_outside_3pct 4" in told
    assert "retired" in run(control, "list", "--registry", site.registry).output
    assert "mpc" not in run(sensor, "list", "--registry", site.registry).output, "no soft sensor"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"time_outside_3pct": 10.1}, "10.1 % of the time outside"),
        ({"hours": 0.5}, "the shortest run is 0.5 h of 1"),
    ],
)
def test_a_loop_that_falls_short_is_recorded_and_final(
    site: Site, bundle_folder: Path, change: dict[str, Any], word: str
) -> None:
    run(control, "register", bundle_folder, *DECLARED, *site.by("ada"))
    runs = site.runs(bundle_folder, **change)
    failed = run(control, "verify", bundle_folder, "--runs", runs, *site.by("eve"), code=1)
    assert f"NOT VERIFIED: {word}" in failed.stderr
    assert read_registry(site.registry).events[-1].action == "fail_controller"
    again = run(control, "verify", bundle_folder, "--runs", site.runs(bundle_folder), *site.by("eve"), code=2)
    assert "is failed, it must be draft" in again.stderr


def test_a_scenario_that_was_not_played_fails(site: Site, bundle_folder: Path) -> None:
    more = [*DECLARED, "--scenario", "nir_drift"]
    run(control, "register", bundle_folder, *more, *site.by("ada"))
    failed = run(control, "verify", bundle_folder, "--runs", site.runs(bundle_folder), *site.by("eve"), code=1)
    assert "0 runs of 2" in failed.stderr


@pytest.mark.parametrize("content", ["[]", "{}", "nonsense", '[{"controller": "mpc"}]', '[1]'])
def test_what_is_no_bench_is_one_line(site: Site, bundle_folder: Path, content: str) -> None:
    run(control, "register", bundle_folder, *DECLARED, *site.by("ada"))
    (site.folder / "other.json").write_text(content)
    said = run(control, "verify", bundle_folder, "--runs", site.folder / "other.json", *site.by("eve"), code=2)
    assert "patloop bench" in said.stderr
    twice = site.runs(bundle_folder, seed=1)
    assert "seed twice" in run(control, "verify", bundle_folder, "--runs", twice, *site.by("eve"), code=2).stderr
    nan = site.runs(bundle_folder, time_outside_3pct=float("nan"))
    assert "not a finite number" in run(control, "verify", bundle_folder, "--runs", nan, *site.by("eve"), code=2).stderr
    assert read_registry(site.registry).events[-1].action == "register_controller", "nothing was signed"


def test_neither_kind_passes_for_the_other(site: Site, bundle_folder: Path) -> None:
    assert "no controller bundle" in run(control, "register", SENSOR, *DECLARED, *site.by("ada"), code=2).stderr
    as_sensor = ["--model", "m", "--max-rmsep", 1.0, "--valid-months", 12, "--reason", "r", *site.by("ada")]
    run(sensor, "register", bundle_folder, *as_sensor, code=2)
    digest = effective(site, bundle_folder)
    same_name = ["--model", "mpc", *as_sensor[2:]]
    assert "'mpc' is no soft sensor" in run(sensor, "register", SENSOR, *same_name, code=2).stderr
    for action in ("approve", "activate", "retire"):
        refused = run(sensor, action, digest[:12], "--reason", "r", *site.by("paul"), code=2)
        assert f"is a controller, not a soft sensor; mend: patloop control {action}" in refused.stderr
    effective(site, another(bundle_folder, site.folder / "second"))
    back = run(sensor, "rollback", "mpc", "--reason", "r", *site.by("paul"), code=2)
    assert "mend: patloop control rollback" in back.stderr
    shadow = ["shadow", digest[:12], "--min-results", 5, "--max-ratio", 1.0, "--min-coverage", 0.8, "--reason", "r"]
    assert "is a controller; not done to one" in run(sensor, *shadow, *site.by("paul"), code=2).stderr
    bias = run(sensor, "bias", "mpc", 0.0, "--reason", "r", *site.by("paul"), code=2)
    assert "is a controller; not done to one" in bias.stderr


def test_an_altered_bundle_is_not_approved(site: Site, bundle_folder: Path) -> None:
    run(control, "register", bundle_folder, *DECLARED, *site.by("ada"))
    run(control, "verify", bundle_folder, "--runs", site.runs(bundle_folder), *site.by("eve"))
    digest = load_any(bundle_folder).bundle_hash
    held = site.registry / "models" / digest
    with (held / "stage.casadi").open("a") as file:
        file.write(" ")
    altered = run(control, "approve", digest[:12], "--reason", "r", *site.by("paul"), code=2)
    assert "stage.casadi was altered" in altered.stderr
    assert "was altered" in run(control, "verify", held, code=1).stderr
    shutil.rmtree(held)
    another(bundle_folder, held)
    other = run(control, "approve", digest[:12], "--reason", "r", *site.by("paul"), code=2)
    assert "restore the registered one" in other.stderr


def test_a_part_that_no_hash_covers_is_not_taken(site: Site, bundle_folder: Path) -> None:
    """Else it could be exchanged after the approval without another hash of the bundle."""
    loose = site.folder / "loose"
    shutil.copytree(bundle_folder, loose)
    lines = (loose / "card.toml").read_text().splitlines()
    (loose / "card.toml").write_text("\n".join(line for line in lines if not line.startswith('"stage.casadi"')))
    load_bundle_for(_settings_hash(loose), loose)
    refused = run(control, "register", loose, *DECLARED, *site.by("ada"), code=2)
    assert "does not hash every part" in refused.stderr


def _settings_hash(bundle: Path) -> str:
    lines = (bundle / "card.toml").read_text().splitlines()
    return next(line for line in lines if line.startswith("settings_hash")).split('"')[1]


def test_show_tells_what_it_decides_with(bundle_folder: Path) -> None:
    told = run(control, "show", bundle_folder).output
    assert "inputs    FeederApi" in told
    assert "no controller bundle" in run(control, "show", SENSOR, code=2).stderr
