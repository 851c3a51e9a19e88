"""What the service loads: built from the do-mpc model, equal to it, refused when anything disagrees."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from control.bundle import ControllerBundle, _check_golden, load_controller
from control.commands import control
from control.errors import ControlError
from control.plants.cdc import build
from control.settings import ControlSettings

LINE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
SHIPPED = Path(__file__).parents[2] / "deploy" / "models" / "cdc_mpc"


def off_target(bundle: ControllerBundle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A state, inputs and targets at which nothing is at rest."""
    at = {
        "flow_FeederApi": 2.0, "flow_FeederMcc": 10.7, "flow_FeederLac": 6.9, "flow_FeederMgst": 0.2,
        "blender_api_pct": 10.2, "transport_api_pct": 9.9, "feed_frame_api_pct": 9.8, "main_force_kn": 9.5,
        "api_gain": 0.97,
    }  # fmt: skip
    named = [at.get(name, at.get(name.rpartition("_")[0], 0.05)) for name in bundle.states]
    return np.array(named), np.array([2.1, 10.6, 6.95, 0.21, 9.7]), np.array([10.0, 20.0, 250.0, 1.0])


def test_prediction_equals_an_independent_integration_of_the_model(
    settings: ControlSettings, bundle: ControllerBundle
) -> None:
    from scipy.integrate import solve_ivp

    model = build(settings)
    x = np.array([2.0, 10.7, 6.9, 0.2, *[10.2] * 3, *[9.9] * 6, 9.8, 9.5, 0.97, 0.1, 1.0, 0.0])
    u, p = np.array([2.1, 10.6, 6.95, 0.21, 9.7]), np.array([10.0, 20.0, 250.0, 1.0])
    nothing = [np.zeros(s.shape) for s in (model._z(0), model._p(0), model._w(0))]

    def rhs(_: float, state: np.ndarray) -> np.ndarray:
        z, fixed, w = nothing
        return np.asarray(model._rhs_fun(state, u, z, p, fixed, w).full())[:, 0]

    exact = solve_ivp(rhs, (0, settings.cycle_s), x, rtol=1e-10, atol=1e-12).y[:, -1]
    predicted = bundle.call("predict", x, u, p)[0][:, 0]
    assert np.allclose(predicted, exact, rtol=1e-4)


def test_jacobian_is_the_derivative(bundle: ControllerBundle) -> None:
    x = np.array([2.0, 10.7, 6.9, 0.2, *[10.2] * 3, *[9.9] * 6, 9.8, 9.5, 0.97, 0.1, 1.0, 0.0])
    u, p = np.array([2.1, 10.6, 6.95, 0.21, 9.7]), np.array([10.0, 20.0, 250.0, 1.0])
    base, A = bundle.call("predict", x, u, p)
    for i in range(len(x)):
        moved = x.copy()
        moved[i] += 1e-6
        assert np.allclose((bundle.call("predict", moved, u, p)[0] - base)[:, 0] / 1e-6, A[:, i], atol=1e-5)


def test_shipped_bundle_is_what_the_line_file_builds(settings: ControlSettings, bundle_folder: Path) -> None:
    load_controller(settings, SHIPPED)
    for name in ("predict.casadi", "stage.casadi"):
        assert (SHIPPED / name).read_text() == (bundle_folder / name).read_text(), "run: make models"


@pytest.mark.parametrize("name", ["predict.casadi", "golden.npz"])
def test_an_altered_bundle_does_not_load(
    settings: ControlSettings, bundle_folder: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(bundle_folder, tmp_path / "copy")
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(ControlError, match=f"{name} was altered"):
        load_controller(settings, copy)


def test_golden_vectors_that_cannot_be_read_or_are_not_all_there(bundle: ControllerBundle, tmp_path: Path) -> None:
    (tmp_path / "golden.npz").write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(ControlError, match=r"golden.npz: not readable"):
        _check_golden(bundle, tmp_path)
    with np.load(SHIPPED / "golden.npz") as golden:
        np.savez(tmp_path / "golden.npz", **{k: v for k, v in golden.items() if k != "predict_out0"})  # type: ignore[arg-type]
    with pytest.raises(ControlError, match="lacks predict_out0"):
        _check_golden(bundle, tmp_path)


def test_missing_file_other_settings_and_no_bundle_are_named(
    settings: ControlSettings, bundle_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle_folder, tmp_path / "copy")
    (copy / "stage.casadi").unlink()
    with pytest.raises(ControlError, match=r"stage.casadi is missing"):
        load_controller(settings, copy)
    other = settings.model_copy(update={"cycle_s": 4.0})
    with pytest.raises(ControlError, match="built for other settings"):
        load_controller(other, bundle_folder)
    with pytest.raises(ControlError, match=r"card.toml cannot be read"):
        load_controller(settings, tmp_path / "nowhere")


def test_build_command_names_a_wrong_key(tmp_path: Path) -> None:
    wrong = tmp_path / "line.toml"
    wrong.write_text(LINE.read_text().replace("blender_kg", "blender_mass"))
    result = CliRunner().invoke(control, ["build", str(wrong), "--out", str(tmp_path / "b")])
    assert result.exit_code != 0
    assert "plant.blender" in result.output
