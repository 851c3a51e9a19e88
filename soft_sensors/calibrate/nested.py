"""Nested cross-validation: errors of models whose region, recipe, size and family, too, were chosen without the sample.

Choosing on the samples that one is judged on flatters; these errors are what a stranger's sample will show.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from soft_sensors.calibrate import kernel, pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.pretreatment import Fused, Recipe
from soft_sensors.calibrate.select import Candidates, Choice, Progress, choose
from soft_sensors.calibrate.windows import Region
from soft_sensors.signals import BoolArray, FloatArray

HeldOut = Mapping[Region, Mapping[Recipe | Fused, FloatArray]]
WORTH_PROCESSES = 3e9  # our choice, in multiplications: below this, starting processes costs more than it saves

def nested(
    candidates: Candidates, y: FloatArray, fold: IntArray, outer: IntArray, keep: BoolArray, progress: Progress
) -> FloatArray:
    """Predictions [n] by models chosen and fitted without the sample's outer fold; all cores, the same bits as one."""
    folds = np.unique(outer).tolist()
    jobs = cpu_count() if _cost(candidates, fold) * len(folds) > WORTH_PROCESSES else 1
    work = delayed(_one_fold)
    done = Parallel(n_jobs=jobs, return_as="generator")(
        work(*_split(candidates, outer == f), y[outer != f], fold[outer != f], keep[outer != f]) for f in folds
    )
    predicted = np.empty(len(y))
    for number, (f, values) in enumerate(zip(folds, done, strict=True), start=1):
        progress(f"nested cross-validation, fold {number} of {len(folds)}")
        predicted[outer == f] = values
    return predicted

def _split(candidates: Candidates, out: BoolArray) -> tuple[Candidates, HeldOut]:
    rest = {region: {r: part.rows(~out) for r, part in parts.items()} for region, parts in candidates.items()}
    held_out = {region: {r: part.X[out] for r, part in parts.items()} for region, parts in candidates.items()}
    return rest, held_out

def _one_fold(rest: Candidates, held_out: HeldOut, y: FloatArray, fold: IntArray, keep: BoolArray) -> FloatArray:
    with threadpool_limits(1):
        chosen = choose(rest, y, fold, keep)
        return _predict(chosen, rest, held_out, y, keep)

def _predict(chosen: Choice, rest: Candidates, held_out: HeldOut, y: FloatArray, keep: BoolArray) -> FloatArray:
    """Predictions of the held-out rows by the chosen members, fitted on the kept rows of the rest."""
    values = []
    for member in chosen.members:
        X, unseen = rest[chosen.region][member.recipe].X[keep], held_out[chosen.region][member.recipe]
        model = pls1.fit(X, y[keep], member.n_latent)
        if chosen.on_kernel:
            process = kernel.fit(pls1.scores(model, X), y[keep])
            values.append(kernel.predict(process, pls1.scores(model, unseen)))
        else:
            values.append(pls1.predict_path(model, unseen, member.n_latent)[:, -1])
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)

def _cost(candidates: Candidates, fold: IntArray) -> float:
    """Roughly the multiplications of one choice: a covariance a fold and recipe."""
    shapes = [part.X.shape for parts in candidates.values() for part in parts.values()]
    return float(sum(n * r * r for n, r in shapes)) * np.unique(fold).size
