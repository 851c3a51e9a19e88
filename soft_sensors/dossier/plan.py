"""PLAN.toml -> Plan: the statements of people; the template is the schema, and no placeholder passes."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from soft_sensors.errors import SensorError

PLACEHOLDER = "FILL IN"
NUMBER, CHOICE = f"{PLACEHOLDER} number", f"{PLACEHOLDER} one of "
CONDITIONAL = f"{PLACEHOLDER} with"  # with or without an option: asked for where that option is or is not given
OPTIONAL_ROWS = {"test.set_aside": ("sample_id", "reason")}


class PlanError(SensorError):
    """The plan's file cannot be read as a plan."""


@dataclass(frozen=True)
class Plan:
    """A plan's table as it was read, its file's name and SHA-256; the getters expect that unfilled() is empty."""

    table: Mapping[str, Any]
    name: str
    sha256: str

    def text(self, key: str) -> str:
        """The text at section.key."""
        return str(_at(self.table, key))

    def number(self, key: str) -> float:
        """The number at section.key."""
        return float(_at(self.table, key))

    def rows(self, key: str) -> tuple[dict[str, str], ...]:
        """The tables at a key, each with texts; none where the key is absent."""
        return tuple({k: str(v) for k, v in row.items()} for row in _at(self.table, key) or ())

    def has(self, key: str) -> bool:
        """Whether there is a text of its own, no placeholder, at section.key."""
        value = _at(self.table, key)
        return isinstance(value, str) and bool(value.strip()) and not value.startswith(PLACEHOLDER)


def template() -> str:
    """The documented plan to fill in."""
    return (files("soft_sensors.dossier") / "template.toml").read_text(encoding="utf-8")


def read_plan(path: Path) -> Plan:
    """Read a plan; PlanError when it is no TOML or has keys that a plan does not know."""
    content = path.read_bytes()
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not valid TOML ({error}); start from 'patloop sensor dossier --template'") from error
    _refuse_unknown(table, path)
    return Plan(table, path.name, hashlib.sha256(content).hexdigest())


def unfilled(plan: Plan) -> Iterator[tuple[str, str]]:
    """Key and mend of every statement that is missing, empty, a placeholder or of the wrong kind."""
    for key, wanted in _wanted(tomllib.loads(template())):
        if isinstance(wanted, list):
            yield from _unfilled_rows(plan, key, wanted[0])
        elif not wanted.startswith(CONDITIONAL) and (mend := _mend(_at(plan.table, key), wanted)):
            yield key, mend


def _mend(value: object, wanted: str) -> str:
    """What is wrong with a value, or an empty text."""
    if wanted.startswith(NUMBER):
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
        return "" if is_number else f"a number: {wanted.partition(': ')[2]}"
    if not isinstance(value, str) or not value.strip() or value.startswith(PLACEHOLDER):
        return wanted.removeprefix(PLACEHOLDER).lstrip(": ")
    if wanted.startswith(CHOICE) and value not in wanted.removeprefix(CHOICE).split(", "):
        return wanted.removeprefix(PLACEHOLDER).strip()
    return ""


def _unfilled_rows(plan: Plan, key: str, wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    rows = _at(plan.table, key)
    if not isinstance(rows, list) or not rows:
        yield key, f"at least one [[{key}]] with {', '.join(wanted)}"
        return
    for number, row in enumerate(rows, start=1):
        for name, text in wanted.items():
            if mend := _mend(row.get(name) if isinstance(row, dict) else None, text):
                yield f"{key}[{number}].{name}", mend


def _wanted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _wanted(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _refuse_unknown(table: Mapping[str, Any], path: Path) -> None:
    known = {key for key, _ in _wanted(tomllib.loads(template()))} | OPTIONAL_ROWS.keys()
    unknown = [key for key, _ in _wanted(table) if key not in known]
    if unknown:
        raise PlanError(f"{path}: a plan has no {', '.join(unknown)}; see 'patloop sensor dossier --template'")
    for key, names in OPTIONAL_ROWS.items():
        for row in _at(table, key) or ():
            if not isinstance(row, dict) or set(row) != set(names):
                raise PlanError(f"{path}: each [[{key}]] has {' and '.join(names)}")


def _at(table: Mapping[str, Any], key: str) -> Any:
    value: Any = table
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
