"""The plan: nothing that people have to say may be missing, empty, a placeholder or of the wrong kind."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from soft_sensors.dossier.headings import HEADINGS, lacks_of_options, lacks_of_plan
from soft_sensors.dossier.plan import CONDITIONAL, PlanError, read_plan, template, unfilled

from .dossier_hand import write_plan

TABLES = {table: heading for heading in HEADINGS for table in heading.plan}
KEYS = sorted(f"{table}.{key}" for table, inner in tomllib.loads(template()).items() if isinstance(inner, dict)
              for key, value in inner.items() if isinstance(value, str) and not value.startswith(CONDITIONAL))


def test_a_filled_plan_lacks_nothing(tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path))
    assert list(unfilled(plan)) == []
    assert plan.number("target.range_high") == 14.0
    assert plan.text("use.model_influence") == "medium"
    assert plan.rows("test.set_aside") == ()


def test_the_template_itself_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(template(), encoding="utf-8")
    found = {key for key, _ in unfilled(read_plan(tmp_path / "plan.toml"))}
    assert set(KEYS) <= found
    assert {"maintenance.changes[1].change", "signatures[1].name"} <= found


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [None, "", "   ", "FILL IN: later"])
def test_every_statement_is_asked_for_under_its_heading(tmp_path: Path, key: str, value: object) -> None:
    (lack,) = lacks_of_plan(read_plan(write_plan(tmp_path, {key: value})))
    heading = TABLES[key.partition(".")[0]]
    assert lack.number == heading.number
    assert str(lack).startswith(f"{heading.number} {heading.title}: plan.toml, {key}: give ")


@pytest.mark.parametrize(("key", "value"), [
    ("criteria.max_rmsep", "0.5"), ("criteria.max_rmsep", True), ("use.model_influence", "enormous"),
    ("reference.method", 7),
])  # fmt: skip
def test_the_wrong_kind_is_no_statement(tmp_path: Path, key: str, value: object) -> None:
    assert [k for k, _ in unfilled(read_plan(write_plan(tmp_path, {key: value})))] == [key]


@pytest.mark.parametrize("more", ["[extra]\nkey = 1", '[[test.set_aside]]\nsample_id = "x1"'])
def test_what_a_plan_does_not_know_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(PlanError, match=r"a plan has no extra|sample_id and reason"):
        read_plan(write_plan(tmp_path, more=more))


def test_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("[use\n", encoding="utf-8")
    with pytest.raises(PlanError, match="not valid TOML"):
        read_plan(tmp_path / "plan.toml")


ALL = {"spectra": True, "reference": True, "target": True, "pure": True, "repeat": True}


@pytest.mark.parametrize(("option", "headings"), [
    ("spectra", {9, 14}), ("reference", {9, 14}), ("target", {9, 14}), ("pure", {10}), ("repeat", {11}),
])  # fmt: skip
def test_a_measurement_that_is_not_there_is_named(
    tmp_path: Path, bundle_path: Path, option: str, headings: set[int]
) -> None:
    silent = {"specificity.without_pure_spectra": None, "precision.without_repeat_scans": "FILL IN without --repeat"}
    plan = read_plan(write_plan(tmp_path, silent))
    lacks = lacks_of_options(plan, bundle_path, {**ALL, option: False})
    assert {lack.number for lack in lacks} == headings
    assert all(f"--{option}" in lack.mend for lack in lacks)


def test_a_reason_stands_in_where_that_is_allowed(tmp_path: Path, bundle_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path))
    assert lacks_of_options(plan, bundle_path, {**ALL, "pure": False, "repeat": False}) == []
    without_analyte = read_plan(write_plan(tmp_path, {"specificity.analyte": None}))
    (lack,) = lacks_of_options(without_analyte, bundle_path, ALL)
    assert (lack.number, "specificity.analyte" in lack.mend) == (10, True)


def test_a_bundle_without_its_calibration_set_has_no_evidence(tmp_path: Path) -> None:
    lacks = lacks_of_options(read_plan(write_plan(tmp_path)), tmp_path, ALL)
    assert {lack.number for lack in lacks} == {6, 7, 8, 13}
