"""Network + samples it was not trained on -> Wrapped: what it says of them, how well, and where it holds.

Nothing is fitted to the references: every error here is that of a finished network on samples new to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from soft_sensors.calibrate import limits, null, outliers, windows
from soft_sensors.calibrate.evidence import Evidence
from soft_sensors.calibrate.fit import FEWEST_SAMPLES, Calibration, Intent, Samples, software
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.pretreatment import treat
from soft_sensors.calibrate.quarantine import shared_spectra
from soft_sensors.calibrate.select import Progress
from soft_sensors.card import FORMAT, WRAPPED, Card
from soft_sensors.errors import CalibrationError, TableError
from soft_sensors.fingerprint import signature_limits
from soft_sensors.signals import BoolArray, FloatArray
from soft_sensors.wrap import space
from soft_sensors.wrap.network import Network, NetworkError, answers

ROUNDS = 5  # of looking for outlying spectra; it settles after two or three
NOT_REFITTED = "the error is that of the finished network on these samples: nothing was refitted"
DECLARED = "independence from the network's training is declared, not shown"


@dataclass(frozen=True)
class Wrapped:
    """A network and what was found: as a calibration (whose members give T2 and Q only) and as evidence.

    made.predicted [n]: the network's values in the card's unit.
    """

    network: Network
    made: Calibration

    @property
    def evidence(self) -> Evidence:
        """The samples and what was found about each; not yet stored, so without a hash."""
        made, folding = self.made, self.made.samples.folding
        group = tuple(folding.names[u] if folding.names else "" for u in folding.unit.tolist())
        return Evidence(
            sample_ids=made.samples.sample_ids, axis=made.samples.axis, spectra=made.samples.spectra,
            reference=made.samples.reference, group=group, unit=folding.unit, fold=folding.fold,
            predicted=made.predicted, fitted=made.predicted, t2=made.t2, q=made.q, keep=made.keep,
            suspect=made.suspect, outlying=made.outlying, curves={}, sha256="",
        )


@dataclass(frozen=True)
class Training:
    """What the network was trained on: spectra [n, n_channels] and, where they are known, their groups."""

    where: str
    sample_ids: tuple[str, ...]
    spectra: FloatArray
    groups: tuple[str, ...]


def judge(network: Network, samples: Samples, intent: Intent, progress: Progress = lambda _: None) -> Wrapped:
    """Run, bound and judge a network; CalibrationError or NetworkError when it or the samples do not allow it.

    Deterministic: the same network, samples and intent give the same bundle on the same machine.
    """
    with threadpool_limits(1):
        return _judge(network, samples, intent, progress)


def shown_independent(wrapped: Wrapped, training: Training) -> tuple[Wrapped, list[str]]:
    """What the samples share with the network's training, a line each; with none, the card says that it was looked."""
    evidence, card = wrapped.evidence, wrapped.made.card
    if training.spectra.shape[1] != card.axis.size:
        raise TableError(f"{training.where}: {training.spectra.shape[1]} channels, the samples have {card.axis.size}; "
                         "give the training spectra on the same axis")
    shared = [f"training spectrum {line}"
              for line in shared_spectra(card, evidence, training.sample_ids, training.spectra)]
    shared += [f"group {label}: both in training and among the samples given"
               for label in sorted((set(training.groups) & set(evidence.group)) - {""})]
    said = f"none of the {len(training.sample_ids)} training spectra given is among these samples"
    shown = replace(card, evidence=card.evidence.replace(DECLARED, said))
    return replace(wrapped, made=replace(wrapped.made, card=shown)), shared


def _judge(network: Network, samples: Samples, intent: Intent, progress: Progress) -> Wrapped:
    _check(samples)
    progress(f"running the network on {len(samples.reference)} spectra")
    value = answers(network, samples.spectra, intent.input_type)
    _usable(network, samples, value)
    window = slice(0, samples.axis.size)  # the network sees the whole axis, so the whole axis is watched
    if intent.axis_range is not None:
        window = windows.asked_window(samples.axis, *intent.axis_range)
    progress("finding the space of good spectra")
    recipe = space.recipe_for(window.stop - window.start)
    suspect = outliers.suspect_references(samples.reference, value)
    outlying, far, n_components = _settle(treat(recipe, window, samples.spectra), samples.folding.fold, suspect)
    keep = ~(suspect | outlying)
    member = space.fitted(samples.spectra[keep], recipe, window, n_components)
    card = _card(network, samples, intent, window, value, suspect, outlying, far, n_components, recipe.name)
    progress("learning what good spectra look like")
    fingerprint = signature_limits(samples.spectra[keep][:, window], samples.folding.fold[keep])
    return Wrapped(network, Calibration(card, (member,), window, samples, value, far.t2, far.q, far.near, suspect,
                                        outlying, keep, {}, fingerprint))


def _check(samples: Samples) -> None:
    y = samples.reference
    if len(y) < FEWEST_SAMPLES:
        raise CalibrationError(f"{len(y)} usable samples; an interval and limits need at least {FEWEST_SAMPLES}")
    if not float(np.ptp(y)) > 0:
        raise CalibrationError(f"all {len(y)} reference values are {y[0]:g}; skill needs samples that differ")


def _usable(network: Network, samples: Samples, value: FloatArray) -> None:
    wrong = np.flatnonzero(~np.isfinite(value))
    if wrong.size:
        raise NetworkError(f"{network.where}: no finite value for {wrong.size} of {value.size} spectra, the first is "
                           f"{samples.sample_ids[wrong[0]]!r}; mend the network, or its input")
    if not float(np.ptp(value)) > 0:
        raise NetworkError(f"{network.where}: it says {value[0]:g} whatever the spectrum; train it again, and check "
                           "what scaling it expects of its input")


def _settle(X: FloatArray, fold: IntArray, suspect: BoolArray) -> tuple[BoolArray, limits.Distances, int]:
    """Size of the space and outlying spectra, again until the list stays the same."""
    outlying = np.zeros_like(suspect)
    for n in range(ROUNDS):
        keep = ~(suspect | outlying)
        n_components = space.size(X, fold, keep)
        far = space.held_out(X, fold, keep, n_components)
        found = outliers.outlying_spectra(far.t2, far.q)
        if np.array_equal(found, outlying):
            break
        # The last round's flags belong to the space that was found without them.
        if n < ROUNDS - 1:
            outlying = found
    return outlying, far, n_components


def _card(
    network: Network, samples: Samples, intent: Intent, window: slice, value: FloatArray, suspect: BoolArray,
    outlying: BoolArray, far: limits.Distances, n_components: int, recipe: str,
) -> Card:
    folding, y, keep = samples.folding, samples.reference, ~(suspect | outlying)
    inside = samples.spectra[keep][:, window]
    low, high = limits.intensity_limits(inside)
    ends, kept = samples.axis[window], y[keep]
    error, nothing = _rms((value - y)[keep]), null.best(y, folding.outer(), keep)
    skill = 1.0 - (error / nothing.rmse) ** 2
    return Card(
        format=FORMAT, name=intent.name, cqa=intent.cqa, unit=intent.unit, target=intent.target,
        axis_unit=intent.axis_unit, axis=samples.axis, input_type=intent.input_type, pretreatment=recipe,
        window_low=float(ends.min()), window_high=float(ends.max()), n_latent=n_components,
        half_width=limits.half_width((value - y)[keep], folding.unit[keep]),
        t2_limit=limits.t2_limit(far.t2[keep], n_components), q_limit=limits.q_limit(far.q[keep]),
        refuse_factor=intent.refuse_factor, intensity_low=low, intensity_high=high,
        saturation=limits.saturation(inside), flat_run=limits.flat_run(inside), n_samples=int(keep.sum()),
        n_groups=folding.n_units if folding.grouped else 0,
        grouping=f"none of them refitted the network; for limits and null model, {folding.text}",
        reference_low=float(kept.min()), reference_high=float(kept.max()), rmsecv=error,
        rmsecv_null=nothing.rmse, null=nothing.name, skill=skill,
        evidence=f"{_skill(skill)}; {NOT_REFITTED}; {DECLARED}", seed=intent.seed,
        software=f"{software()}; network: {network.origin}",
        excluded=outliers.name_them(samples.sample_ids, y, value, suspect, outlying), family=WRAPPED,
        distance_limit=limits.distance_limit(far.near[keep]),
        accept=intent.accept,
    )


def _skill(skill: float) -> str:
    if skill <= 0:
        return "no evidence: the network predicts this no better than the mean of the other samples"
    return f"explains {100 * skill:.0f} % of the variance between these samples"


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))
