"""The reference line ships governed: its line file, its registry and the bundle beside it are of one piece."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.demonstration import make_registry, name_registry
from edge.config import read_config
from soft_sensors.bundle import load_bundle
from soft_sensors.errors import RegistryError
from soft_sensors.registry.entries import standing
from soft_sensors.registry.log import read_registry

ROOT = Path(__file__).parents[2]
LINE_FILE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
BUNDLE = ROOT / "deploy" / "models" / "cdc_api_nir"


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
