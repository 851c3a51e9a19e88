"""Each laboratory sample counts once, by tags or by record, and what two systems say differently is told."""

from __future__ import annotations

import math
from dataclasses import replace

from control.signals import LabResult
from edge.lab.join import LabMemory, join, observed
from edge.signals import Link, Scan

WITHIN_S = 30.0
NONE = math.nan
FIRST = LabResult(3, 1000.0, 1300.0, 10.1, 250.0, 90.0)
BY_FILE = replace(FIRST, counter=77, sample_id="S3")


def look(lab: LabResult | None = None, *lims: LabResult, at_s: float = 2000.0) -> Scan:
    return Scan(at_s, Link.ONLINE, 1, 1, {}, lab=lab, lims=lims)


def test_tags_alone_are_left_as_they_are() -> None:
    scan = look(FIRST)
    found, memory = join(LabMemory(), scan, WITHIN_S)
    assert found is scan
    again, memory = join(memory, look(FIRST), WITHIN_S)
    assert again.lab == FIRST, "the tags show their newest result at every look"
    assert memory.known == (FIRST,)


def test_what_the_tags_told_is_not_used_again_from_a_file() -> None:
    _, memory = join(LabMemory(), look(FIRST), WITHIN_S)
    found, memory = join(memory, look(FIRST, replace(BY_FILE, sample_time_s=1020.0)), WITHIN_S)
    assert found.lims == ()
    assert found.told == ()
    assert memory.waiting == ()


def test_what_a_file_told_is_not_used_again_from_the_tags() -> None:
    found, memory = join(LabMemory(), look(None, BY_FILE), WITHIN_S)
    assert found.lims == (BY_FILE,)
    for _ in range(3):
        found, memory = join(memory, look(FIRST), WITHIN_S)
        assert found.lab is None
    other = replace(FIRST, counter=4, sample_time_s=1900.0)
    found, memory = join(memory, look(other), WITHIN_S)
    assert found.lab == other


def test_ids_decide_where_both_have_one() -> None:
    _, memory = join(LabMemory(), look(replace(FIRST, sample_id="S3")), WITHIN_S)
    same_time = replace(BY_FILE, sample_id="S4")
    same_id = replace(BY_FILE, counter=78, sample_time_s=1500.0)
    found, _ = join(memory, look(None, same_time, same_id), WITHIN_S)
    assert found.lims == (same_time,)


def test_two_values_for_one_sample_are_told_and_the_first_is_used() -> None:
    _, memory = join(LabMemory(), look(FIRST), WITHIN_S)
    found, memory = join(memory, look(FIRST, replace(BY_FILE, assay_pct=10.4)), WITHIN_S)
    assert found.lims == ()
    assert "sample S3 has two values, 10.1 and 10.4 % w/w: the first is used" in found.told[0].text
    _, memory = join(LabMemory(), look(None, BY_FILE), WITHIN_S)
    found, _ = join(memory, look(replace(FIRST, assay_pct=9.0)), WITHIN_S)
    assert found.lab is None
    assert "two values, 10.1 and 9 % w/w" in found.told[0].text


def test_a_reason_makes_it_a_correction_of_what_the_tags_told() -> None:
    _, memory = join(LabMemory(), look(FIRST), WITHIN_S)
    correction = replace(BY_FILE, assay_pct=10.4, sample_time_s=1010.0, corrects=True)
    found, memory = join(memory, look(FIRST, correction), WITHIN_S)
    (used,) = found.lims
    assert (used.assay_pct, used.corrects, used.sample_time_s) == (10.4, True, 1000.0)
    assert memory.known[0].assay_pct == 10.4


def test_a_correction_of_nothing_known_is_a_first_word() -> None:
    found, _ = join(LabMemory(), look(None, replace(BY_FILE, corrects=True)), WITHIN_S)
    assert found.lims == (BY_FILE,)


def test_another_quantity_of_a_sample_is_used_alone() -> None:
    assay = replace(BY_FILE, tablet_weight_mg=NONE, hardness_n=NONE)
    _, memory = join(LabMemory(), look(None, assay), WITHIN_S)
    found, memory = join(memory, look(None, replace(BY_FILE, counter=80, hardness_n=NONE)), WITHIN_S)
    (used,) = found.lims
    assert math.isnan(used.assay_pct)
    assert used.tablet_weight_mg == 250.0
    found, memory = join(memory, look(None, replace(BY_FILE, counter=81, hardness_n=NONE)), WITHIN_S)
    assert found.lims == ()


def test_what_is_not_yet_taken_in_waits_and_a_correction_takes_its_place() -> None:
    _, memory = join(LabMemory(), look(None, BY_FILE), WITHIN_S)
    _, memory = join(memory, look(), WITHIN_S)
    assert memory.waiting == (BY_FILE,)
    correction = replace(BY_FILE, counter=90, assay_pct=9.9, corrects=True)
    _, memory = join(memory, look(None, correction), WITHIN_S)
    assert memory.waiting == (replace(correction, corrects=False),), "there is nothing to take back"
    assert observed(memory).waiting == ()


def test_a_sample_from_the_future_is_told_and_not_used() -> None:
    found, memory = join(LabMemory(), look(None, replace(BY_FILE, sample_time_s=2100.0)), WITHIN_S)
    assert found.lims == ()
    assert "100 s from now" in found.told[0].text
    assert memory.known == ()
