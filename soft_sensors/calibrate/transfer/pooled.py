"""calibration of the old instrument + pairs with references -> the same recipe fitted again for the new instrument.

The calibration spectra are moved by the mean difference of the pairs, and the pairs' new spectra join them. What the
mean difference leaves, the fit learns to look past, because both instruments' spectra are in it. The kinds of recipe
and the family stay the parent's: some fifteen samples cannot choose anew. What they cannot choose is averaged instead:
each linear member also with the derivative's other widths, and with two thirds of its latent variables (fewer hold on
two instruments than on one).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import Pipeline

from soft_sensors.calibrate import kernel, outliers, pls1
from soft_sensors.calibrate.evidence import Evidence
from soft_sensors.calibrate.fit import Calibration, Fitted, Samples
from soft_sensors.calibrate.folds import FOLDS, Folding, IntArray
from soft_sensors.calibrate.kernel import KernelOnScores
from soft_sensors.calibrate.limits import Distances, held_out_distances
from soft_sensors.calibrate.pretreatment import RECIPES, Fused, Recipe, steps, treat, usable
from soft_sensors.calibrate.select import Member
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.card import Card
from soft_sensors.signals import BoolArray, FloatArray

POOLED = "pooled re-calibration"
ON_KERNEL = "kernel on PLS scores"
NOT_KEPT = -1
MOST_FITTED = 8  # members of a re-calibration, our choice: the parent's own first


@dataclass(frozen=True)
class Home:
    """The parent's calibration and recipe, and what is known of n pairs.

    spectra [m, channels], reference [m], fold [m]: what the parent was fitted to; row [n]: the pair's place there
    (-1: none); truth [n]: the pairs' references; trusted [n]: nothing speaks against that reference.
    """

    spectra: FloatArray
    reference: FloatArray
    fold: IntArray
    members: tuple[Member, ...]
    on_kernel: bool
    window: slice
    row: IntArray
    truth: FloatArray
    trusted: BoolArray

    def part(self, kept: BoolArray) -> Home:
        """The same, of some of the pairs [n]."""
        return replace(self, row=self.row[kept], truth=self.truth[kept], trusted=self.trusted[kept])

    def without(self, strange: BoolArray) -> Home:
        """The same, trusting some references [n] no longer."""
        return replace(self, trusted=self.trusted & ~strange)


@dataclass(frozen=True)
class Refitted:
    """Values [n] of the pairs' new spectra by fits that had seen nothing of the pair on either instrument.

    plain: the parent's recipe as it is; mapped: behind a map that was learnt without the pair; pooled: re-calibrated.
    """

    plain: FloatArray
    mapped: FloatArray
    pooled: FloatArray

    def spread(self, kept: BoolArray) -> Refitted:
        """The same among all pairs; NaN where a pair was not kept."""
        rows = []
        for values in (self.plain, self.mapped, self.pooled):
            row = np.full(kept.size, np.nan)
            row[kept] = values
            rows.append(row)
        return Refitted(*rows)


def home_of(evidence: Evidence, card: Card, sample_ids: tuple[str, ...], given: Mapping[str, float]) -> Home | None:
    """The parent's calibration and the pairs' references: given, or those of the calibration by sample_id.

    None where a pair has no reference, or the parent cannot be fitted again from its card (several instruments, a
    network, a model that was itself transferred).
    """
    members = _members(card)
    place = {sample_id: k for k, sample_id in enumerate(evidence.sample_ids)}
    known = {s: float(evidence.reference[k]) for s, k in place.items()} | dict(given)
    if not members or any(s not in known for s in sample_ids):
        return None
    kept = np.flatnonzero(evidence.keep)
    position = {int(k): n for n, k in enumerate(kept.tolist())}
    row = np.array([position.get(place.get(s, NOT_KEPT), NOT_KEPT) for s in sample_ids], dtype=np.int64)
    trusted = np.array([s in given or bool(evidence.keep[place[s]]) for s in sample_ids], dtype=np.bool_)
    return Home(evidence.spectra[kept], evidence.reference[kept], evidence.fold[kept].astype(np.int64), members,
                card.family == ON_KERNEL, card.window, row, np.array([known[s] for s in sample_ids]), trusted)


def refit(home: Home, old: FloatArray, new: FloatArray, maps: tuple[Map, ...], fold: IntArray) -> Refitted:
    """Fit again without each fold of the pairs (whole spectra old, new [n, channels]); maps: one a fold."""
    plain, mapped, pooled = (np.empty(len(new)) for _ in range(3))
    processes = _processes(home)
    for f, chosen in enumerate(maps):
        out, rest = fold == f, (fold != f) & home.trusted
        left = np.setdiff1d(np.arange(len(home.reference)), home.row[out])
        inside = new[out].copy()
        inside[:, home.window] = chosen.spectra(new[out][:, home.window])
        asked = np.vstack([new[out], inside])
        both = _fit_and_predict(home, home.members, processes, home.spectra[left], home.reference[left], asked)
        plain[out] = both[: len(inside)]
        mapped[out] = chosen.slope * both[len(inside):] + chosen.intercept
        moved = home.spectra[left] + mean_difference(old[fold != f], new[fold != f])
        X, y = np.vstack([moved, new[rest]]), np.concatenate([home.reference[left], home.truth[rest]])
        pooled[out] = _fit_and_predict(home, relatives(home), processes, X, y, new[out])
    return Refitted(plain, mapped, pooled)


def doubted(home: Home, refitted: Refitted) -> BoolArray:
    """Pairs [n] whose reference the re-calibration contradicts far more than the others'."""
    found = np.zeros(home.trusted.size, dtype=np.bool_)
    found[home.trusted] = outliers.suspect_references(home.truth[home.trusted], refitted.pooled[home.trusted])
    return found


def fit_pooled(home: Home, samples: Samples) -> tuple[Fitted, ...]:
    """The final members, fitted to the stacked samples."""
    made = []
    for member in relatives(home):
        model = KernelOnScores(member.n_latent) if home.on_kernel else PLSRegression(member.n_latent, scale=False)
        pipeline = Pipeline([*steps(member.recipe, home.window), ("model", model)])
        made.append(Fitted(member.recipe, pipeline.fit(samples.spectra, samples.reference)))
    return tuple(made)


def stack(home: Home, old: FloatArray, new: FloatArray, kept: BoolArray) -> Samples:
    """Calibration spectra moved by the kept pairs' mean difference, then the kept and trusted pairs' new spectra.

    A pair has the fold of its calibration sample, so that both are held out together.
    """
    use = kept & home.trusted
    spectra = np.vstack([home.spectra + mean_difference(old[kept], new[kept]), new[use]])
    first = int(home.fold.max()) + 1
    own = np.where(home.row[use] >= 0, home.fold[home.row[use]], first + np.arange(int(use.sum())) % FOLDS)
    fold = np.concatenate([home.fold, own]).astype(np.int64)
    ids = tuple(str(k) for k in range(len(fold)))
    return Samples(ids, np.arange(spectra.shape[1], dtype=np.float64), spectra,
                   np.concatenate([home.reference, home.truth[use]]), Folding(fold, fold, False, ""))


def distances(home: Home, samples: Samples) -> Distances:
    """Held-out T2, Q and distance of the stacked samples under the member that gives them."""
    best, y = home.members[0], samples.reference
    treated = pls1.compress(treat(best.recipe, home.window, samples.spectra))[0]
    return held_out_distances(treated, y, samples.folding.fold, np.ones(y.size, dtype=np.bool_), best.n_latent)


def recalibration(home: Home, samples: Samples, members: tuple[Fitted, ...], far: Distances, card: Card) -> Calibration:
    """The re-calibrated model as the graph's builder takes it."""
    n = samples.reference.size
    none, axis = np.zeros(n, dtype=np.bool_), replace(samples, axis=card.axis)
    return Calibration(card, members, home.window, axis, np.full(n, np.nan), far.t2, far.q, far.near, none, none, ~none,
                       {})


def mean_difference(old: FloatArray, new: FloatArray) -> FloatArray:
    """What the new instrument adds to a spectrum on average [channels]."""
    return np.asarray((new - old).mean(axis=0), dtype=np.float64)


def _members(card: Card) -> tuple[Member, ...]:
    """The parent's members from its card, best first; empty where the card does not tell them."""
    if card.family not in ("PLS", ON_KERNEL) or card.blocks or card.transfer is not None:
        return ()
    recipes = {recipe.name: recipe for recipe in RECIPES}
    named = [text.rsplit(", ", 1) for text in card.averaged] or [[card.pretreatment, str(card.n_latent)]]
    if any(name not in recipes for name, _ in named):
        return ()
    return tuple(Member(recipes[name], int(size)) for name, size in named)


def relatives(home: Home) -> tuple[Member, ...]:
    """The members of the re-calibration: the parent's, and, of linear ones, their nearest kin."""
    if home.on_kernel:
        return home.members
    kin = [Member(recipe, size) for member in home.members for recipe in _same_kind(member.recipe, home.window)
           for size in (member.n_latent, math.ceil(2 * member.n_latent / 3))]
    return tuple(dict.fromkeys([*home.members, *kin]))[:MOST_FITTED]


def _same_kind(recipe: Recipe | Fused, window: slice) -> list[Recipe]:
    return [other for other in usable(window.stop - window.start)
            if isinstance(recipe, Recipe) and (other.snv, other.derivative) == (recipe.snv, recipe.derivative)]


def _processes(home: Home) -> list[Any]:
    """The kernel of each member, learnt once: as in the parent's cross-validation, its three numbers are not nested."""
    if not home.on_kernel:
        return []
    found = []
    for member in home.members:
        treated = pls1.compress(treat(member.recipe, home.window, home.spectra))[0]
        model = pls1.fit(treated, home.reference, member.n_latent)
        found.append(kernel.fit(pls1.scores(model, treated), home.reference))
    return found


def _fit_and_predict(
    home: Home, members: tuple[Member, ...], processes: list[Any], X: FloatArray, y: FloatArray, asked: FloatArray
) -> FloatArray:
    """Average of the members' values [n] of the asked whole spectra."""
    values = []
    for k, member in enumerate(members):
        treated = treat(member.recipe, home.window, X)
        # In the principal axes of the fit PLS is the same and costs less.
        compressed, axes = pls1.compress(treated)
        there = (treat(member.recipe, home.window, asked) - treated.mean(axis=0)) @ axes
        model = pls1.fit(compressed, y, member.n_latent)
        if processes:
            process = kernel.again(processes[k], pls1.scores(model, compressed), y)
            values.append(kernel.predict(process, pls1.scores(model, there)))
        else:
            values.append(pls1.predict_path(model, there, member.n_latent)[:, -1])
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)
