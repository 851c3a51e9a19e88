"""The bundle of a press: built by command, the shipped one current, refused when it is of other settings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from control.bundle import load_press
from control.commands import control, read_settings
from control.errors import ControlError

ROOT = Path(__file__).parents[2]
LINE = ROOT / "deploy" / "lines" / "cdc_press_1.toml"
SHIPPED = ROOT / "deploy" / "models" / "cdc_press"


@pytest.mark.filterwarnings("ignore:The approximateMPC feature")
def test_the_command_builds_what_is_shipped(tmp_path: Path) -> None:
    result = CliRunner().invoke(control, ["build-press", str(LINE), "--out", str(tmp_path / "b")])
    assert result.exit_code == 0, result.output
    settings = read_settings(LINE)
    built, shipped = load_press(settings, tmp_path / "b"), load_press(settings, SHIPPED)
    assert built.card == shipped.card
    x = np.array([7.9, 2.9, 37.0, 52.0, 1.01, 0.99, 1.0])
    u, p = np.array([7.8, 2.88, 38.0]), np.array([245.0, 86.0, 21.0])
    for one, other in zip(built.call("predict", x, u, p), shipped.call("predict", x, u, p), strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_line_without_a_press_has_nothing_to_build(tmp_path: Path) -> None:
    result = CliRunner().invoke(control, ["build-press", str(LINE.with_name("cdc_ref_1.toml")), "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert "no table [press]" in result.output


@pytest.mark.parametrize(
    ("old", "new"),
    [("cycle_s = 5.0", "cycle_s = 2.0"), ("low = 2.6", "low = 2.7"),
     ("[press.fill_depth]", "[press.model]\nmg_per_mm = 30.0\n[press.fill_depth]")],
)  # fmt: skip
def test_a_bundle_for_other_settings_is_refused(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "line.toml"
    file.write_text(LINE.read_text().replace(old, new, 1))
    with pytest.raises(ControlError, match="built for other settings"):
        load_press(read_settings(file), SHIPPED)


def test_what_tablets_are_to_be_and_a_drive_s_step_need_no_new_bundle(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    text = LINE.read_text().replace("hardness_n = 86.0", "hardness_n = 95.0").replace("resolution = 0.1", "", 1)
    file.write_text(text)
    assert load_press(read_settings(file), SHIPPED).bundle_hash


def test_an_altered_bundle_is_refused(tmp_path: Path) -> None:
    copied = tmp_path / "b"
    shutil.copytree(SHIPPED, copied)
    (copied / "rollout.casadi").write_text((copied / "rollout.casadi").read_text() + " ")
    with pytest.raises(ControlError, match="altered"):
        load_press(read_settings(LINE), copied)
