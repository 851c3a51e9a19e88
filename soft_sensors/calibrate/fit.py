"""samples + intent -> calibration: the whole offline procedure, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from soft_sensors.calibrate import fusion, limits, null, outliers, select, wear, windows
from soft_sensors.calibrate.folds import Folding
from soft_sensors.calibrate.kernel import KernelOnScores
from soft_sensors.calibrate.nested import nested
from soft_sensors.calibrate.pretreatment import Fused, Recipe, steps, usable
from soft_sensors.calibrate.select import Candidates, Choice, Member, Progress
from soft_sensors.calibrate.windows import Region
from soft_sensors.card import FORMAT, Block, Card, Excluded
from soft_sensors.errors import CalibrationError
from soft_sensors.fingerprint import Fingerprint, signature_limits
from soft_sensors.signals import BoolArray, FloatArray

FEWEST_SAMPLES = 8
ROUNDS = 5  # of choosing and looking for suspects; it settles after two or three


@dataclass(frozen=True)
class Samples:
    """What is known: spectra [n, channels] on axis, finite; reference [n] in the model's unit; who belongs together.

    time [n]: where the samples have an age that alone may predict the reference (a batch that grows); any unit.
    """

    sample_ids: tuple[str, ...]
    axis: FloatArray
    spectra: FloatArray
    reference: FloatArray
    folding: Folding
    time: FloatArray | None = None


@dataclass(frozen=True)
class Intent:
    """What is wanted, copied onto the card; axis_range: the part of the axis to use (None: found from the spectra).

    accept: low, high of the acceptance limits, in the card's unit (amount per unit of mass where there are masses);
    blocks: of spectra joined from several instruments; time: the column that Samples.time comes from; scatter:
    whether every pre-treatment must hold a scatter correction (SNV): gain and path length then move no value.
    """

    name: str
    cqa: str
    unit: str
    target: str
    axis_unit: str
    axis_range: tuple[float, float] | None = None
    input_type: str = "float64"
    refuse_factor: float = 3.0
    seed: int = 1
    accept: tuple[float, ...] = ()
    blocks: tuple[Block, ...] = ()
    time: str = ""
    scatter: Literal["free", "corrected"] = "free"


@dataclass(frozen=True)
class Fitted:
    """One fitted member: a scikit-learn pipeline on whole spectra."""

    recipe: Recipe | Fused
    pipeline: Any

    @property
    def pls(self) -> Any:
        """The member's PLS regression: its last step, or what that step builds on."""
        last = self.pipeline[-1]
        return last.pls_ if isinstance(last, KernelOnScores) else last


@dataclass(frozen=True)
class Calibration:
    """The fitted model (the average of its members, the best first), its card, and the evidence, sample by sample.

    predicted [n]: by nested cross-validation; t2, q, near [n]: held out, near is the distance to the nearest other
    sample; suspect, outlying, keep [n]: flags; curves: rmsecv by number of latent variables for each pre-treatment.
    """

    card: Card
    members: tuple[Fitted, ...]
    window: slice
    samples: Samples
    predicted: FloatArray
    t2: FloatArray
    q: FloatArray
    near: FloatArray
    suspect: BoolArray
    outlying: BoolArray
    keep: BoolArray
    curves: Mapping[str, FloatArray]
    fingerprint: Fingerprint | None = None

    @property
    def recipe(self) -> Recipe | Fused:
        """The best member's: the one that gives T2 and Q."""
        return self.members[0].recipe

    @property
    def pipeline(self) -> Any:
        """The best member's fitted pipeline."""
        return self.members[0].pipeline

    def predict(self, spectra: FloatArray) -> FloatArray:
        """The value [n] of whole spectra [n, channels]."""
        values = [np.ravel(member.pipeline.predict(spectra)) for member in self.members]
        return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def calibrate(samples: Samples, intent: Intent, progress: Progress = lambda _: None) -> Calibration:
    """Choose, fit, bound and judge a model; CalibrationError when the samples do not allow one.

    Deterministic: the same samples and intent give the same calibration on the same machine.
    """
    # One thread: the sums are then always taken in the same order, and thousands of small products run faster.
    with threadpool_limits(1):
        return _calibrate(samples, intent, progress)


def _calibrate(samples: Samples, intent: Intent, progress: Progress) -> Calibration:
    _check(samples)
    if intent.blocks:
        progress("pre-treating both blocks in every pair of ways")
        candidates: Candidates = fusion.candidates(samples.spectra, intent.blocks)
    else:
        candidates = _candidates(samples, _window(samples, intent), intent, progress)
    choice, suspect, outlying, far = _settle(candidates, samples, progress)
    keep = ~(suspect | outlying)
    folding = samples.folding
    predicted = nested(candidates, samples.reference, folding.fold, folding.outer(), keep, progress)
    progress("fitting the final model")
    window = choice.region.window
    fitted = tuple(_fit(choice, member, samples.spectra[keep], samples.reference[keep]) for member in choice.members)
    named = outliers.name_them(samples.sample_ids, samples.reference, choice.predicted, suspect, outlying)
    card = _card(samples, intent, choice, window, predicted, keep, far, named)
    progress("learning what good spectra look like")
    # Shapes of faults are known for one axis; on joined spectra T2, Q and distance stand alone.
    inside = samples.spectra[keep][:, window]
    fingerprint = None if intent.blocks else signature_limits(inside, folding.fold[keep])
    return Calibration(card, fitted, window, samples, predicted, far.t2, far.q, far.near, suspect, outlying, keep,
                       choice.curves, fingerprint)


def _candidates(samples: Samples, window: slice, intent: Intent, progress: Progress) -> Candidates:
    """Every region and pre-treatment that is compared, the spectra pre-treated, measured and worn."""
    made: dict[Region, dict[Recipe | Fused, wear.Treated]] = {}
    for region in windows.regions(window):
        recipes = [r for r in usable(region.stop - region.start) if intent.scatter == "free" or r.snv != "no"]
        progress(f"pre-treating {len(samples.reference)} spectra in {len(recipes)} ways, region {region.name}")
        disturbed = wear.worn(samples.spectra, region.window)
        made[region] = {r: wear.treated(r, region.window, samples.spectra, disturbed) for r in recipes}
    return made


def _card(
    samples: Samples, intent: Intent, choice: Choice, window: slice, predicted: FloatArray, keep: BoolArray,
    far: limits.Distances, named: tuple[Excluded, ...],
) -> Card:
    folding, best, y = samples.folding, choice.members[0], samples.reference
    inside = samples.spectra[keep][:, window]
    low, high = limits.intensity_limits(inside)
    ends, kept = samples.axis[window], y[keep]
    rmsecv = _rms(predicted[keep] - kept)
    nothing = null.best(y, folding.outer(), keep, samples.time, intent.time)
    skill = 1.0 - (rmsecv / nothing.rmse) ** 2
    return Card(
        format=FORMAT, name=intent.name, cqa=intent.cqa, unit=intent.unit, target=intent.target,
        axis_unit=intent.axis_unit, axis=samples.axis, input_type=intent.input_type, pretreatment=best.recipe.name,
        window_low=float(ends.min()), window_high=float(ends.max()), n_latent=best.n_latent,
        half_width=limits.half_width((predicted - y)[keep], folding.unit[keep]),
        t2_limit=limits.t2_limit(far.t2[keep], best.n_latent), q_limit=limits.q_limit(far.q[keep]),
        refuse_factor=intent.refuse_factor, intensity_low=low, intensity_high=high,
        saturation=limits.saturation(inside), flat_run=limits.flat_run(inside), n_samples=int(keep.sum()),
        n_groups=folding.n_units if folding.grouped else 0, grouping=folding.text,
        reference_low=float(kept.min()), reference_high=float(kept.max()), rmsecv=rmsecv, rmsecv_null=nothing.rmse,
        null=nothing.name, skill=skill, evidence=evidence_of(skill, nothing.name), seed=intent.seed,
        software=software(), excluded=named,
        averaged=() if len(choice.members) == 1 else tuple(f"{m.recipe.name}, {m.n_latent}" for m in choice.members),
        family="kernel on PLS scores" if choice.on_kernel else "PLS",
        distance_limit=limits.distance_limit(far.near[keep]),
        tried=tuple(f"{name}: {error:.5g}" for name, error in choice.tried.items()), accept=intent.accept,
        blocks=intent.blocks,
    )


def _fit(choice: Choice, member: Member, spectra: FloatArray, reference: FloatArray) -> Fitted:
    model = KernelOnScores(member.n_latent) if choice.on_kernel else PLSRegression(member.n_latent, scale=False)
    pipeline = Pipeline([*steps(member.recipe, choice.region.window), ("model", model)])
    return Fitted(member.recipe, pipeline.fit(spectra, reference))


def _check(samples: Samples) -> None:
    y = samples.reference
    if len(y) < FEWEST_SAMPLES:
        raise CalibrationError(f"{len(y)} usable samples; a calibration needs at least {FEWEST_SAMPLES}")
    if not float(np.ptp(y)) > 0:
        raise CalibrationError(f"all {len(y)} reference values are {y[0]:g}; a calibration needs samples that differ")


def _window(samples: Samples, intent: Intent) -> slice:
    if intent.axis_range is None:
        return windows.quiet_window(samples.spectra)
    return windows.asked_window(samples.axis, *intent.axis_range)


def _settle(
    candidates: Candidates, samples: Samples, progress: Progress
) -> tuple[Choice, BoolArray, BoolArray, limits.Distances]:
    """Choose a model and look for samples that it contradicts, again until the list of suspects stays the same."""
    y, fold = samples.reference, samples.folding.fold
    none = np.zeros(len(y), dtype=np.bool_)
    suspect, outlying = none, none
    for n in range(ROUNDS):
        progress(f"cross-validation, round {n + 1}")
        keep = ~(suspect | outlying)
        choice = select.choose(candidates, y, fold, keep)
        best = choice.members[0]
        far = limits.held_out_distances(candidates[choice.region][best.recipe].X, y, fold, keep, best.n_latent)
        found = outliers.suspect_references(y, choice.predicted), outliers.outlying_spectra(far.t2, far.q)
        if np.array_equal(found[0], suspect) and np.array_equal(found[1], outlying):
            break
        # The last round's flags belong to the model that was chosen without them.
        if n < ROUNDS - 1:
            suspect, outlying = found
    return choice, suspect, outlying, far


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def evidence_of(skill: float, null_name: str) -> str:
    """The sentence on the card: no evidence without skill over the null model."""
    if skill <= 0:
        return f"no evidence: the spectra predict this no better than the {null_name}"
    left = "of the variance between held-out samples" if null_name == null.MEAN else f"of what the {null_name} leaves"
    return f"explains {100 * skill:.0f} % {left}"


def software() -> str:
    """Names and versions of what made the model, for the card."""
    names = ("patloop", "numpy", "scikit-learn", "chemotools", "onnx")
    return ", ".join(f"{name} {version(name)}" for name in names)
