"""soft sensor against peers -> rows of the bench: one spectrum at a time, at three sizes.

Peers: the scikit-learn pipeline the graph was made from (chemotools steps, PLSRegression) with T2 and Q computed from
it, and the bare NumPy product with folded coefficients, which predicts and does nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime as ort
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import Pipeline

from deploy.side_by_side import Row, compare
from soft_sensors.bundle import Bundle
from soft_sensors.calibrate.fit import Calibration, Fitted, Intent, Samples, calibrate
from soft_sensors.calibrate.folds import by_order
from soft_sensors.calibrate.graph import graph_bytes
from soft_sensors.calibrate.package import write_bundle
from soft_sensors.calibrate.pretreatment import Recipe, steps
from soft_sensors.card import CONCENTRATION
from soft_sensors.signals import FloatArray

CHANNELS = (125, 512, 2048)
SAMPLES, LATENT, TURNS = 60, 6, 2000
RECIPE = Recipe("before", 1, 15)
AGREES = 1e-9


def rows(say: Callable[[str], None]) -> Iterator[Row]:
    """Every comparison, one after the other; ValueError when two that should agree do not."""
    for n_channels in CHANNELS:
        for input_type in ("float64", "float32"):
            say(f"soft sensor, {n_channels} channels, {input_type}")
            made = _model(n_channels, input_type)
            fresh = _blends(n_channels, 200, seed=2)[0].astype(input_type)
            with TemporaryDirectory() as folder:
                bundle = write_bundle(made, Path(folder) / "sensor")
            yield _against_pipeline(f"{n_channels} channels, {input_type}", made, bundle, fresh)
            yield _against_product(f"{n_channels} channels, {input_type}", made, fresh)


def _against_pipeline(size: str, made: Calibration, bundle: Bundle, fresh: FloatArray) -> Row:
    pipeline, half = made.pipeline, made.card.half_width
    treat, pls = pipeline[:-1], pipeline[-1]
    x = treat.transform(made.samples.spectra[made.keep])
    centre, spread = x.mean(axis=0), pls.transform(x).std(axis=0, ddof=1)

    def peer(k: int) -> tuple[float, ...]:
        treated = treat.transform(fresh[k % len(fresh)][None, :])
        value = pls.predict(treated).item()
        scores = pls.transform(treated)
        residual = treated - centre - scores @ pls.x_loadings_.T
        return value, value - half, value + half, ((scores / spread) ** 2).sum().item(), (residual**2).sum().item()

    def ours(k: int) -> dict[str, float]:
        return bundle.infer(fresh[k % len(fresh)])

    wide = fresh.astype(np.float64)
    apart = 0.0
    for k in range(20):
        exact = np.array(_of(treat, pls, centre, spread, half, wide[k]))
        got = np.array(list(ours(k).values())[:5])
        apart = max(apart, float(np.max(np.abs(got - exact) / np.abs(exact))))
    if not apart < AGREES:
        raise ValueError(f"{size}: the graph differs from the pipeline by {apart:.1e} relative")
    return compare(f"value, interval, T2, Q and distance of one spectrum, {size}",
                   "scikit-learn pipeline, T2 and Q from it", ours, peer, TURNS // 4,
                   f"value, lower, upper, T2 and Q of 20 spectra within {apart:.0e} relative")


def _of(treat: Any, pls: Any, centre: FloatArray, spread: FloatArray, half: float, row: FloatArray) -> list[float]:
    treated = treat.transform(row[None, :])
    value, scores = pls.predict(treated).item(), pls.transform(treated)
    residual = treated - centre - scores @ pls.x_loadings_.T
    return [value, value - half, value + half, ((scores / spread) ** 2).sum().item(), (residual**2).sum().item()]


def _against_product(size: str, made: Calibration, fresh: FloatArray) -> Row:
    """The prediction alone, against SNV and one product in NumPy."""
    session = _session(graph_bytes(made, ("value",)))
    inside = made.window
    response = np.zeros(inside.stop - inside.start)
    unit = np.eye(response.size)
    derivative = Pipeline(steps(Recipe("no", RECIPE.derivative, RECIPE.width), slice(0, response.size)))
    response = np.ravel(derivative.fit_transform(unit) @ made.pipeline[-1].coef_.T)
    exact = float(made.pipeline.predict(fresh[:1].astype(np.float64)).item())
    constant = exact - _bare(fresh[0], inside, response, 0.0)

    def ours(k: int) -> object:
        return session.run(("value",), {"spectrum": fresh[k % len(fresh)][None, :]})[0].item()

    def peer(k: int) -> float:
        return _bare(fresh[k % len(fresh)], inside, response, constant)

    apart = max(abs(float(ours(k)) - peer(k)) / abs(peer(k)) for k in range(20))  # type: ignore[arg-type]
    if not apart < (1e-5 if fresh.dtype == np.float32 else AGREES):
        raise ValueError(f"{size}: the graph differs from the product by {apart:.1e} relative")
    return compare(f"value alone of one spectrum, {size}", "NumPy: SNV and one product", ours, peer, TURNS,
                   f"values of 20 spectra within {apart:.0e} relative")


def _bare(row: FloatArray, inside: slice, response: FloatArray, constant: float) -> float:
    x = row[inside]
    x = x - x.mean()
    return float(x @ response / np.sqrt((x * x).mean())) + constant


def _session(graph: bytes) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _model(n_channels: int, input_type: str) -> Calibration:
    """One PLS model with the one recipe and size that all sizes are compared with."""
    spectra, reference = _blends(n_channels, SAMPLES, seed=1)
    axis = np.linspace(900.0, 1700.0, n_channels)
    samples = Samples(tuple(f"s{k}" for k in range(SAMPLES)), axis, spectra, reference, by_order(SAMPLES))
    made = calibrate(samples, Intent("bench", "api", "%", CONCENTRATION, "nm", (900.0, 1700.0), input_type))
    whole = slice(0, n_channels)
    pipeline = Pipeline([*steps(RECIPE, whole), ("model", PLSRegression(LATENT, scale=False))])
    pipeline.fit(spectra[made.keep], reference[made.keep])
    card = type(made.card)(**{**made.card.__dict__, "n_latent": LATENT, "pretreatment": RECIPE.name,
                              "window_low": 900.0, "window_high": 1700.0, "averaged": ()})
    return type(made)(**{**made.__dict__, "card": card, "members": (Fitted(RECIPE, pipeline),), "window": whole})


def _blends(n_channels: int, n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Spectra [n, n_channels] of three overlapping components with scatter, and the first one's concentration."""
    draw = np.random.default_rng(seed)
    place = np.linspace(0.0, 1.0, n_channels)
    parts = draw.dirichlet((2.0, 3.0, 5.0), n)
    bands = np.array([np.exp(-0.5 * ((place - c) / 0.06) ** 2) + 0.5 * np.exp(-0.5 * ((place - c + 0.3) / 0.1) ** 2)
                      for c in (0.45, 0.6, 0.8)])
    scatter = draw.normal(1.0, 0.05, (n, 1))
    noise = draw.normal(0.0, 2e-4, (n, n_channels))
    return scatter * (parts @ bands) + draw.normal(0.2, 0.02, (n, 1)) + noise, 100.0 * parts[:, 0]
