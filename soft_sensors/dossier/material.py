"""files -> Material: everything a dossier is written from, read and checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.calibrate.evidence import CALIBRATION, Evidence, check_agreement, read_evidence
from soft_sensors.calibrate.quarantine import overlap
from soft_sensors.card import Card
from soft_sensors.dossier.digits import fixed, places_for, signed
from soft_sensors.dossier.document import Source
from soft_sensors.dossier.headings import Lack, UnsupportedError, lacks_of_options, lacks_of_plan
from soft_sensors.dossier.history import Event, read_history
from soft_sensors.dossier.plan import Plan, read_plan
from soft_sensors.errors import TableError
from soft_sensors.inputs import joined_tables, labels_of, numbers
from soft_sensors.predictions import Prediction, predict
from soft_sensors.read import read_spectra
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import BoolArray, FloatArray
from soft_sensors.validate import axis_fault

COMPARED = 5  # value, lower, upper, T2, Q; a distance that is zero has no relative difference
FEWEST = 3  # test samples: below, no slope and no t-test


@dataclass(frozen=True)
class Inputs:
    """The files and columns named on the command line; None where an option was not given."""

    bundle: Path
    plan: Path
    spectra: Path | None = None
    reference: Path | None = None
    target: str | None = None
    group: str | None = None
    mass: str | None = None
    pure: Path | None = None
    repeat: Path | None = None
    faults: Path | None = None
    registry: Path | None = None


@dataclass(frozen=True)
class TestSet:
    """The independent samples: table and reference y [n] in the target's unit, masses [n], labels [n], predictions.

    aside [n]: the plan sets the reference aside; others: further numeric columns of the reference table, by name.
    """

    table: SpectraTable
    y: FloatArray
    masses: FloatArray | None
    labels: tuple[str, ...] | None
    predictions: tuple[Prediction, ...]
    aside: BoolArray
    others: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Material:
    """What the sections draw on; scale: target unit per card unit (the test set's mean mass, or 1)."""

    plan: Plan
    model: Bundle
    evidence: Evidence
    test: TestSet
    scale: float
    pure: SpectraTable | None
    repeat: SpectraTable | None
    faults: Mapping[str, Any] | None
    history: tuple[Event, ...]
    golden_difference: float
    sources: Mapping[str, Source]

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.model.card

    @property
    def unit(self) -> str:
        """The target's unit, from the plan."""
        return self.plan.text("target.unit")

    @property
    def places(self) -> int:
        """Decimals of results in the target's unit."""
        return places_for(self.card.half_width * self.scale)

    def result(self, value: float) -> str:
        """A result in the target's unit, without the unit."""
        return fixed(value, self.places)

    def change(self, value: float) -> str:
        """A difference in the target's unit, with its sign, without the unit."""
        return signed(value, self.places)

    def source(self, *names: str) -> tuple[Source, ...]:
        """The sources of these names, where they were given."""
        return tuple(self.sources[name] for name in names if name in self.sources)


def gather(inputs: Inputs) -> Material:
    """Read and check all; UnsupportedError names every heading that has no evidence, SensorError a wrong file.

    A test set that shares samples or groups with the calibration set is no evidence.
    """
    plan = read_plan(inputs.plan)
    model = load_bundle(inputs.bundle)
    given = {name: getattr(inputs, name) is not None for name in ("spectra", "reference", "target", "pure", "repeat")}
    if lacks := [*lacks_of_plan(plan), *lacks_of_options(plan, inputs.bundle, given)]:
        raise UnsupportedError(lacks)
    evidence = read_evidence(inputs.bundle)
    check_agreement(evidence, model.card)
    test = _test_set(inputs, plan, model)
    _refuse_overlap(inputs, test)
    return Material(
        plan=plan, model=model, evidence=evidence, test=test,
        scale=1.0 if test.masses is None else float(np.nanmean(test.masses)),
        pure=_spectra(inputs.pure, model.card), repeat=_spectra(inputs.repeat, model.card),
        faults=_faults(inputs.faults), history=read_history(inputs.registry, model.bundle_hash),
        golden_difference=_golden_difference(inputs.bundle, model), sources=_sources(inputs, plan),
    )  # fmt: skip


def _test_set(inputs: Inputs, plan: Plan, model: Bundle) -> TestSet:
    if inputs.spectra is None or inputs.reference is None or inputs.target is None:  # refused before, for the types
        raise UnsupportedError([Lack(9, "give --spectra, --reference and --target of the independent test set")])
    table, references, rows = joined_tables(inputs.spectra, inputs.reference, inputs.target, inputs.mass, inputs.group)
    picked = SpectraTable(tuple(table.sample_ids[k] for k in rows.spectrum_rows), table.axis,
                          table.values[rows.spectrum_rows], table.axis_unit)
    y = numbers(references, rows, inputs.target)
    masses = None if inputs.mass is None else numbers(references, rows, inputs.mass)
    everybody = np.ones(y.size, dtype=np.bool_)
    labels = None if inputs.group is None else tuple(labels_of(references, rows, inputs.group, everybody))
    predictions = tuple(predict(model, picked, masses))
    aside_ids = {row["sample_id"] for row in plan.rows("test.set_aside")}
    if strangers := aside_ids - set(picked.sample_ids):
        raise TableError(f"{plan.name}, test.set_aside: {', '.join(sorted(strangers))} is not in the test set")
    aside = np.array([s in aside_ids for s in picked.sample_ids])
    usable = np.isfinite(y) & np.isfinite([p.value for p in predictions]) & ~aside
    if int(usable.sum()) < FEWEST:
        raise UnsupportedError([Lack(9, f"{int(usable.sum())} usable test sample(s); give at least {FEWEST}")])
    others: dict[str, FloatArray] = {}
    for name in references.columns:
        if name in (inputs.target, inputs.group):
            continue
        try:
            others[name] = numbers(references, rows, name)
        except TableError:
            continue  # a column of texts: nothing to correlate an error with
    return TestSet(picked, y, masses, labels, predictions, aside, others)


def _refuse_overlap(inputs: Inputs, test: TestSet) -> None:
    shared = overlap(inputs.bundle, test.table.sample_ids, test.table.values, test.labels)
    if shared:
        raise UnsupportedError([Lack(14, f"not independent, take it out of the test set: {line}") for line in shared])


def _spectra(path: Path | None, card: Card) -> SpectraTable | None:
    if path is None:
        return None
    table = read_spectra(path)
    if fault := axis_fault(card, table.axis, table.axis_unit or card.axis_unit):
        raise TableError(f"{path}: the spectra do not fit the model {card.name!r}: {fault}")
    if not np.isfinite(table.values).all():
        raise TableError(f"{path}: values that are no numbers; leave such spectra out")
    return table


def _faults(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TableError(f"{path}: not readable ({error}); write it with 'patloop sensor challenge --json'") from error
    if not isinstance(found, dict):
        raise TableError(f"{path}: not the result of 'patloop sensor challenge --json'")
    return found


def _golden_difference(folder: Path, model: Bundle) -> float:
    """Largest relative difference to the golden value, interval, T2 and Q here (loading has checked its limit)."""
    with np.load(folder / "golden.npz", allow_pickle=False) as golden:
        spectra, expected = golden["spectra"], golden["outputs"]
    got = np.array([list(model.infer(row).values()) for row in spectra])[:, :COMPARED]
    expected = expected[:, :COMPARED]
    return float(np.max(np.abs(got - expected) / np.maximum(np.abs(expected), np.finfo(np.float64).tiny)))


def _sources(inputs: Inputs, plan: Plan) -> dict[str, Source]:
    """Name and SHA-256 of each file, by the option that named it; parts of the bundle by their own names."""
    found = {"plan": Source(plan.name, plan.sha256)}
    for name in ("graph.onnx", "card.toml", "golden.npz", "hashes.toml", CALIBRATION):
        found[name] = Source(f"{inputs.bundle.resolve().name}/{name}", _sha256(inputs.bundle / name))
    for option in ("spectra", "reference", "pure", "repeat", "faults"):
        path = getattr(inputs, option)
        if path is not None:
            found[option] = Source(path.name, _sha256(path))
    if inputs.registry is not None:
        log = inputs.registry / "log.jsonl"
        found["registry"] = Source(f"{inputs.registry.resolve().name}/{log.name}", _sha256(log))
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
