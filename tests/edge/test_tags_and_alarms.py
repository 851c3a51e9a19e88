"""Raw values become readings with quality; alarms stand until they have been quiet for a while."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from control.assess import Finding
from control.signals import Quality
from edge.acquire.raw import Raw
from edge.acquire.tags import to_scan, wanted
from edge.alarms import CLEAR_AFTER_S, update
from edge.config import read_config
from edge.signals import Alarm, Scan

CONFIG, _ = read_config(Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml")
AXIS = (np.linspace(908, 1676, 125), "nm")
STREAM = {
    "AcquisitionCounter": 7,
    "AcquisitionResultStatus": 1,
    "AcquisitionEndTime": 99.0,
    "ExecutionCycle": 16,
    "IsActive": True,
    "DiagnosticStatus": 0,
    "ScaledData": [0.5] * 125,
}


def raw(**changes: object) -> dict[str, Raw]:
    values: dict[str, Raw] = {}
    for tag in wanted(CONFIG):
        name = tag.removeprefix("Nir.")
        found: object = STREAM[name] if tag.startswith("Nir.") else 1.0
        if tag == "Lab.ResultCounter":
            found = 3
        if tag.endswith(".Volumetric"):
            found = False
        values[tag] = Raw(found, Quality.GOOD, "", 100.0)
    for tag, change in changes.items():
        key = tag.replace("__", ".")
        values[key] = change if isinstance(change, Raw) else Raw(change, Quality.GOOD, "", 100.0)
    return values


def scan(now_s: float = 100.0, **changes: object) -> Scan:
    return to_scan(CONFIG, raw(**changes), AXIS, now_s=now_s, epoch=1, session_id=5)


@pytest.mark.parametrize(
    ("value", "quality", "word"),
    [
        (Raw(1.5, Quality.BAD, "BadSensorFailure", 100.0), Quality.BAD, "BadSensorFailure"),
        (Raw(1.5, Quality.UNCERTAIN, "UncertainLastUsableValue", 100.0), Quality.UNCERTAIN, "Uncertain"),
        (math.nan, Quality.BAD, "not finite"),
        (math.inf, Quality.BAD, "not finite"),
        ("text", Quality.BAD, "not a number"),
        (None, Quality.BAD, "not a number"),
        (2.5, Quality.GOOD, ""),
    ],
)
def test_quality_travels_with_the_value(value: object, quality: Quality, word: str) -> None:
    reading = scan(FeederApi__PV=value).readings["FeederApi.PV"]
    assert reading.quality is quality
    assert word in reading.reason


def test_a_flow_that_is_not_updated_goes_bad_unless_the_feeder_is_blind() -> None:
    old = Raw(2.0, Quality.GOOD, "", 80.0)
    assert "stale" in scan(FeederApi__PV=old).readings["FeederApi.PV"].reason
    blind = scan(FeederApi__PV=old, FeederApi__Volumetric=True).readings["FeederApi.PV"]
    assert blind.quality is Quality.GOOD


@pytest.mark.parametrize(
    ("tag", "value", "word"),
    [
        ("Nir__IsActive", False, "not active"),
        ("Nir__ExecutionCycle", 4, "not sampling"),
        ("Nir__AcquisitionResultStatus", 2, "not good"),
        ("Nir__DiagnosticStatus", 1, "NE 107"),
        ("Nir__ScaledData", Raw([0.5] * 125, Quality.BAD, "BadNoCommunication", 0.0), "BadNoCommunication"),
    ],
)
def test_a_spectrum_counts_only_from_a_stream_that_samples(tag: str, value: object, word: str) -> None:
    spectrum = scan(**{tag: value}).spectrum
    assert spectrum is not None
    assert spectrum.quality is Quality.BAD
    assert word in spectrum.reason


def test_a_good_stream_gives_a_good_spectrum_and_no_result_no_lab() -> None:
    seen = scan()
    assert seen.spectrum is not None
    assert (seen.spectrum.quality, seen.spectrum.counter, seen.spectrum.time_s) == (Quality.GOOD, 7, 99.0)
    assert seen.lab is not None
    assert seen.lab.counter == 3
    assert scan(Lab__ResultCounter=0).lab is None
    assert scan(Nir__AcquisitionCounter=0).spectrum is None


def test_alarms_stand_until_quiet_and_keep_their_start() -> None:
    high, low = Finding("divert", "x", 1), Finding("drift", "y", 2)
    alarms, _ = update((), (), [low], 10.0)
    alarms, _ = update(alarms, (), [low, high], 20.0)
    assert [(a.name, a.since_s) for a in alarms] == [("divert", 20.0), ("drift", 10.0)]
    assert update(alarms, (), [], 20.0 + CLEAR_AFTER_S)[0] != ()
    assert update(alarms, (), [], 21.0 + CLEAR_AFTER_S)[0] == ()


def test_a_finding_that_must_last_is_raised_only_then_and_keeps_its_start() -> None:
    drift = Finding("nir_drift", "x", 2, persist_s=100.0)
    alarms, pending = update((), (), [drift], 10.0)
    assert (alarms, [a.name for a in pending]) == ((), ["nir_drift"])
    alarms, pending = update(alarms, pending, [drift], 60.0)
    assert alarms == ()
    alarms, pending = update(alarms, pending, [drift], 110.0)
    assert [(a.name, a.since_s) for a in alarms] == [("nir_drift", 10.0)]
    assert pending == ()
    gone, waiting = update((), (Alarm("nir_drift", "x", 2, 10.0, 20.0),), [drift], 200.0)
    assert gone == ()
    assert [a.since_s for a in waiting] == [200.0], "a gap begins it anew"
