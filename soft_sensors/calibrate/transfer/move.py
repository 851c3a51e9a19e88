"""bundle + paired spectra -> the bundle's parts for the new instrument: the whole procedure, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate import limits, outliers
from soft_sensors.calibrate.fit import software
from soft_sensors.calibrate.select import BoolArray, Progress
from soft_sensors.calibrate.transfer import choose
from soft_sensors.calibrate.transfer.choose import Judged, Model, Pairs
from soft_sensors.calibrate.transfer.embed import embed
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.card import Card, Transfer
from soft_sensors.contributions import Anatomy
from soft_sensors.errors import CalibrationError, TransferError
from soft_sensors.signals import FloatArray
from soft_sensors.validate import window

FEWEST_PAIRS = 6  # our choice: below, cross-validation cannot tell a transfer from luck
ROUNDS = 4  # of judging and looking for suspect pairs
LITTLE = 1.0 / 3.0  # of the model's own interval: instruments that agree better need no transfer
NARROW = 0.5  # of the calibration's range
WIDENED = 10.0  # times the parent's Q limit: Q then sees little


@dataclass(frozen=True)
class Paired:
    """The same samples on both instruments: whole spectra old, new [n, channels] on the model's axis, finite."""

    sample_ids: tuple[str, ...]
    old: FloatArray
    new: FloatArray


@dataclass(frozen=True)
class Moved:
    """The model for the new instrument, and the evidence.

    graph: serialised; old_values, before, after [n]: the model's values on the old instrument, on the new one without
    a map, and with a map learnt without the pair; rmse by map name, cross-validated; suspect [n]: pairs left out;
    warnings: one line each.
    """

    card: Card
    graph: bytes
    chosen: Map
    paired: Paired
    old_values: FloatArray
    before: FloatArray
    after: FloatArray
    rmse: Mapping[str, float]
    rmse_before: float
    suspect: BoolArray
    warnings: tuple[str, ...]
    anatomy: Anatomy


def move(parent: Bundle, graph: bytes, paired: Paired, name: str, progress: Progress = lambda _: None) -> Moved:
    """Choose, judge and embed a map; TransferError when the pairs do not show that it helps.

    graph: the parent's. CalibrationError when the pairs are fewer than six. Deterministic. The error at home and the
    disagreement of the instruments are taken as independent: their squares add.
    """
    # One thread: the sums are then always taken in the same order.
    with threadpool_limits(1):
        return _move(parent, graph, paired, name, progress)


def _move(parent: Bundle, graph: bytes, paired: Paired, name: str, progress: Progress) -> Moved:
    if len(paired.sample_ids) < FEWEST_PAIRS:
        raise CalibrationError(f"{len(paired.sample_ids)} paired samples; a transfer needs at least {FEWEST_PAIRS}, "
                               "15 to 30 are better")
    model = _model(parent)
    used = window(parent.card)
    old, new = paired.old[:, used], paired.new[:, used]
    pairs = Pairs(old, new, model(old), model(new))
    judged, suspect = _settle(pairs, model, progress)
    kept = np.flatnonzero(~suspect)
    before = pairs.new_out[:, 0] - pairs.old_out[:, 0]
    after = judged.held_out[:, 0] - pairs.old_out[:, 0]
    _refuse_no_gain(before[kept], after[kept], pairs.old_out[kept, 0], parent.card)
    chosen = choose.learn(pairs.part(kept))[judged.chosen]
    card = _card(parent, paired, chosen, kept.tolist(), judged, before, after, name)
    return Moved(
        card, embed(graph, chosen, card.half_width), chosen, paired, pairs.old_out[:, 0], pairs.new_out[:, 0],
        judged.held_out[:, 0], judged.rmse, _rms(before[kept]), suspect,
        _warnings(parent.card, card, paired, suspect, pairs.old_out[kept, 0]), parent.anatomy,
    )


def _model(parent: Bundle) -> Model:
    """The parent as a function of the window's channels alone: the graph sees nothing else."""
    used, size = window(parent.card), parent.card.axis.size

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


def _refuse_no_gain(before: FloatArray, after: FloatArray, values: FloatArray, card: Card) -> None:
    """TransferError unless the transferred values are nearer to the old ones than without, and than their mean is."""
    gain = before**2 - after**2
    verdict = "nothing to gain" if _rms(before) < LITTLE * card.half_width else "no transfer helps"
    figures = f"{_rms(after):.4g} {card.unit}".strip() + " from the old instrument's values (cross-validated)"
    if not float(gain.mean()) > choose.standard_error(gain):
        raise TransferError(f"refused, {verdict}: the best transfer is {figures}, no better than {_rms(before):.4g} "
                            "without any; use the model as it is, or measure more pairs that span the range")
    others = (values.sum() - values) / (values.size - 1) - values
    if not _rms(after) < _rms(others):
        raise TransferError(f"refused: the best transfer is {figures}, but the mean of the other pairs is only "
                            f"{_rms(others):.4g} away; check that sample_id pairs the same samples, and span the range")


def _card(
    parent: Bundle, paired: Paired, chosen: Map, kept: list[int], judged: Judged, before: FloatArray,
    after: FloatArray, name: str,
) -> Card:
    old = parent.card
    agreement = limits.half_width(after[kept], np.arange(len(kept)))
    moved = Transfer(
        parent_name=old.name, parent_hash=parent.bundle_hash, method=chosen.name,
        pairs=tuple(paired.sample_ids[k] for k in kept), rmse_before=_rms(before[kept]), rmse_after=_rms(after[kept]),
        agreement_half_width=agreement, parent_half_width=old.half_width,
    )
    inside = paired.new[kept][:, window(old)]
    low, high = limits.intensity_limits(inside)
    rmsecv = float(np.hypot(old.rmsecv, moved.rmse_after))
    skill = 1.0 - (rmsecv / old.rmsecv_null) ** 2
    if skill <= 0 and old.skill > 0:
        raise TransferError(f"refused: with the transfer's error of {moved.rmse_after:.4g} the model would predict no "
                            "better than the mean of its calibration; measure more pairs that span the range")
    t2, q, near = (judged.held_out[kept, k] for k in (1, 2, 3))
    return replace(
        old, name=name, half_width=float(np.hypot(old.half_width, agreement)),
        t2_limit=max(old.t2_limit, limits.T2_MARGIN * float(t2.max())), q_limit=max(old.q_limit, limits.q_limit(q)),
        distance_limit=max(old.distance_limit, limits.distance_limit(near)),
        intensity_low=low, intensity_high=high, saturation=limits.saturation(inside), flat_run=limits.flat_run(inside),
        rmsecv=rmsecv, skill=skill, evidence=f"{old.evidence} at home; transferred by {chosen.name}",
        software=software(), transfer=moved,
    )


def _warnings(
    old: Card, card: Card, paired: Paired, suspect: BoolArray, values: FloatArray
) -> tuple[str, ...]:
    found = []
    if suspect.any():
        names = ", ".join(paired.sample_ids[k] for k in np.flatnonzero(suspect).tolist())
        found.append(f"left out, the instruments disagree on them beyond all others: {names}")
    if card.transfer is not None and card.transfer.rmse_before < LITTLE * old.half_width:
        found.append(f"little to gain: without transfer the instruments already agree to "
                     f"{card.transfer.rmse_before:.4g}, the model's own interval is ±{old.half_width:.4g}")
    span, home = float(np.ptp(values)), old.reference_high - old.reference_low
    if span < NARROW * home:
        found.append(f"the pairs span {span:.4g}, the calibration {home:.4g}: beyond the pairs the transfer is a guess")
    if card.q_limit > WIDENED * old.q_limit:
        found.append(f"the transferred spectra keep a difference that the calibration never had: the limit of Q had to "
                     f"grow {card.q_limit / old.q_limit:.3g} times and sees less")
    return tuple(found)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


