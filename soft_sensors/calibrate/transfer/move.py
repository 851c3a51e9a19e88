"""bundle + paired spectra -> the bundle's parts for the new instrument: the whole procedure, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate import outliers
from soft_sensors.calibrate.evidence import Evidence
from soft_sensors.calibrate.select import Progress
from soft_sensors.calibrate.transfer import choose
from soft_sensors.calibrate.transfer.choose import Judged, Model, Pairs, rms
from soft_sensors.calibrate.transfer.describe import LITTLE, Shown, card_of, limits_of, warnings_of
from soft_sensors.calibrate.transfer.likeness import FEWEST_PAIRS as FEWEST_TO_KNOW_SHAPES
from soft_sensors.calibrate.transfer.likeness import fingerprint_on, likeness
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.calibrate.transfer.record import moved_evidence
from soft_sensors.calibrate.transfer.routes import NO_MAP, Route, Tried, mapped, re_calibrated, try_references
from soft_sensors.card import AMOUNT_VIA_MASS, Card
from soft_sensors.errors import CalibrationError, TransferError
from soft_sensors.fingerprint import Fingerprint
from soft_sensors.predictions import predict
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import BoolArray, FloatArray, Quality

FEWEST_PAIRS = 6  # our choice: below, cross-validation cannot tell a transfer from luck
ROUNDS = 4  # of judging and looking for suspect pairs
MOSTLY = 0.8  # our choice: a share of good spectra above which the old limits may stay; by chance 15 pairs reach it


@dataclass(frozen=True)
class Paired:
    """The same samples on both instruments: whole spectra old, new [n, channels] on the model's axis, finite."""

    sample_ids: tuple[str, ...]
    old: FloatArray
    new: FloatArray


@dataclass(frozen=True)
class Known:
    """What is known of the parent and of the pairs beyond spectra: the parent's calibration, references by sample_id
    in the card's unit (they go before those of the calibration)."""

    evidence: Evidence | None = None
    references: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """The model for the new instrument, and the evidence.

    home: the parent's card; graph: serialised; old_values, before, after [n]: the model's values on the old instrument,
    on the new one without a map, and the chosen way, learnt without the pair; rmse by map name, cross-validated;
    held_out [n, 4]: value, T2, Q, distance; suspect [n]: pairs left out; tried: against the references, where they are
    known; explained: arrays that explain answers; evidence: the arrays of calibration.npz (empty: none); warnings: one
    line each.
    """

    card: Card
    home: Card
    graph: bytes
    chosen: Map
    paired: Paired
    old_values: FloatArray
    before: FloatArray
    after: FloatArray
    rmse: Mapping[str, float]
    rmse_before: float
    held_out: FloatArray
    suspect: BoolArray
    tried: Tried | None
    explained: Mapping[str, FloatArray]
    fingerprint: Fingerprint | None
    evidence: Mapping[str, NDArray[Any]]
    warnings: tuple[str, ...]


def move(
    parent: Bundle, graph: bytes, paired: Paired, name: str, progress: Progress = lambda _: None,
    known: Known | None = None,
) -> Moved:
    """Choose, judge and embed a way to the new instrument; TransferError when the pairs do not show that one helps.

    graph: the parent's. CalibrationError when the pairs are fewer than six. Deterministic.
    Maps are judged by the old instrument's values: these carry no reference error, and a dozen pairs can tell more. A
    re-calibration, which needs references, is judged by them against the best map, and taken when it is better by more
    than one standard error.
    """
    # One thread: the sums are then always taken in the same order.
    with threadpool_limits(1):
        return _move(parent, graph, paired, name, progress, known or Known())


def _move(parent: Bundle, graph: bytes, paired: Paired, name: str, progress: Progress, known: Known) -> Moved:
    if len(paired.sample_ids) < FEWEST_PAIRS:
        raise CalibrationError(f"{len(paired.sample_ids)} paired samples; a transfer needs at least {FEWEST_PAIRS}, "
                               "15 to 30 are better")
    model = _model(parent)
    used = parent.card.window
    old, new = paired.old[:, used], paired.new[:, used]
    pairs = Pairs(old, new, model(old), model(new))
    judged, suspect = _settle(pairs, model, progress)
    kept = np.flatnonzero(~suspect)
    tried = try_references(parent.card, known.evidence, known.references, paired.sample_ids, paired.old, paired.new,
                           judged, suspect, progress)
    route = _route(parent, paired, pairs, judged, tried, kept)
    difference = pairs.new_out[:, 0] - pairs.old_out[:, 0]
    after = route.held_out[:, 0] - pairs.old_out[:, 0]
    shown = Shown(route.method, tuple(paired.sample_ids[k] for k in kept.tolist()), paired.new[kept],
                  pairs.old_out[kept, 0], difference[kept], after[kept],
                  None if tried is None else tried.against(route.method))
    card = card_of(parent, shown, route.limits, name)
    card = card if route.members is None else replace(card, averaged=route.members)
    moved_graph, explained = route.build(card, graph)
    progress("learning what good spectra look like on the new instrument")
    shapes, evidence = _shapes_and_evidence(card, paired, kept, route, tried, moved_graph, pairs, known.evidence)
    left_out = tuple(paired.sample_ids[k] for k in np.flatnonzero(suspect).tolist())
    warnings = [*warnings_of(parent.card, card, shown, left_out), *([] if tried is None else tried.warnings)]
    if shapes is None:
        warnings.append("no fingerprint: the shapes of good spectra on the new instrument are not known, T2, Q and "
                        f"distance stand alone; it takes {FEWEST_TO_KNOW_SHAPES} pairs and the parent's "
                        "calibration.npz beside it")
    return Moved(card, parent.card, moved_graph, route.chosen, paired, pairs.old_out[:, 0], pairs.new_out[:, 0],
                 route.held_out[:, 0], judged.rmse, rms(difference[kept]), route.held_out, suspect, tried,
                 explained or parent.anatomy.arrays(), shapes, evidence, tuple(warnings))


def _route(
    parent: Bundle, paired: Paired, pairs: Pairs, judged: Judged, tried: Tried | None, kept: NDArray[np.int64]
) -> Route:
    """Re-calibration, the best map, new limits only, or TransferError: in this order, each where it is due."""
    before = (pairs.new_out - pairs.old_out)[kept, 0]
    after = (judged.held_out - pairs.old_out)[kept, 0]
    gain = before**2 - after**2
    helps = float(gain.mean()) > choose.standard_error(gain)
    if tried is not None and tried.prefers_pooled(helps):
        return re_calibrated(tried, paired.old, paired.new, judged.held_out)
    if helps:
        _refuse_strangers(after, pairs.old_out[kept, 0], parent.card)
        return mapped(choose.learn(pairs.part(kept))[judged.chosen], judged.held_out,
                      limits_of(parent.card, judged.held_out[kept]))
    little = rms(before) < LITTLE * parent.card.half_width
    if little and _share_good(parent, paired, kept) < MOSTLY:
        return mapped(NO_MAP, pairs.new_out, limits_of(parent.card, pairs.new_out[kept]))
    figures = f"{rms(after):.4g} {parent.card.unit}".strip() + " from the old instrument's values (cross-validated)"
    raise TransferError(f"refused, {'nothing to gain' if little else 'no transfer helps'}: the best transfer is "
                        f"{figures}, no better than {rms(before):.4g} without any; "
                        f"{'use the model as it is' if little else 'check that sample_id pairs the same samples'}, or "
                        "measure more pairs that span the range")


def _refuse_strangers(after: FloatArray, values: FloatArray, card: Card) -> None:
    """TransferError unless the transferred values are nearer to the old ones than the mean of these is."""
    others = (values.sum() - values) / (values.size - 1) - values
    if not rms(after) < rms(others):
        figures = f"{rms(after):.4g} {card.unit}".strip() + " from the old instrument's values (cross-validated)"
        raise TransferError(f"refused: the best transfer is {figures}, but the mean of the other pairs is only "
                            f"{rms(others):.4g} away; check that sample_id pairs the same samples, and span the range")


def _share_good(parent: Bundle, paired: Paired, kept: NDArray[np.int64]) -> float:
    """Share of the pairs' new spectra that the parent calls good as it is."""
    table = SpectraTable(tuple(paired.sample_ids[k] for k in kept.tolist()), parent.card.axis, paired.new[kept])
    ones = np.ones(kept.size) if parent.card.target == AMOUNT_VIA_MASS else None
    return float(np.mean([row.quality == Quality.GOOD.value for row in predict(parent, table, ones)]))


def _shapes_and_evidence(
    card: Card, paired: Paired, kept: NDArray[np.int64], route: Route, tried: Tried | None, graph: bytes,
    pairs: Pairs, evidence: Evidence | None,
) -> tuple[Fingerprint | None, Mapping[str, NDArray[Any]]]:
    """Both rest on the parent's calibration spectra: none without these."""
    if evidence is None:
        return None, {}
    ids = tuple(paired.sample_ids[k] for k in kept.tolist())
    found = likeness(evidence, card.window, route.chosen, paired.old[kept], paired.new[kept], ids)
    truth = pairs.old_out[kept, 0] if tried is None else tried.home.truth[kept]
    keep = np.ones(kept.size, dtype=np.bool_) if tried is None else tried.trusted[kept]
    held_out = route.held_out[kept].copy()
    if tried is not None:
        held_out[:, 0] = tried.values(route.method)[kept]
    arrays = moved_evidence(evidence, card, graph, found, ids, truth, held_out, keep)
    enough = kept.size >= FEWEST_TO_KNOW_SHAPES and not card.blocks
    return (fingerprint_on(found, card.window) if enough else None), arrays


def _model(parent: Bundle) -> Model:
    """The parent as a function of the window's channels alone: the graph sees nothing else."""
    used, size = parent.card.window, parent.card.axis.size

    def run(spectra: FloatArray) -> FloatArray:
        whole = np.zeros((len(spectra), size))
        whole[:, used] = spectra
        outputs = [parent.infer(row) for row in whole]
        return np.array([[out[name] for name in ("value", "t2", "q", "distance")] for out in outputs])

    return run


def _settle(pairs: Pairs, model: Model, progress: Progress) -> tuple[Judged, BoolArray]:
    """Judge, leave out pairs that contradict all others (a swapped label, a wet tablet), until the list stays."""
    suspect = np.zeros(len(pairs.old), dtype=np.bool_)
    for n in range(ROUNDS):
        progress(f"cross-validating the transfer on {int((~suspect).sum())} pairs, round {n + 1}")
        kept, left = np.flatnonzero(~suspect), np.flatnonzero(suspect)
        judged = choose.judge(pairs.part(kept), model)
        held_out = np.empty_like(pairs.old_out)
        held_out[kept] = judged.held_out
        if left.size:
            chosen = choose.learn(pairs.part(kept))[judged.chosen]
            held_out[left] = choose.apply(chosen, pairs.part(left), model)
        found = outliers.suspect_references(pairs.old_out[:, 0], held_out[:, 0])
        if np.array_equal(found, suspect):
            break
        # The last round's list belongs to the map that was learnt without it.
        if n < ROUNDS - 1:
            suspect = found
    return replace(judged, held_out=held_out), suspect
