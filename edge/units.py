"""unit text -> what it measures: the product's units, UCUM and OPC UA's UNECE codes, and conversion between them.

UCUM: The Unified Code for Units of Measure, version 2.1, case sensitive, as far as a line and its laboratory need it:
prefixes, products, quotients, exponents, parentheses and annotations. UNECE: Recommendation 20, as OPC 10000-8, 5.6.3
puts it into EUInformation.unitId. A share of mass and a share of the label claim are both pure numbers in UCUM; here
their annotation counts, so that one is never taken for the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from edge.errors import PatloopError

MOST_TEXT = 64  # characters: longer is no unit
UNECE_NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"
NO_CODE = -1  # what OPC 10000-8 asks for where the unit has no UNECE code

MASS, LABEL = "w/w", "label"  # what a share is a share of
_BASES = {"w/w": MASS, "m/m": MASS, "mass": MASS, "label": LABEL, "label claim": LABEL, "lc": LABEL, "LC": LABEL}

# Spellings of people and machines that are no UCUM -> UCUM.
_SPELT = {
    "% w/w": "%{w/w}", "%w/w": "%{w/w}", "% m/m": "%{w/w}", "wt%": "%{w/w}",
    "% of label claim": "%{label}", "% LC": "%{label}", "%LC": "%{label}", "% label claim": "%{label}",
    "1/min": "/min", "rpm": "{rev}/min", "r/min": "{rev}/min", "1/s": "/s", "1/cm": "/cm", "cm^-1": "/cm",
    "°C": "Cel", "degC": "Cel", "µm": "um", "μm": "um", "µg": "ug", "μg": "ug", "kp": "kgf", "": "1",
}  # fmt: skip

_PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}


class Dimension(NamedTuple):
    """Exponents of mass, length, time and temperature."""

    mass: int = 0
    length: int = 0
    time: int = 0
    temperature: int = 0


# atom -> factor to kg, m, s, K; dimension; whether it takes prefixes (UCUM: "metric").
_ATOMS: dict[str, tuple[float, Dimension, bool]] = {
    "g": (1e-3, Dimension(mass=1), True),
    "t": (1e3, Dimension(mass=1), True),
    "m": (1.0, Dimension(length=1), True),
    "L": (1e-3, Dimension(length=3), True),
    "l": (1e-3, Dimension(length=3), True),
    "s": (1.0, Dimension(time=1), True),
    "min": (60.0, Dimension(time=1), False),
    "h": (3600.0, Dimension(time=1), False),
    "d": (86400.0, Dimension(time=1), False),
    "Hz": (1.0, Dimension(time=-1), True),
    "N": (1.0, Dimension(1, 1, -2), True),
    "gf": (9.80665e-3, Dimension(1, 1, -2), True),
    "Pa": (1.0, Dimension(1, -1, -2), True),
    "bar": (1e5, Dimension(1, -1, -2), True),
    "J": (1.0, Dimension(1, 2, -2), True),
    "W": (1.0, Dimension(1, 2, -3), True),
    "K": (1.0, Dimension(temperature=1), True),
    "%": (1e-2, Dimension(), False),
    "[ppm]": (1e-6, Dimension(), False),
}
_CELSIUS = "Cel"
_ZERO_CELSIUS_K = 273.15

# UCUM -> UNECE code and its name in Recommendation 20.
_UNECE = {
    "kg": ("KGM", "kilogram"), "g": ("GRM", "gram"), "mg": ("MGM", "milligram"),
    "kg/h": ("E93", "kilogram per hour"), "kg/min": ("F31", "kilogram per minute"),
    "g/min": ("F28", "gram per minute"), "g/s": ("F29", "gram per second"), "kg/s": ("KGS", "kilogram per second"),
    "N": ("NEW", "newton"), "kN": ("B47", "kilonewton"), "m": ("MTR", "metre"), "mm": ("MMT", "millimetre"),
    "nm": ("C45", "nanometre"), "/cm": ("E90", "reciprocal centimetre"), "s": ("SEC", "second"),
    "ms": ("C26", "millisecond"), "min": ("MIN", "minute [unit of time]"), "h": ("HUR", "hour"),
    "/min": ("C94", "reciprocal minute"), "{rev}/min": ("RPM", "revolutions per minute"),
    "%": ("P1", "percent"), "Cel": ("CEL", "degree Celsius"), "K": ("KEL", "kelvin"), "Pa": ("PAL", "pascal"),
    "bar": ("BAR", "bar [unit of pressure]"), "L": ("LTR", "litre"),
}  # fmt: skip

# How names of fields end -> UCUM: the naming rule of the record's types.
_ENDINGS = {
    "_s": "s", "_ms": "ms", "_h": "h", "_kg": "kg", "_mg": "mg", "_mm": "mm", "_n": "N", "_kn": "kN", "_kg_h": "kg/h",
    "_rpm": "{rev}/min", "_pct": "%", "_lc_pct": "%{label}", "HopperKg": "kg", "TurretRpm": "{rev}/min",
    "ScrewRpm": "{rev}/min",
}  # fmt: skip
_SHARES_OF_MASS = ("belief", "target", "lab")  # groups of columns whose _pct is % w/w

_TOKEN = re.compile(r"\{[^{}]*\}|\[[a-z_]+\]|[./()]|%|[A-Za-z]+|[+-]?\d+")


class UnitError(PatloopError):
    """A text that is no unit, or two units that do not measure the same; the text says which and how to mend it."""


@dataclass(frozen=True)
class Unit:
    """A unit: its UCUM code, factor (and offset, K) to kg, m, s, K, its dimension, and what a share is a share of."""

    ucum: str
    factor: float
    dimension: Dimension
    basis: str = ""
    offset: float = 0.0


def parse_unit(text: str) -> Unit:
    """The unit that a text in UCUM, or in a spelling the product knows, stands for. Raises UnitError."""
    spelt = text.strip()
    if len(spelt) > MOST_TEXT or not spelt.isprintable():
        raise UnitError(f"{spelt[:MOST_TEXT]!r} is no unit: write it in UCUM, such as kg/h, kN, mg, %{{w/w}}")
    code = _SPELT.get(spelt, spelt)
    if code == _CELSIUS:
        return Unit(code, 1.0, Dimension(temperature=1), offset=_ZERO_CELSIUS_K)
    if code == "1":
        return Unit(code, 1.0, Dimension())
    tokens = [found[0] for found in _TOKEN.finditer(code)]
    if not tokens or "".join(tokens) != code:
        raise UnitError(f"'{spelt}' is no unit: write it in UCUM, such as kg/h, kN, mg, %{{w/w}}, %{{label}}")
    factor, dimension = _Reader(tokens, spelt).whole()
    return Unit(code, factor, dimension, _basis(tokens, dimension))


def convert(value: float, given: str, wanted: str) -> float:
    """A value in another unit of the same dimension. Raises UnitError when the two do not measure the same."""
    have, want = parse_unit(given), parse_unit(wanted)
    if have.dimension != want.dimension:
        raise UnitError(f"'{given}' does not measure what '{wanted}' does: give a unit that can be turned into it")
    if have.basis != want.basis:
        share = "%{w/w} (share of the mass) or %{label} (share of the label claim)"
        raise UnitError(f"'{given}' is not a share of the same as '{wanted}': say which it is, {share}")
    if (have.factor, have.offset) == (want.factor, want.offset):
        return value
    return (value * have.factor + have.offset - want.offset) / want.factor


def same(one: str, other: str) -> bool:
    """Whether two texts stand for the same unit; a bare % may be either share. A text that is no unit equals itself."""
    try:
        first, second = parse_unit(one), parse_unit(other)
    except UnitError:
        return one.strip() == other.strip()
    alike = math.isclose(first.factor, second.factor, rel_tol=1e-12) and first.offset == second.offset
    return alike and first.dimension == second.dimension and (first.basis == second.basis or "%" in (one, other))


def disagreement(told: str, ours: str) -> str:
    """Why a unit that a device tells cannot stand for ours; empty when it can."""
    if same(told, ours):
        return ""
    try:
        factor = convert(1.0, told, ours)
    except UnitError as error:
        return str(error)
    return f"1 {told} is {factor:.6g} {ours}: numbers would be off by that factor"


def ucum(text: str) -> str:
    """The UCUM code of a unit the product writes. Raises UnitError."""
    return parse_unit(text).ucum


def of_column(name: str, setpoints: Mapping[str, str]) -> str | None:
    """The UCUM code of a column of the record by its name's ending, or of a setpoint by its unit; None: no unit.

    setpoints: the units of the line's setpoints, by name.
    """
    group, _, rest = name.partition(".")
    owner, _, tag = rest.partition(".")
    if group in ("recommended", "written") or (group == "reading" and tag in ("PV", "SP_Working", "SP_Remote")):
        unit = setpoints.get(owner)
        return None if unit is None else ucum(unit)
    found = [ending for ending in _ENDINGS if name.endswith(ending)]
    code = _ENDINGS[max(found, key=len)] if found else None
    return "%{w/w}" if code == "%" and group in _SHARES_OF_MASS else code


def engineering_unit(text: str) -> tuple[int, str, str]:
    """OPC UA's unitId (-1: no UNECE code), display name and description of a unit. Raises UnitError."""
    code = parse_unit(text).ucum
    found = _UNECE.get(code) or _UNECE.get(re.sub(r"\{[^{}]*\}", "", code))
    return (NO_CODE, text, code) if found is None else (unit_id(found[0]), text, found[1])


def unit_id(code: str) -> int:
    """The number that OPC UA makes of a UNECE code: its characters as bytes, the first the most significant."""
    return int.from_bytes(code.encode("ascii"), "big")


def of_server(identifier: int, display: str) -> str:
    """The unit that a server's EUInformation stands for: by its code where we know it, else by its display name."""
    by_id = {unit_id(code): text for text, (code, _) in _UNECE.items()}
    return by_id.get(identifier, display)


class _Reader:
    """Reads a UCUM term: component, then any number of '.' component or '/' component."""

    def __init__(self, tokens: list[str], text: str) -> None:
        self._tokens, self._text, self._at = tokens, text, 0

    def whole(self) -> tuple[float, Dimension]:
        found = self._term()
        if self._at != len(self._tokens) or not 0.0 < found[0] < math.inf:
            raise self._wrong()
        return found

    def _term(self) -> tuple[float, Dimension]:
        factor, dimension = 1.0, Dimension()
        sign = 1
        if self._next() == "/":
            self._at += 1
            sign = -1
        while True:
            more, by = self._component()
            if not 0.0 < more < math.inf:
                raise self._wrong()
            factor *= more**sign
            dimension = Dimension(*(a + sign * b for a, b in zip(dimension, by, strict=True)))
            if self._next() not in (".", "/"):
                return factor, dimension
            sign = 1 if self._next() == "." else -1
            self._at += 1

    def _component(self) -> tuple[float, Dimension]:
        token = self._next()
        self._at += 1
        if token == "(":
            found = self._term()
            if self._next() != ")":
                raise self._wrong()
            self._at += 1
            return found
        if token.startswith("{"):
            return 1.0, Dimension()
        if token.isdigit() and int(token) > 0:
            return float(token), Dimension()
        factor, dimension = self._atom(token)
        power = 1
        if re.fullmatch(r"[+-]?\d+", self._next()):
            power = int(self._next())
            self._at += 1
            if not 1 <= abs(power) <= 9:
                raise self._wrong()
        if self._next().startswith("{"):
            self._at += 1  # an annotation of the unit before it
        return factor**power, Dimension(*(power * exponent for exponent in dimension))

    def _atom(self, token: str) -> tuple[float, Dimension]:
        if token in _ATOMS:
            return _ATOMS[token][:2]
        prefix, rest = token[:1], token[1:]
        if prefix in _PREFIXES and rest in _ATOMS and _ATOMS[rest][2]:
            factor, dimension, _ = _ATOMS[rest]
            return _PREFIXES[prefix] * factor, dimension
        raise self._wrong()

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _wrong(self) -> UnitError:
        return UnitError(f"'{self._text}' is no unit: write it in UCUM, such as kg/h, kN, mg, %{{w/w}}, %{{label}}")


def _basis(tokens: list[str], dimension: Dimension) -> str:
    """What a pure number is a share of: as annotated, or mass where it is mass over mass."""
    if any(dimension):
        return ""
    said = [_BASES[t[1:-1]] for t in _annotations(tokens) if t[1:-1] in _BASES]
    if said:
        return said[0]
    return MASS if any(t in ("g", "t") or t[1:] in ("g", "t") for t in tokens if t.isalpha()) else ""


def _annotations(tokens: list[str]) -> Iterator[str]:
    return (token for token in tokens if token.startswith("{"))
