"""Scenario files: all load, unknown keys and wrong values are refused, the schema is current."""

from __future__ import annotations

import pytest

from hil_sim.faults import conditions
from hil_sim.scenario import SCHEMA_FILE, Scenario, ScenarioError, load_scenario, scenario_names, schema_text

NAMES = {
    "nominal", "hidden_loss", "nir_drift", "bridge", "grade_change", "throughput_change", "lost_connection",
    "probe_fouling", "loss_and_drift", "lot_change", "lubricant_overfeed", "start_up", "force_cell_drift", "gain_error",
    "pause", "press_targets",
}  # fmt: skip


def test_all_named_scenarios_are_there():
    assert set(scenario_names()) >= NAMES
    for name in scenario_names():
        assert load_scenario(name).name == name


def test_schema_file_is_current():
    assert SCHEMA_FILE.read_text() == schema_text(), "remake it: SCHEMA_FILE.write_text(schema_text())"


HEAD = 'name = "x"\ndescription = "A scenario for tests."\nhours = 1.0\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hours = ", "cannot be read as TOML"),
        (HEAD + "wind = 3\n", "wind"),
        (HEAD + "hours = 2\n", "cannot be read"),
        (HEAD.replace("1.0", "-1"), "hours"),
        (HEAD + '[[fault]]\nkind = "ufo"\nat_min = 1\n', "fault.0"),
        (HEAD + '[[fault]]\nkind = "hidden_loss"\nat_min = 1\ngain = 0.9\nloss = 2\n', "loss"),
        (HEAD + '[[fault]]\nkind = "hidden_loss"\nat_min = 1\n', "gain"),
        (HEAD + "[[recipe]]\nat_min = 1\napi_pct = 90\n", "api_pct"),
        (HEAD + '[[operator]]\nat_min = 1\naction = "sleep"\n', "action"),
        (HEAD + "lab_every_min = 0\n", "lab_every_min"),
        (HEAD + 'scale = { "mixer.speed" = 2.0 }\n', "mixer.speed"),
        (HEAD + 'filled_with = "sugar"\n', "filled_with"),
        (HEAD + '[[fault]]\nkind = "lot"\nat_min = 1\nfeeder = "api"\ndensity = 3\n', "density"),
    ],
)
def test_wrong_scenario_files_are_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=said) as caught:
        load_scenario(str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_unknown_scenario_lists_the_known():
    with pytest.raises(ScenarioError, match=r"hidden_loss.*nominal"):
        load_scenario("nominul")


def faults(*rows):
    return Scenario.model_validate(
        {"name": "x", "description": "A scenario for tests.", "hours": 1.0, "fault": rows}
    ).fault


def test_hidden_loss_may_ramp():
    ramped = faults({"kind": "hidden_loss", "at_min": 10, "gain": 0.9, "ramp_min": 10})
    assert conditions(ramped, 9.9).api_gain == 1.0
    assert conditions(ramped, 15).api_gain == pytest.approx(0.95)
    assert conditions(ramped, 60).api_gain == pytest.approx(0.9)


def test_bridge_and_lost_connection_end():
    rows = faults(
        {"kind": "bridge", "at_min": 1, "flow_factor": 0.5, "duration_s": 60},
        {"kind": "lost_connection", "at_min": 1, "duration_s": 30},
    )
    assert (dict(conditions(rows, 1.4).flow_factors), conditions(rows, 1.4).link_up) == ({"api": 0.5}, False)
    assert (dict(conditions(rows, 1.6).flow_factors), conditions(rows, 1.6).link_up) == ({"api": 0.5}, True)
    assert dict(conditions(rows, 2.1).flow_factors) == {}


def test_drift_grows_by_the_hour_and_fouling_until_cleaned():
    rows = faults(
        {"kind": "nir_drift", "at_min": 10, "rate_pct_per_h": 3.0},
        {"kind": "probe_fouling", "at_min": 10, "jump": 0.1, "ramp_per_min": 0.01, "clean_at_min": 20},
    )
    assert conditions(rows, 70).nir_drift == pytest.approx(0.03)
    assert conditions(rows, 15).fouling == pytest.approx(0.15)
    assert (conditions(rows, 20.5).fouling, conditions(rows, 20.5).cleaning) == (0.0, True)
    assert conditions(rows, 21.5).cleaning is False
