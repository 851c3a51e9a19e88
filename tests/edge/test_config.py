"""A line file is refused with one line that names the key and the mend."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from control.authority import Evidence, authority
from control.settings import AuthoritySettings
from edge.config import LineConfig, parse_config, read_config
from edge.errors import ConfigError

LINES = Path(__file__).parents[2] / "deploy" / "lines"
TEXT = (LINES / "cdc_ref_1.toml").read_text()


@pytest.mark.parametrize("path", sorted(LINES.glob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_line_file_reads(path: Path) -> None:
    config, digest = read_config(path)
    assert config.line.name
    assert len(digest) == 64
    where = config.sensor.bundle or config.sensor.registry
    assert where is not None
    assert where.is_absolute()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("cycle_s = 5.0", "cycle_s = 5.0\ncycel_s = 1.0", ["line.cycel_s", "not a key that patloop knows"]),
        ("cycle_s = 5.0", "cycle_s = -1.0", ["line.cycle_s"]),
        ("cycle_s = 5.0", "cycle_s = inf", ["line.cycle_s"]),
        ('name = "CDC-REF-1"\n', "", ["line.name", "missing"]),
        ('start_mode = "advise"', 'start_mode = "closed"', ["start_mode", "person closes the loop"]),
        ('mode_ceiling = "closed"', 'mode_ceiling = "monitor"', ["start_mode", "above mode_ceiling"]),
        ('url = "opc.tcp', 'url = "http', ["opcua.url"]),
        ("low = 0.5\nhigh = 4.5", "low = 5.0\nhigh = 4.5", ["FeederApi", "low 5.0 is not below high 4.5"]),
        ('unit = "kg/h"\nlow = 0.5', 'unit = "g/min"\nlow = 0.5', ["mv.0.unit", "kg/h"]),
        ("trim_cap_pct = 5.0\n", "", ["FeederApi", "trim_cap_pct"]),
        ("FeederMcc = 0.6067415730337079", "FeederMcc = 0.5", ["filler_split adds up to"]),
        ('role = "force"', 'role = "filler"', ["MainForce", "trim_cap_pct"]),
        ('[controller]\nname = "mpc"', '[controller]\nname = "lqr"', ["controller.name"]),
        ("[diversion]", "[diversions]", ["diversions"]),
        ("blender_kg = 0.62", "blender_kg = nan", ["plant.blender_kg"]),
        ("[line]", "[line", ["not valid TOML"]),
        ('model = "cdc_api_nir"\n', "", ["sensor", "all of 'registry', 'registry_id' and 'model'"]),
        ('model = "cdc_api_nir"\n', 'model = "m"\nbundle = "b"\n', ["sensor", "either 'bundle', or 'registry'"]),
        ('registry_id = "', 'registry_id = "x', ["sensor.registry_id"]),
        ("[authority]", "[authority]\nnir_age_none_s = 60.0", ["nir_age_full_s 60 must be below"]),
        ("[authority]", "[authority]\ncoverage_full = 0.3", ["coverage_none 0.3 must be below"]),
    ],
)
def test_a_wrong_line_file_is_refused_by_name(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    assert old in TEXT, "the test's premise"
    file = tmp_path / "line.toml"
    file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        read_config(file)
    said = str(refused.value)
    assert "\n" not in said
    assert str(file) in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('bundle = "../models/cdc_press"\n', "", ["press.bundle", "missing"]),
        ("hardness_n = 86.0", "hardness_n = -1.0", ["press.hardness_n"]),
        ("low = 2.6\nhigh = 3.3", "low = 3.6\nhigh = 3.3", ["press.thickness", "low 3.6 is not below high 3.3"]),
        ('name = "Thickness"', 'name = "FillDepth"', ["['FillDepth'] is the name of more than one setpoint"]),
        ("rate_per_s = 0.1\nresolution = 0.01", "rate_per_s = 0.1\nresolution = 0.6", ["FillDepth", "resolution 0.6"]),
        ("\n[press]\n", "\n[press]\nturret_rpm = 40.0\n", ["press.turret_rpm", "not a key that patloop knows"]),
        ("[press.fill_depth]", '[press.fill_depth]\nunit = "um"', ["press.fill_depth.unit", "mm"]),
    ],
)
def test_a_wrong_press_is_refused_by_name(tmp_path: Path, old: str, new: str, words: list[str]) -> None:
    text = (LINES / "cdc_press_1.toml").read_text()
    assert old in text, "the test's premise"
    file = tmp_path / "line.toml"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as refused:
        read_config(file)
    for word in words:
        assert word in str(refused.value)


def test_a_press_without_a_controller_is_refused() -> None:
    text = (LINES / "cdc_press_1.toml").read_text()
    press = tomllib.loads(text)["press"]
    watched = {
        "line": {"name": "x", "cycle_s": 1.0, "start_mode": "monitor", "mode_ceiling": "monitor", "state_dir": "v"},
        "analyser": {"kind": "replay", "spectra": "s.csv", "max_age_s": 5.0},
        "sensor": {"bundle": "b"},
        "press": press,
    }
    with pytest.raises(ValueError, match="part of a controlled line"):
        LineConfig.model_validate(watched)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "nothing.toml")


def test_a_watched_line_needs_no_controller_but_may_not_steer() -> None:
    watched = {
        "line": {"name": "x", "cycle_s": 1.0, "mode_ceiling": "advise", "state_dir": "v"},
        "analyser": {"kind": "replay", "spectra": "s.csv", "max_age_s": 5.0},
        "sensor": {"bundle": "b"},
    }
    with pytest.raises(ConfigError, match="must be 'monitor'"):
        parse_config(watched, Path("line.toml"))
    watched["line"] = {**watched["line"], "mode_ceiling": "monitor", "start_mode": "monitor"}  # type: ignore[dict-item]
    assert parse_config(watched, Path("line.toml")).control() is None


def test_how_much_room_evidence_gives_is_the_lines_own(tmp_path: Path) -> None:
    text = TEXT.replace("[authority]", "[authority]\ninterval_none_pct = 8.0", 1)
    (tmp_path / "line.toml").write_text(text)
    config, _ = read_config(tmp_path / "line.toml")
    control = config.control()
    assert control is not None
    seen = Evidence(interval_pct=6.5, covered=1.0, nir_age_s=5.0, lab_age_s=600.0, lab_seen=True, skill=0.9)
    assert authority(control.authority, seen).pat == pytest.approx(0.5)
    assert authority(AuthoritySettings(), seen).pat == pytest.approx(0.9)
