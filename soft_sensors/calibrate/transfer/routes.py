"""ways to the new instrument: a map before the model, new limits only, or the model fitted again with the pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from soft_sensors.calibrate import limits
from soft_sensors.calibrate.evidence import Evidence, check_agreement
from soft_sensors.calibrate.graph import explanation, graph_bytes
from soft_sensors.calibrate.select import Progress
from soft_sensors.calibrate.transfer import pooled
from soft_sensors.calibrate.transfer.choose import Judged, rms, standard_error
from soft_sensors.calibrate.transfer.describe import LIMITS_ONLY, Against, Limits
from soft_sensors.calibrate.transfer.embed import embed
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.calibrate.transfer.pooled import POOLED, Home, Refitted
from soft_sensors.card import Card
from soft_sensors.signals import BoolArray, FloatArray

NO_MAP = Map(LIMITS_ONLY)
AS_AT_HOME = 0.95  # probability: an error that is larger is no chance any more
FEWEST = 6  # our choice: trusted references, below which they judge nothing


@dataclass(frozen=True)
class Route:
    """A way to the new instrument.

    held_out [n, 4]: value, T2, Q and distance of every pair, held out; build: (card, parent's graph) -> the moved
    graph and the arrays that explain its answers (empty: the parent's). members: of a model that was fitted anew, as
    the card names them (None: the parent's).
    """

    method: str
    chosen: Map
    held_out: FloatArray
    limits: Limits
    build: Callable[[Card, bytes], tuple[bytes, Mapping[str, FloatArray]]]
    members: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Tried:
    """Every way against the references of the n pairs; home_error: the parent's, cross-validated at home; trusted,
    kept [n]: references that count, pairs that do."""

    home_error: float
    home: Home
    refitted: Refitted
    trusted: BoolArray
    kept: BoolArray
    warnings: tuple[str, ...]

    def values(self, method: str) -> FloatArray:
        """Held-out values [n] by a method: re-calibrated, as they are, or mapped."""
        return {POOLED: self.refitted.pooled, LIMITS_ONLY: self.refitted.plain}.get(method, self.refitted.mapped)

    def against(self, method: str) -> Against:
        """The trusted pairs' references and values by the method."""
        use = self.trusted
        return Against(self.home.truth[use], self.refitted.plain[use], self.values(method)[use])

    def prefers_pooled(self, map_helps: bool) -> bool:
        """Whether to fit again rather than to use the best map (or nothing, where no map helps).

        A rival that is as accurate as the model at home is kept unless re-calibration is better by more than one
        standard error. Where the rival is worse than at home, re-calibration is taken unless the rival is better by
        more than one: on 59 draws of the corn pairs (two instruments) it was the better one by 2 to 18 % in the mean,
        on the tablets the two are alike. Always better than the mean of the other pairs.
        """
        rival = self.refitted.mapped if map_helps else self.refitted.plain
        truth, error = self.home.truth[self.trusted], (self.refitted.pooled - self.home.truth)[self.trusted]
        rest = (rival - self.home.truth)[self.trusted]
        others = (truth.sum() - truth) / (truth.size - 1) - truth
        gain = rest**2 - error**2
        as_at_home = float((rest**2).sum()) <= self.home_error**2 * float(chi2.ppf(AS_AT_HOME, truth.size))
        needed = standard_error(gain) if as_at_home else -standard_error(gain)
        return bool(float(gain.mean()) > needed and rms(error) < rms(others))


def try_references(
    card: Card, evidence: Evidence | None, given: Mapping[str, float], sample_ids: tuple[str, ...], old: FloatArray,
    new: FloatArray, judged: Judged, suspect: BoolArray, progress: Progress,
) -> Tried | None:
    """Refit the parent without each fold of the pairs; None where references or the calibration are not known."""
    home = None if evidence is None else pooled.home_of(evidence, card, sample_ids, given)
    if home is None or evidence is None:
        return None
    check_agreement(evidence, card)
    progress("fitting the model again with the pairs, each held out")
    kept = ~suspect
    inner = home.part(kept)
    refitted = pooled.refit(inner, old[kept], new[kept], judged.maps, judged.fold)
    strange = pooled.doubted(inner, refitted)
    if strange.any():
        inner = inner.without(strange)
        refitted = pooled.refit(inner, old[kept], new[kept], judged.maps, judged.fold)
    trusted = kept.copy()
    trusted[kept] = inner.trusted
    if int(trusted.sum()) < FEWEST:
        return None
    doubts = [sample_ids[k] for k in np.flatnonzero(kept & ~trusted).tolist()]
    warnings = (f"references that do not count, suspect at home or here: {', '.join(doubts)}",) if doubts else ()
    return Tried(card.rmsecv, home.without(~trusted), refitted.spread(kept), trusted, kept, warnings)


def mapped(chosen: Map, held_out: FloatArray, bounds: Limits) -> Route:
    """A map (or none) before the parent's graph."""
    return Route(chosen.name, chosen, held_out, bounds, lambda card, graph: (embed(graph, chosen, card.half_width), {}))


def re_calibrated(tried: Tried, old: FloatArray, new: FloatArray, held_out: FloatArray) -> Route:
    """The parent's recipe fitted to both instruments' spectra; limits from all of these, each held out."""
    samples = pooled.stack(tried.home, old, new, tried.kept)
    far = pooled.distances(tried.home, samples)
    members = pooled.fit_pooled(tried.home, samples)
    bounds = Limits(limits.t2_limit(far.t2, tried.home.members[0].n_latent), limits.q_limit(far.q),
                    limits.distance_limit(far.near))

    def build(card: Card, _graph: bytes) -> tuple[bytes, Mapping[str, FloatArray]]:
        made = pooled.recalibration(tried.home, samples, members, far, card)
        return graph_bytes(made), explanation(made)

    shown = held_out.copy()
    shown[:, 0] = tried.values(POOLED)
    n = int(tried.trusted.sum())
    for column, part in ((1, far.t2), (2, far.q), (3, far.near)):
        shown[tried.trusted, column] = part[-n:]
    named = tuple(f"{m.recipe.name}, {m.n_latent}" for m in pooled.relatives(tried.home))
    return Route(POOLED, Map(POOLED), shown, bounds, build, named if len(named) > 1 else ())
