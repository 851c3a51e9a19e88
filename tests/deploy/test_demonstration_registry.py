"""The reference line ships governed: its line file, its registry and the bundle beside it are of one piece."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from control.conduct import figures_of
from control.governed import load_any
from deploy.demonstration import CONTROLLER, RUNS, Controlled, make_registry, name_registry
from edge.config import read_config
from edge.line import Line, compose
from hil_sim.bench import Run, run_one
from hil_sim.kpi import Trace
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario, load_scenario
from soft_sensors.bundle import load_bundle
from soft_sensors.errors import RegistryError
from soft_sensors.registry.entries import ConductCriteria, standing
from soft_sensors.registry.examine import file_hash
from soft_sensors.registry.log import read_registry

ROOT = Path(__file__).parents[2]
LINE_FILE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
MODELS = ROOT / "deploy" / "models"
BUNDLE, MPC = MODELS / "cdc_api_nir", MODELS / "cdc_mpc"


def test_line_file_registry_and_bundle_agree() -> None:
    table = read_config(LINE_FILE)[0].sensor
    assert table.registry is not None
    assert table.model is not None
    registry = read_registry(table.registry, table.registry_id)
    found = standing(registry, table.model).effective
    assert found is not None, "make models"
    assert found.bundle == load_bundle(BUNDLE).bundle_hash, "make models"
    assert {e.person.split()[0] for e in registry.events} == {"Demo"}, "nobody real has signed here"
    assert all("demonstration" in e.body.get("reason", "demonstration") for e in registry.events)


def test_the_shipped_controller_is_the_one_that_the_registry_has_in_effect() -> None:
    """A controller bundle that was built again is not the one that was judged and released."""
    table = read_config(LINE_FILE)[0].sensor
    assert table.registry is not None
    registry = read_registry(table.registry, table.registry_id)
    found = standing(registry, CONTROLLER).effective
    mend = "run: make models (or, with the bundles as they are: make demonstration)"
    assert found is not None, mend
    assert found.bundle == load_any(MPC).bundle_hash, mend
    assert isinstance(found.criteria, ConductCriteria)
    runs = table.registry / RUNS
    verified = next(e for e in registry.events if e.action == "verify_controller" and e.body["bundle"] == found.bundle)
    assert verified.body["evidence_sha256"] == file_hash(runs), "what was signed is what lies there"
    assert verified.body["figures"] == figures_of(runs, found.bundle, found.criteria.scenarios)


def test_the_reference_line_runs_by_its_registry_too(tmp_path: Path) -> None:
    """As its line file may say in place of 'bundle': the same controller, and a loop that closes on it."""
    text = LINE_FILE.read_text()
    sensor = read_config(LINE_FILE)[0].sensor
    named = f'registry = "../models/registry"\nregistry_id = "{sensor.registry_id}"\nmodel = "{CONTROLLER}"'
    assert text.count('bundle = "../models/cdc_mpc"') == 1
    shutil.copytree(MODELS, tmp_path / "models", ignore=shutil.ignore_patterns("cdc_*"))
    (tmp_path / "lines").mkdir()
    file = tmp_path / "lines" / "line.toml"
    file.write_text(text.replace('bundle = "../models/cdc_mpc"', named))
    line = compose(file)
    assert line.control is not None
    assert line.control.release is not None
    row = run_one(line, load_scenario("nominal"), 3, 0.17).row
    assert row["controller_hash"] == line.control.release.bundle_hash
    assert row["fallbacks"] == 0
    assert row["held_cycles"] == run_one(compose(LINE_FILE), load_scenario("nominal"), 3, 0.17).row["held_cycles"]


@pytest.mark.parametrize(("outside_pct", "released"), [(5.0, True), (5.1, False)])
def test_a_controller_is_demonstrated_only_when_its_loop_meets_what_was_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside_pct: float, released: bool
) -> None:
    def played(line: Line, scenario: Scenario, seed: int) -> Run:
        assert line.control is not None
        row = {"scenario": scenario.name, "seed": seed, "controller": "mpc", "hours": scenario.hours, "fallbacks": 0,
               "controller_hash": line.control.bundle.bundle_hash, "time_outside_3pct": outside_pct}  # fmt: skip
        return Run(row, Trace.of([Rig(scenario, seed).truth()]), {})

    monkeypatch.setattr("deploy.demonstration.run_one", played)
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    folder = tmp_path / "registry"
    if not released:
        with pytest.raises(RegistryError, match=r"5\.1 % of the time outside \+-3 %, above 5 %"):
            make_registry(tmp_path / "bundle", folder, 2, 1_700_000_000.0, Controlled(MPC, LINE_FILE))
        assert not folder.exists()
        return
    registry = make_registry(tmp_path / "bundle", folder, 2, 1_700_000_000.0, Controlled(MPC, LINE_FILE))
    found = standing(registry, CONTROLLER).effective
    assert found is not None
    assert found.bundle == load_any(folder / "models" / found.bundle).bundle_hash == load_any(MPC).bundle_hash


def test_nobody_can_sign_in_it_again(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    make_registry(tmp_path / "bundle", tmp_path / "registry", 2, 1_700_000_000.0)
    kept = {f.suffix for f in (tmp_path / "registry").iterdir()}
    assert kept == {".jsonl", ""}
    assert not [f for f in tmp_path.rglob("*") if f.is_file() and b"PRIVATE" in f.read_bytes()]


def test_a_model_that_knows_the_test_blends_is_not_demonstrated(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    with pytest.raises(RegistryError, match="not independent of the calibration"):
        make_registry(tmp_path / "bundle", tmp_path / "registry", 1, 1_700_000_000.0)
    assert not (tmp_path / "registry").exists()


def test_a_line_file_without_a_registry_is_refused(tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text("[sensor]\nbundle = 'b'\n")
    with pytest.raises(RegistryError, match="registry_id"):
        name_registry(tmp_path / "line.toml", "0" * 64)
