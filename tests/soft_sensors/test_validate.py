"""VALIDATE: every way in which a spectrum can be unusable, each with its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soft_sensors.bundle import Bundle
from soft_sensors.signals import FloatArray, Quality, Spectrum, Verdict
from soft_sensors.validate import Previous, longest_flat_run, validate

NOW = 1002.0


def judge(bundle: Bundle, spectrum: Spectrum, previous: Previous | None = None, now_s: float = NOW) -> Verdict:
    verdict, _ = validate(bundle.card, spectrum, previous or Previous.none(), now_s=now_s, max_age_s=10.0)
    return verdict


def with_values(spectrum: Spectrum, place: int | slice, value: float) -> Spectrum:
    values = spectrum.values.copy()
    values[place] = value
    return replace(spectrum, values=values)


def test_a_good_spectrum_passes(bundle: Bundle, spectrum: Spectrum) -> None:
    assert judge(bundle, spectrum) == Verdict(Quality.GOOD)


def test_the_sources_own_doubt_is_kept(bundle: Bundle, spectrum: Spectrum) -> None:
    doubtful = replace(spectrum, quality=Quality.UNCERTAIN, reason="lamp ageing")
    assert judge(bundle, doubtful) == Verdict(Quality.UNCERTAIN, "lamp ageing")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: replace(s, quality=Quality.BAD, reason="shutter closed"), "shutter closed"),
        (lambda s: replace(s, quality=Quality.BAD), "the analyser says bad"),
        (lambda s: replace(s, axis_unit="cm-1"), "axis unit 'cm-1'"),
        (lambda s: replace(s, axis=s.axis[1:], values=s.values[1:]), "axis has 79 channels, the model 80"),
        (lambda s: replace(s, axis=s.axis + 1.0), "axis differs at channel 0"),
        (lambda s: replace(s, axis=np.where(np.arange(80) == 5, np.nan, s.axis)), "axis differs at channel 5"),
        (lambda s: replace(s, values=s.values[:-1]), "spectrum has 79 values"),
        (lambda s: with_values(s, 3, np.nan), "NaN in 1 channel(s), first at 930 nm"),
        (lambda s: with_values(s, 4, np.inf), "Inf in 1 channel(s), first at 940 nm"),
        (lambda s: with_values(s, 4, -np.inf), "Inf in 1 channel(s)"),
        (lambda s: with_values(s, 40, 1e3), "saturated: 1000 is above"),
        (lambda s: with_values(s, slice(20, 30), float(s.values.max())), "10 neighbouring channels are exactly equal"),
        (lambda s: replace(s, values=s.values - 4.0), "intensity"),
        (lambda s: replace(s, values=s.values * 0.01 - 3.0), "intensity"),
        (lambda s: replace(s, time_s=980.0), "stale: 22.0 s old, allowed 10 s"),
        (lambda s: replace(s, time_s=NOW + 1.5), "1.5 s in the future"),
        (lambda s: replace(s, time_s=np.nan), "no time"),
    ],
)
def test_what_is_wrong_is_bad_and_named(bundle: Bundle, spectrum: Spectrum, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    verdict = judge(bundle, change(spectrum))
    assert verdict.quality is Quality.BAD
    assert reason in verdict.reason


def test_age_and_future_are_allowed_up_to_their_limits(bundle: Bundle, spectrum: Spectrum) -> None:
    assert judge(bundle, replace(spectrum, time_s=NOW - 10.0)).quality is Quality.GOOD
    assert judge(bundle, replace(spectrum, time_s=NOW + 1.0)).quality is Quality.GOOD


def next_of(spectrum: Spectrum) -> Spectrum:
    return replace(spectrum, counter=8, time_s=1001.0, values=spectrum.values + 1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: replace(s, counter=7), "no new scan: acquisition 7"),
        (lambda s: replace(s, counter=3), "counter went back from 7 to 3"),
        (lambda s: s, ""),
        (lambda s: replace(s, time_s=999.0), "time went back by 1.0 s"),
    ],
)
def test_the_sequence_of_scans(bundle: Bundle, spectrum: Spectrum, change, reason: str) -> None:  # type: ignore[no-untyped-def]
    _, seen = validate(bundle.card, spectrum, Previous.none(), now_s=NOW, max_age_s=10.0)
    verdict = judge(bundle, change(next_of(spectrum)), seen)
    assert reason in verdict.reason
    assert (verdict.quality is Quality.BAD) == bool(reason)


def test_a_frozen_scan_is_found_and_the_next_live_one_passes(bundle: Bundle, spectrum: Spectrum) -> None:
    _, seen = validate(bundle.card, spectrum, Previous.none(), now_s=NOW, max_age_s=10.0)
    frozen = replace(next_of(spectrum), values=spectrum.values.copy())
    verdict, seen = validate(bundle.card, frozen, seen, now_s=NOW, max_age_s=10.0)
    assert verdict == Verdict(Quality.BAD, "frozen: acquisition 8 repeats the values of 7")
    live = replace(next_of(spectrum), counter=9)
    assert judge(bundle, live, seen).quality is Quality.GOOD


def test_after_a_restart_of_the_analyser_the_second_scan_passes(bundle: Bundle, spectrum: Spectrum) -> None:
    _, seen = validate(bundle.card, spectrum, Previous.none(), now_s=NOW, max_age_s=10.0)
    verdict, seen = validate(bundle.card, replace(next_of(spectrum), counter=0), seen, now_s=NOW, max_age_s=10.0)
    assert verdict.quality is Quality.BAD
    again = replace(next_of(spectrum), counter=1, values=spectrum.values + 2e-6)
    assert judge(bundle, again, seen).quality is Quality.GOOD


@pytest.mark.parametrize(("values", "longest"), [([1, 2, 3], 1), ([1, 1, 2, 2, 2], 3), ([4, 4], 2), ([5], 1)])
def test_longest_flat_run(values: list[float], longest: int) -> None:
    array: FloatArray = np.array(values, dtype=np.float64)
    assert longest_flat_run(array) == longest
