"""Evidence and room: never more room with less evidence, and with none of it plain ratio control."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.authority import Evidence, authority, caps
from control.settings import AuthoritySettings, ControlSettings
from control.signals import Authority

TABLE = AuthoritySettings()
BEST = Evidence(interval_pct=2.0, covered=1.0, nir_age_s=5.0, lab_age_s=600.0, lab_seen=True, skill=0.9)
ages = st.floats(min_value=0.0, max_value=20_000.0)
shares = st.floats(min_value=0.0, max_value=1.0)
evidences = st.builds(
    Evidence, interval_pct=st.floats(min_value=0.0, max_value=40.0), covered=st.none() | shares, nir_age_s=ages,
    lab_age_s=ages, lab_seen=st.booleans(), skill=st.none() | shares,
    filling_pct=st.floats(min_value=0.0, max_value=100.0),
)  # fmt: skip


def test_the_best_evidence_gives_all_of_the_room_and_says_nothing() -> None:
    assert authority(TABLE, BEST) == Authority(1.0, 1.0, "")


@given(evidences, st.sampled_from(["interval_pct", "nir_age_s", "lab_age_s", "filling_pct"]), ages)
def test_more_doubt_never_gives_more_room(seen: Evidence, what: str, more: float) -> None:
    worse = replace(seen, **{what: getattr(seen, what) + more})
    assert authority(TABLE, worse).pat <= authority(TABLE, seen).pat
    assert authority(TABLE, worse).weight <= authority(TABLE, seen).weight


@given(evidences, st.sampled_from(["covered", "skill"]), shares, shares)
def test_less_coverage_or_skill_never_gives_more_room(seen: Evidence, what: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    rooms = [authority(TABLE, replace(seen, **{what: share})).pat for share in (less, more)]
    assert rooms[0] <= rooms[1]


@given(evidences)
def test_the_room_is_the_product_of_its_parts_and_names_the_least(seen: Evidence) -> None:
    alone = [
        authority(TABLE, replace(BEST, interval_pct=seen.interval_pct)).pat,
        authority(TABLE, replace(BEST, nir_age_s=seen.nir_age_s)).pat,
        authority(TABLE, replace(BEST, lab_age_s=seen.lab_age_s)).pat,
        authority(TABLE, replace(BEST, covered=seen.covered)).pat,
        authority(TABLE, replace(BEST, skill=seen.skill)).pat,
        authority(TABLE, replace(BEST, filling_pct=seen.filling_pct)).pat,
    ]
    given_now = authority(TABLE, seen)
    assert given_now.pat == pytest.approx(math.prod(alone))
    assert 0.0 <= given_now.pat <= 1.0
    if min(alone) < 1.0:
        assert f"leaves {100 * min(alone):.0f} %" in given_now.reason


@pytest.mark.parametrize(
    ("what", "half", "value"),
    [
        ("interval_pct", 12.5, 0.5), ("nir_age_s", 480.0, 0.5), ("covered", 0.5, 0.5), ("skill", 0.25, 0.5),
        ("lab_age_s", 7200.0, 0.75), ("lab_age_s", 1e6, 0.5), ("interval_pct", 20.0, 0.0), ("nir_age_s", 900.0, 0.0),
        ("filling_pct", 5.0, 1.0), ("filling_pct", 7.5, 0.5), ("filling_pct", 10.0, 0.0),
    ],
)  # fmt: skip
def test_the_ramps_are_where_the_table_says(what: str, half: float, value: float) -> None:
    assert authority(TABLE, replace(BEST, **{what: half})).pat == pytest.approx(value)


def test_what_is_no_number_gives_no_room() -> None:
    for what in ("interval_pct", "nir_age_s", "filling_pct"):
        assert authority(TABLE, replace(BEST, **{what: math.nan})).pat == 0.0
    assert authority(TABLE, replace(BEST, interval_pct=math.inf)).pat == 0.0


def test_the_force_has_room_only_by_the_laboratory() -> None:
    assert authority(TABLE, replace(BEST, lab_seen=False)).weight == 0.0
    assert authority(TABLE, replace(BEST, lab_age_s=TABLE.lab_age_none_s)).weight == 0.0
    assert authority(TABLE, replace(BEST, interval_pct=40.0)).weight == 1.0, "the NIR says nothing of weight"


@pytest.mark.parametrize("seen", [
    replace(BEST, interval_pct=3 * 3.3), replace(BEST, lab_age_s=7000.0), replace(BEST, nir_age_s=300.0),
])  # fmt: skip
def test_interval_times_three_no_laboratory_and_stale_nir_each_shrink_the_caps(
    settings: ControlSettings, seen: Evidence
) -> None:
    full, less = (caps(settings, authority(TABLE, e), 0.0) for e in (BEST, seen))
    feeders = [mv for mv in settings.mv if mv.role != "force"]
    assert {mv.name: full[mv.name] for mv in feeders} == {mv.name: mv.trim_cap_pct for mv in feeders}
    assert all(0.0 < less[mv.name] < full[mv.name] for mv in feeders)


def test_a_transition_has_room_of_its_own_but_not_without_evidence(settings: ControlSettings) -> None:
    still, moving, blind = (caps(settings, Authority(pat, 1.0), t) for pat, t in ((1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    extra = settings.authority.transition_cap_pct
    assert moving["FeederApi"] - still["FeederApi"] == pytest.approx(extra)
    assert moving["FeederMcc"] - still["FeederMcc"] == pytest.approx(0.2 * extra)
    assert {n: v for n, v in blind.items() if n != "MainForce"} == dict.fromkeys(set(blind) - {"MainForce"}, 0.0)
    assert moving["MainForce"] == still["MainForce"] == settings.authority.force_cap_pct
