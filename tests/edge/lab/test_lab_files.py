"""Laboratory results: read or refused with a reason, each kept with what it means beside the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.lab.files import read_results
from edge.lab.intake import Entered, Intake, Origin
from edge.lab.result import ResultError, Told, converted, parse_result
from edge.record.journal import Journal

T0 = 1_780_000_000.0
NOW = T0 + 3600.0
HEADER = "sample_id,sample_time,assay,assay_unit,weight,weight_unit,reason\n"
GOOD = {"sample_id": "S1", "sample_time": "2026-05-28T20:30:00Z", "assay": 10.1, "assay_unit": "%{w/w}"}


def told(sample_id: str = "S1", at_s: float = T0 + 600.0, reason: str = "", **values: float) -> Told:
    units = {"assay": "%{w/w}", "weight": "mg", "hardness": "N"}
    return Told(sample_id, at_s, None, {n: (v, units[n]) for n, v in values.items()}, reason=reason)


def enter(intake: Intake, result: Told | None, why: str = "") -> Entered:
    return intake.enter(result, why, Origin("test"), NOW)


# reading


def test_units_are_converted_and_the_claim_is_asked_for() -> None:
    found = parse_result({**GOOD, "assay": "101", "assay_unit": "%{label}", "weight": "0.25", "weight_unit": "g",
                          "hardness": 10.0, "hardness_unit": "kp"})  # fmt: skip
    values = converted(found, 10.0)
    assert values["assay_pct"] == pytest.approx(10.1)
    assert values["tablet_weight_mg"] == pytest.approx(250.0)
    assert values["hardness_n"] == pytest.approx(98.0665)
    with pytest.raises(ResultError, match="no label claim"):
        converted(found, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"asay": 3}, "not a field"),
        ({"sample_id": ""}, "'sample_id' is missing"),
        ({"sample_time": None}, "'sample_time' is missing"),
        ({"sample_time": "2026-05-28 20:30"}, "no time zone"),
        ({"sample_time": "yesterday"}, "is no time"),
        ({"assay_unit": ""}, "without its unit"),
        ({"assay": "10,1"}, "with a point"),
        ({"assay": "nan"}, "is no number"),
        ({"assay": "1e999"}, "leave it out"),
        ({"assay": "1_0"}, "is no number"),
        ({"assay": "١٠"}, "is no number"),
        ({"assay": True}, "is no number"),
        ({"assay": None, "assay_unit": ""}, "nothing was measured"),
        ({"assay": None}, "'assay' is not"),
        ({"reason": "two\nlines"}, "one line"),
        ({"analyst": ["x"]}, "must be text"),
    ],
)
def test_what_is_no_result_is_named(change: dict[str, object], why: str) -> None:
    with pytest.raises(ResultError, match=why):
        parse_result({**GOOD, **change})


@pytest.mark.parametrize(
    ("value", "unit", "why"),
    [(101.0, "%{w/w}", "cannot be"), (-1.0, "%{w/w}", "cannot be"), (10.0, "%", "share of"), (1.0, "N", "does not")],
)
def test_values_that_cannot_be_are_refused(value: float, unit: str, why: str) -> None:
    with pytest.raises(ResultError, match=why):
        converted(Told("S1", T0, None, {"assay": (value, unit)}), 10.0)


def test_both_forms_of_file_give_the_same_results() -> None:
    rows = HEADER + "S1,2026-05-28T20:30:00Z,10.1,%{w/w},,,\nS2,2026-05-28T21:00:00Z,,,250,mg,\nS3,x,1,mg,,,\n"
    by_csv = read_results("a.csv", rows.encode())
    objects = [
        {"sample_id": "S1", "sample_time": "2026-05-28T20:30:00Z", "assay": 10.1, "assay_unit": "%{w/w}"},
        {"sample_id": "S2", "sample_time": "2026-05-28T21:00:00Z", "weight": "250", "weight_unit": "mg"},
        {"sample_id": "S3", "sample_time": "x"},
    ]
    by_json = read_results("a.JSON", json.dumps({"results": objects}).encode())
    assert by_csv == by_json
    assert [entry.told is None for entry in by_csv] == [False, False, True]
    assert read_results("a.csv", rows.replace(",", ";").encode("utf-8-sig")) == by_csv


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.csv", b"", "first line"),
        ("a.csv", b"sample_id,sample_id,sample_time\n", "each once"),
        ("a.csv", HEADER.encode(), "holds 0 results"),
        ("a.csv", b"\xff\xfe", "not UTF-8"),
        ("a.csv", b"x" * 1_000_001, "larger"),
        ("a.xls", b"x", "'.xls' is not read"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"assay": NaN}', "not JSON"),
        ("a.json", b'{"assay": 1, "assay": 2}', "given twice"),
        ("a.json", b"[]", "holds 0 results"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(name: str, raw: bytes, why: str) -> None:
    with pytest.raises(ResultError, match=why):
        read_results(name, raw)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.json"]), st.booleans())
def test_any_bytes_are_results_or_an_error(raw: bytes, name: str, headed: bool) -> None:
    try:
        found = read_results(name, HEADER.encode() + raw if headed else raw)
    except ResultError:
        return
    assert all((entry.told is None) == bool(entry.why) for entry in found)


# meaning


def test_each_result_is_kept_with_what_it_means(intake: Intake, journal: Journal) -> None:
    first = enter(intake, told(assay=10.1))
    assert first.status == "new"
    assert enter(intake, told(assay=10.1)).status == "duplicate"
    assert enter(intake, told(hardness=90.0)).status == "addition"
    refused = enter(intake, told(assay=9.1))
    assert (refused.status, "needs a 'reason'" in refused.why) == ("refused", True)
    corrected = enter(intake, told(assay=9.1, reason="wrong balance"))
    assert corrected.status == "correction"
    body = journal.get(corrected.seq).content()  # type: ignore[union-attr]
    assert body["before"]["assay_pct"] == 10.1
    assert (body["assay_pct"], body["hardness_n"], body["reason"]) == (9.1, 90.0, "wrong balance")
    moved = enter(intake, told(at_s=T0 + 660.0, assay=9.1))
    assert (moved.status, "another sample_time" in moved.why) == ("refused", True)
    kept = [row.content()["status"] for row in journal.rows(kind="lab_result")]
    assert kept == ["new", "duplicate", "addition", "refused", "correction", "refused"], "nothing is lost"


@pytest.mark.parametrize(
    ("at_s", "why"),
    [(NOW + 3600.0, "future"), (T0 - 200.0, "not known"), (NOW - 80 * 3600.0, "back")],
)
def test_samples_that_cannot_be_joined_are_refused_into_the_record(
    intake: Intake, journal: Journal, at_s: float, why: str
) -> None:
    found = enter(intake, told(at_s=at_s, assay=10.0))
    assert found.status == "refused"
    assert why in found.why
    assert journal.get(found.seq).content()["told"] == {"assay": [10.0, "%{w/w}"]}  # type: ignore[union-attr]


def test_the_label_claim_is_the_recipe_when_the_sample_was_taken(intake: Intake, journal: Journal) -> None:
    found = enter(intake, replace(told(), values={"assay": (102.0, "%{label}")}))
    assert journal.get(found.seq).content()["assay_pct"] == pytest.approx(10.2)  # type: ignore[union-attr]
