"""Dissolution from compression and lubrication: a small network learnt on batches, then a term of the controller.

    python examples/dissolution_surrogate.py OUT_DIR

Everything is simulated, by a generator that the controller's model does not know: dissolved after 15 min, Q(15), by the
Weibull form, with particle size and moisture that nobody measures and a laboratory that scatters. The network is judged
on batches it has not seen, against their mean, a quadratic trend of time and a quadratic surface of the same inputs;
then it limits the press: hardness is wanted, Q(15) >= 80 % is kept, while a lubricant feeder goes to two and a half
times its dose. Written: dissolution.onnx, figures.json, dissolution.png.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from control.compile import compile_problem
from control.learned import term
from control.problem import Input, Limit, Problem
from control.rti import Rti

FloatArray = NDArray[np.float64]
INPUTS = ("api_pct", "force_kn", "lubrication")  # % w/w; kN; shear times stearate, 1 is the recipe's
Q_LIMIT_PCT, HARDNESS_N = 80.0, 105.0
NEVER_BELOW = 0.90  # share of held-out samples that the interval is to hold
CYCLE_S, HORIZON = 10.0, 18
OVERFEED = 2.5  # times the recipe's lubrication


@dataclass(frozen=True)
class Batches:
    """Samples of simulated batches: X [n, 3] in the order of INPUTS, q15 [n] in %, batch [n], time_h [n]."""

    X: FloatArray
    q15: FloatArray
    batch: NDArray[np.int64]
    time_h: FloatArray


def true_hardness_n(force_kn: FloatArray | float, lubrication: FloatArray | float) -> FloatArray:
    """Breaking force, N: a power of the force (reference tablet: 86 N at 9.55 kN), less what lubrication took."""
    left = (0.75 + 0.25 * np.exp(-0.5 * np.asarray(lubrication))) / (0.75 + 0.25 * np.exp(-0.5))
    return np.asarray(86.0 * (np.asarray(force_kn) / 9.55) ** 1.1 * left)


def true_q15_pct(X: FloatArray, size_ratio: FloatArray | float, moisture_pct: FloatArray | float) -> FloatArray:
    """Dissolved after 15 min, %: Weibull, shape 0.9, lag 1 min; slower with strength, lubrication and particle size.

    Form and coefficients of the logarithm of time are our choice (0.25 a MPa, 0.1 a unit of lubrication and more as the
    film closes, 0.05 a % of moisture, 0.6 for the logarithm of size); 43 N are 1 MPa of the reference tablet.
    """
    api_pct, force_kn, lubrication = X.T
    strength_mpa = true_hardness_n(force_kn, lubrication) / 43.0
    film = 0.1 * (lubrication - 1.0) + 0.12 * (1 / (1 + np.exp(-3.0 * (lubrication - 2.2))) - 1 / (1 + np.exp(3.6)))
    slower = 0.25 * (strength_mpa - 2.0) + film + 0.05 * (np.asarray(moisture_pct) - 3.0)
    slower = slower + 0.6 * np.log(size_ratio) - 0.03 * (api_pct - 10.0)
    return np.asarray(100.0 * (1.0 - np.exp(-((14.0 / (6.0 * np.exp(slower))) ** 0.9))))


def simulate(batches: int, samples: int, seed: int) -> Batches:
    """Batches in order of production: settings vary within each, particle size and moisture from one to the next."""
    draw = np.random.default_rng(seed)
    n = batches * samples
    batch = np.repeat(np.arange(batches), samples)
    X = np.column_stack([draw.uniform(8.0, 12.0, n), draw.uniform(6.0, 14.0, n), np.exp(draw.uniform(-0.7, 1.5, n))])
    size = np.exp(draw.normal(0.0, 0.03, batches))[batch]
    moisture = draw.normal(3.0, 0.3, batches)[batch]
    q15 = true_q15_pct(X, size, moisture) + draw.normal(0.0, 1.0, n)  # the mean of six vessels scatters by 1 %
    return Batches(X, q15, batch, np.arange(n, dtype=np.float64) * 0.5)


def learn(rows: Batches, keep: NDArray[np.bool_], seed: int = 0) -> tuple[StandardScaler, MLPRegressor, float, float]:
    """Two layers of eight, on the kept rows: input scaling, network, mean and spread of what it predicts."""
    scaler = StandardScaler().fit(rows.X[keep])
    middle, spread = float(rows.q15[keep].mean()), float(rows.q15[keep].std())
    network = MLPRegressor(
        hidden_layer_sizes=(8, 8), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=2000, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # alpha, not the last iteration, decides what it has learnt
        network.fit(scaler.transform(rows.X[keep]), (rows.q15[keep] - middle) / spread)
    return scaler, network, middle, spread


def to_onnx(learnt: tuple[StandardScaler, MLPRegressor, float, float], path: Path) -> None:
    """The network as a graph of Sub, Div, Gemm, Tanh, Mul and Add in double precision, everything in its own unit."""
    scaler, network, middle, spread = learnt
    stored = {"mean": scaler.mean_, "scale": scaler.scale_, "spread": np.array([spread]), "middle": np.array([middle])}
    nodes = [helper.make_node("Sub", ["x", "mean"], ["x0"]), helper.make_node("Div", ["x0", "scale"], ["h0"])]
    layers = list(zip(network.coefs_, network.intercepts_, strict=True))
    for k, (weight, bias) in enumerate(layers):
        stored |= {f"W{k}": weight, f"b{k}": bias}
        last = k == len(layers) - 1
        nodes.append(helper.make_node("Gemm", [f"h{k}", f"W{k}", f"b{k}"], ["z" if last else f"a{k}"]))
        if not last:
            nodes.append(helper.make_node("Tanh", [f"a{k}"], [f"h{k + 1}"]))
    nodes += [helper.make_node("Mul", ["z", "spread"], ["s"]), helper.make_node("Add", ["s", "middle"], ["q15_pct"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, size])
            for name, size in (("x", len(INPUTS)), ("q15_pct", 1)))  # fmt: skip
    tables = [numpy_helper.from_array(np.asarray(value, dtype=np.float64), name) for name, value in stored.items()]
    model = helper.make_model(helper.make_graph(nodes, "dissolution", [x], [y], tables),
                              opset_imports=[helper.make_opsetid("", 18)])  # fmt: skip
    model.ir_version = 9
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def judge(rows: Batches, folds: int = 5) -> tuple[dict[str, float], FloatArray]:
    """Errors on batches that were not learnt from (whole batches held out), and the network's predictions [n].

    skill_over_*: 1 - (error / error of the null)^2; interval_pct: half width that holds 90 % of the held-out samples.
    """
    predicted = {name: np.empty(len(rows.q15)) for name in ("network", "mean", "trend", "surface")}
    for fold in range(folds):
        out = rows.batch % folds == fold
        scaler, network, middle, spread = learn(rows, ~out)
        predicted["network"][out] = middle + spread * network.predict(scaler.transform(rows.X[out]))
        predicted["mean"][out] = rows.q15[~out].mean()
        predicted["trend"][out] = np.polyval(np.polyfit(rows.time_h[~out], rows.q15[~out], 2), rows.time_h[out])
        squares = PolynomialFeatures(2)
        surface = LinearRegression().fit(squares.fit_transform(rows.X[~out]), rows.q15[~out])
        predicted["surface"][out] = surface.predict(squares.transform(rows.X[out]))
    error = {name: float(np.sqrt(np.mean((p - rows.q15) ** 2))) for name, p in predicted.items()}
    skill = {f"skill_over_{name}": 1 - (error["network"] / error[name]) ** 2 for name in ("mean", "trend", "surface")}
    half = float(np.quantile(np.abs(predicted["network"] - rows.q15), NEVER_BELOW, method="higher"))
    figures = {f"rmse_{name}_pct": value for name, value in error.items()}
    return {**figures, **skill, "interval_pct": half}, predicted["network"]


def posed(path: Path, low_pct: float | None) -> Problem:
    """Hardness to its target by the main force; with low_pct, the learnt Q(15) softly above it, far more important."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        from do_mpc.model import Model
    from casadi import exp

    model = Model("continuous", "SX")
    force, bias = model.set_variable("_x", "force_kn"), model.set_variable("_x", "hardness_bias_n")
    asked = model.set_variable("_u", "asked_force_kn")
    api, lubrication = model.set_variable("_tvp", "api_pct"), model.set_variable("_tvp", "lubrication")
    model.set_rhs("force_kn", (asked - force) / 8.0)
    model.set_rhs("hardness_bias_n", 0 * bias)
    # What the controller holds of hardness: a rougher law than the generator's; the bias takes up the difference.
    model.set_expression("hardness_n", 84.0 * (force / 9.55) ** 1.0 * exp(-0.02 * (lubrication - 1)) + bias)
    model.set_expression("r_hardness", model.aux["hardness_n"] - HARDNESS_N)
    model.set_meas("y_hardness", model.aux["hardness_n"], meas_noise=False)
    model.set_expression("q15_pct", term(path, [api, force, lubrication]))
    model.setup()
    limits = {} if low_pct is None else {"q15_pct": Limit(weight=500.0, low=low_pct, priority=1)}
    sizes = {"force_kn": 10.0, "asked_force_kn": 10.0, "hardness_bias_n": 10.0}
    inputs = {"asked_force_kn": Input(6.0, 14.0, rate_per_s=0.05, move_weight=5.0)}
    return Problem(model, CYCLE_S, HORIZON, {"r_hardness": 1.0}, inputs, limits=limits, scaling=sizes)


def shift(solver: Rti, seed: int, minutes: float) -> dict[str, FloatArray]:
    """One run on the generator: lubricant over-feed from a quarter of the time on; size and moisture of a new batch."""
    draw = np.random.default_rng(seed)
    size, moisture = float(np.exp(draw.normal(0.0, 0.03))), float(draw.normal(3.0, 0.3))
    cycles = round(minutes * 60 / CYCLE_S)
    force = asked = 9.55
    bias, lubrication, plan = 0.0, 1.0, None
    seen: dict[str, list[float]] = {name: [] for name in ("minute", "q15_pct", "hardness_n", "force_kn", "lubrication")}
    for k in range(cycles):
        lubrication += ((1.0 if k < cycles / 4 else OVERFEED) - lubrication) * CYCLE_S / 300.0
        api = 10.0 + 0.2 * float(np.sin(k * CYCLE_S / 600.0))
        hardness = float(true_hardness_n(force, lubrication))
        P = np.repeat([[api], [lubrication]], HORIZON + 1, axis=1)
        before = np.array([asked])
        expected = solver.compiled.call("measure", np.array([force, bias]), before, P[:, 0])[0].item()
        bias += 0.1 * (hardness + draw.normal(0.0, 3.0) - expected)  # the tester scatters by 3 N
        x0 = np.array([force, bias])
        move = solver.step(solver.start(x0, before, P) if plan is None else solver.shifted(plan, P), x0, before, P)
        plan, asked = move.plan, float(move.plan.U[0, 0])
        force += (asked - force) * (1 - np.exp(-CYCLE_S / 8.0)) + draw.normal(0.0, 0.02)
        found = float(true_q15_pct(np.array([[api, force, lubrication]]), size, moisture)[0])
        for name, value in zip(seen, (k * CYCLE_S / 60, found, hardness, force, lubrication), strict=True):
            seen[name].append(value)
    return {name: np.array(values) for name, values in seen.items()}


def figures_of(runs: list[dict[str, FloatArray]]) -> dict[str, float]:
    """Over the runs: time with Q(15) below its limit (%), lowest Q(15), hardness at the end and what it lacks (N)."""
    below = [100 * float(np.mean(run["q15_pct"] < Q_LIMIT_PCT)) for run in runs]
    end = [float(run["hardness_n"][-len(run["hardness_n"]) // 6 :].mean()) for run in runs]
    return {
        "time_below_pct": float(np.mean(below)),
        "runs_below": float(np.count_nonzero(below)),
        "lowest_q15_pct": float(min(run["q15_pct"].min() for run in runs)),
        "hardness_at_end_n": float(np.mean(end)),
        "hardness_given_up_n": HARDNESS_N - float(np.mean(end)),
    }


def draw_figure(rows: Batches, predicted: FloatArray, shifts: dict[str, Any], png: Path) -> None:
    """Predicted against found on held-out batches; Q(15) and hardness of one shift, with and without the limit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 4.0), layout="constrained", dpi=110)
    left, middle, right = figure.subplots(1, 3)
    ends = [float(rows.q15.min()), float(rows.q15.max())]
    left.plot(ends, ends, color="#888888", lw=0.8)
    left.plot(rows.q15, predicted, ".", ms=3, color="#0b6e99")
    left.set(xlabel="Q(15) found, %", ylabel="predicted, batch not learnt, %")
    left.set_title("The network", loc="left", fontsize=10)
    for (name, runs), colour in zip(shifts.items(), ("#0b6e99", "#d08a00"), strict=True):
        middle.plot(runs[0]["minute"], runs[0]["q15_pct"], color=colour, lw=1.3, label=name)
        right.plot(runs[0]["minute"], runs[0]["hardness_n"], color=colour, lw=1.3, label=name)
    middle.axhline(Q_LIMIT_PCT, color="#a33b20", lw=0.9, ls="--")
    right.axhline(HARDNESS_N, color="#888888", lw=0.9, ls="--")
    middle.set(xlabel="min", ylabel="true Q(15), %")
    right.set(xlabel="min", ylabel="true hardness, N")
    middle.set_title("Dissolution, limit dashed", loc="left", fontsize=10)
    right.set_title("Hardness, target dashed", loc="left", fontsize=10)
    middle.legend(frameon=False, fontsize=9)
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(png, metadata={"Software": None})


def run(out: Path, batches: int = 40, seeds: int = 20, minutes: float = 60.0) -> dict[str, Any]:
    """Simulate, learn, judge, and close the loop with and without the limit; writes into out and gives the figures."""
    out.mkdir(parents=True, exist_ok=True)
    rows = simulate(batches, samples=15, seed=1)
    found, predicted = judge(rows)
    to_onnx(learn(rows, np.ones(len(rows.q15), dtype=np.bool_)), out / "dissolution.onnx")
    limits = {"with the limit": Q_LIMIT_PCT + found["interval_pct"], "without": None}
    solvers = {name: Rti(compile_problem(posed(out / "dissolution.onnx", low))) for name, low in limits.items()}
    shifts = {name: [shift(solver, seed, minutes) for seed in range(1, seeds + 1)] for name, solver in solvers.items()}
    figures = {"network": found, **{name: figures_of(runs) for name, runs in shifts.items()}}
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    draw_figure(rows, predicted, shifts, out / "dissolution.png")
    return figures


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/dissolution_surrogate.py OUT_DIR")
    for title, values in run(Path(sys.argv[1])).items():
        click.echo(title)
        for key, value in values.items():
            click.echo(f"  {key:24} {value:8.2f}")
