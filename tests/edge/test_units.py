"""Units: UCUM as far as a line needs it, OPC UA's codes, and no number taken for what it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import read_config
from edge.units import UnitError, convert, disagreement, engineering_unit, of_server, parse_unit, same, ucum, unit_id
from hil_sim.tags import TAGS

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


@pytest.mark.parametrize(
    ("value", "given_unit", "wanted", "expected"),
    [
        (50.0, "g/min", "kg/h", 3.0),
        (3.0, "kg/h", "g/s", 3000.0 / 3600.0),
        (9550.0, "N", "kN", 9.55),
        (0.25, "g", "mg", 250.0),
        (3.2, "mm", "um", 3200.0),
        (1.0, "kN", "kg.m/s2", 1000.0),
        (104.0, "mg/g", "%{w/w}", 10.4),
        (10.4, "% w/w", "g/(100.g)", 10.4),
        (25.0, "Cel", "K", 298.15),
        (1.0, "bar", "kPa", 100.0),
        (60.0, "/min", "Hz", 1.0),
        (10.0, "kp", "N", 98.0665),
        (10000.0, "cm-1", "/mm", 1000.0),
        (98.5, "%{label}", "% of label claim", 98.5),
    ],
)
def test_conversion(value: float, given_unit: str, wanted: str, expected: float) -> None:
    assert convert(value, given_unit, wanted) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("given_unit", "wanted"),
    [("kg", "kg/h"), ("%{label}", "%{w/w}"), ("%", "%{w/w}"), ("mg", "N"), ("nm", "cm-1"), ("mg/g", "%{label}")],
)
def test_what_is_not_the_same_quantity_is_refused(given_unit: str, wanted: str) -> None:
    with pytest.raises(UnitError, match=r"does not measure|not a share of the same"):
        convert(1.0, given_unit, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "kgh", "m/", "/", "(g", "g)", "g//h", "xyz", "k%", "kmin", "g0", "g99", "m-", "10*-2", "kg\0", "g" * 65, "{",
        "Gg9." * 15 + "g9", "1/(pg9.pg9.pg9.pg9)",
    ],
)  # fmt: skip
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match="is no unit"):
        parse_unit(text)


@given(st.text(max_size=80))
def test_any_text_is_a_unit_or_an_error(text: str) -> None:
    try:
        found = parse_unit(text)
    except UnitError:
        return
    assert found.factor > 0
    assert same(text, text)
    assert convert(1.0, found.ucum, found.ucum) == 1.0


def test_every_unit_of_the_reference_line_and_its_simulator_is_known() -> None:
    config, _ = read_config(LINE_FILE)
    units = {mv.unit for mv in config.mv} | {tag.unit for tag in TAGS.values()}
    assert {ucum(unit) for unit in units} >= {"kg/h", "kN", "mg", "mm", "nm", "N", "s", "/min", "%{w/w}"}


def test_a_device_is_believed_by_code_first_then_by_name() -> None:
    assert unit_id("E93") == 0x453933
    assert engineering_unit("kg/h") == (0x453933, "kg/h", "kilogram per hour")
    assert engineering_unit("% w/w")[0] == unit_id("P1")
    assert engineering_unit("kg/h/s")[0] == -1
    assert of_server(unit_id("F28"), "whatever it is called here") == "g/min"
    assert of_server(-1, "kN") == "kN"


def test_disagreement_says_how_much_numbers_would_be_off() -> None:
    assert disagreement("kg/h", "kg/h") == ""
    assert disagreement("kg.h-1", "kg/h") == ""
    assert "0.06 kg/h" in disagreement("g/min", "kg/h")
    assert "does not measure" in disagreement("kN", "kg/h")
    assert disagreement("%", "% w/w") == ""
    assert "is no unit" in disagreement("Kilo", "kg/h")
