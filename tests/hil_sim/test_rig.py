"""The rig: tags, access, determinism, laboratory, spectra, scenarios played."""

from __future__ import annotations

import math
import statistics

import pytest
from hil_hand import Hand, quiet_rig

from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario
from hil_sim.tags import TAGS


def played(name, minutes, seed=1):
    rig = Rig(load_scenario(name), seed)
    for _ in range(round(minutes * 120)):
        rig.step(0.5)
    return rig


def test_read_shows_every_tag_in_its_type():
    kinds = {"double": float, "datetime": float, "bool": bool, "string": str, "doubles": tuple,
             "uint32": int, "uint16": int, "int32": int}  # fmt: skip
    for rig in (Rig(load_scenario("nominal"), 1), played("nominal", 26)):
        tags = rig.read()
        assert set(tags) == set(TAGS)
        for name, tag in tags.items():
            assert type(tag.value) is kinds[TAGS[name].kind], name


def test_same_seed_same_run_and_another_seed_another():
    one, two, other = (played("nominal", 10, seed) for seed in (4, 4, 5))
    assert one.truth() == two.truth()
    assert one.acquisition == two.acquisition
    assert one.truth().api_pct != other.truth().api_pct


def test_starts_steady_at_the_recipe():
    rig = Rig(load_scenario("nominal"), 1)
    assert rig.truth().api_lc_pct == pytest.approx(100.0)
    assert rig.truth().throughput_kg_h == pytest.approx(20.0, rel=0.01)
    assert rig.read()["Line.State"].value == 6
    assert rig.read()["Line.Time"].value == 1_760_000_000.0


@pytest.mark.parametrize(
    ("tag", "value", "user", "status"),
    [
        ("Apc.Nothing", 1, "edge", "bad_node_unknown"),
        ("FeederApi.PV", 2.0, "edge", "bad_not_writable"),
        ("Apc.OperatorEnable", True, "edge", "bad_user_access"),
        ("Apc.HeartbeatIn", 1, "operator", "bad_user_access"),
        ("Apc.HeartbeatIn", 1, "", "bad_user_access"),
        ("Apc.HeartbeatIn", 1.5, "edge", "bad_type"),
        ("Apc.HeartbeatIn", True, "edge", "bad_type"),
        ("Apc.Request", 1, "edge", "bad_type"),
        ("Apc.ConfigHash", 3, "edge", "bad_type"),
        ("Apc.ConfigHash", "x" * 300, "edge", "bad_type"),
        ("FeederApi.SP_Remote", "2", "edge", "bad_type"),
        ("Apc.HeartbeatIn", -1, "edge", "bad_out_of_range"),
        ("Apc.HeartbeatIn", 2**32, "edge", "bad_out_of_range"),
        ("Apc.ModeRequest", 3, "edge", "bad_out_of_range"),
        ("Recipe.ApiPct", math.nan, "operator", "bad_out_of_range"),
        ("Recipe.ApiPct", 40.0, "operator", "bad_out_of_range"),
        ("Apc.ConfigHash", "abc", "edge", "good"),
        ("Recipe.TabletWeightMg", 260.0, "operator", "good"),
    ],
)
def test_write_rights_types_and_ranges(tag, value, user, status):
    assert Rig(load_scenario("nominal"), 1).write(tag, value, user=user) == status


def test_nir_counts_up_every_five_seconds():
    rig = Rig(load_scenario("nominal"), 1)
    assert rig.read()["Nir.ScaledData"].status == "bad"
    counters = []
    for _ in range(60):
        rig.step(0.5)
        counters.append(rig.read()["Nir.AcquisitionCounter"].value)
    assert counters[-1] == 6
    assert sorted(set(counters)) == list(range(7))
    tags = rig.read()
    assert len(tags["Nir.ScaledData"].value) == len(tags["Nir.Axis"].value) == 125
    assert tags["Nir.AcquisitionEndTime"].value == rig.time_s
    assert (tags["Nir.AcquisitionResultStatus"].value, tags["Nir.ExecutionCycle"].value) == (1, 16)


def test_cleaning_is_told_and_takes_no_spectra():
    rig = played("probe_fouling", 90.5)
    tags = rig.read()
    assert (tags["Nir.ExecutionCycle"].value, tags["Nir.IsActive"].value) == (2, False)
    counter = tags["Nir.AcquisitionCounter"].value
    for _ in range(120):
        rig.step(0.5)
    after = rig.read()
    assert after["Nir.ExecutionCycle"].value == 16
    assert 0 < after["Nir.AcquisitionCounter"].value - counter <= 12


def test_laboratory_is_late_and_speaks_of_the_sample_time():
    rig = Rig(load_scenario("nominal"), 2)
    truth_at_sample = None
    for step in range(26 * 120):
        rig.step(0.5)
        if step + 1 == 20 * 120:
            truth_at_sample = rig.truth()
        if rig.elapsed_s < 25 * 60:
            assert rig.read()["Lab.ResultCounter"].value == 0
    tags = rig.read()
    assert tags["Lab.ResultCounter"].value == 1
    assert tags["Lab.SampleTime"].value == truth_at_sample.time_s
    assert tags["Lab.ResultTime"].value - tags["Lab.SampleTime"].value == 300.0
    assert tags["Lab.AssayPct"].value == pytest.approx(truth_at_sample.api_pct, rel=0.025)
    assert tags["Lab.AssayLcPct"].value == pytest.approx(10.0 * tags["Lab.AssayPct"].value)
    assert tags["Lab.TabletWeightMg"].value == pytest.approx(truth_at_sample.tablet_weight_mg, rel=0.02)


def test_flows_are_uncertain_while_volumetric():
    rig = Rig(load_scenario("nominal"), 1)
    seen = set()
    frozen = set()
    for _ in range(20 * 120):
        rig.step(0.5)
        tags = rig.read()
        seen.add((tags["FeederMcc.Volumetric"].value, tags["FeederMcc.PV"].status))
        if tags["FeederMcc.Refilling"].value:
            frozen.add(tags["FeederMcc.PV"].value)
    assert seen == {(True, "uncertain"), (False, "good")}
    assert len(frozen) == 1


def test_nominal_variability_is_that_of_the_reference_study():
    rsd = []
    for seed in (1, 2, 3):
        rig = Rig(load_scenario("nominal"), seed)
        values = []
        while not rig.finished:
            rig.step(0.5)
            if rig.elapsed_s > 600 and rig.time_s % 5 == 0:
                values.append(rig.truth().api_lc_pct)
        rsd.append(100 * statistics.pstdev(values) / statistics.mean(values))
    assert 0.45 < statistics.mean(rsd) < 0.8


def test_hidden_loss_lowers_the_product_and_shows_on_no_feeder():
    rig = played("hidden_loss", 75)
    assert rig.truth().api_gain == 0.96
    assert 94.5 < rig.truth().api_lc_pct < 98.0
    assert rig.read()["FeederApi.PV"].value == pytest.approx(2.0, rel=0.03)
    assert rig.line.ledger.lost[0] == pytest.approx(0.04 * 2.0 * 0.25, rel=0.03)


def test_grade_change_moves_the_target_and_local_follows():
    rig = played("grade_change", 61)
    assert rig.truth().target_api_pct == 12.0
    assert rig.truth().api_lc_pct < 90.0
    assert rig.read()["FeederApi.SP_Working"].value == pytest.approx(2.4)


def test_lost_connection_takes_no_writes_and_mends():
    rig = played("lost_connection", 60.2)
    assert rig.link_up is False
    assert rig.write("Apc.HeartbeatIn", 1, user="edge") == "bad_communication_error"
    assert rig.write("Apc.OperatorEnable", True, user="operator") == "good"
    for _ in range(60):
        rig.step(0.5)
    assert rig.link_up is True
    assert rig.write("Apc.HeartbeatIn", 1, user="edge") == "good"


def test_a_lost_connection_sheds_the_controller():
    fault = {"kind": "lost_connection", "at_min": 2.0, "duration_s": 30.0}
    hand = Hand(quiet_rig(fault=(fault,)))
    hand.go_remote()
    while hand.rig.elapsed_s < 155:
        hand.cycle()
    assert hand.value("Apc.Mode") == 3
    assert hand.value("Apc.ShedReason") == 1
