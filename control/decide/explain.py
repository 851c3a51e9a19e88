"""plan -> explained decision: what drives it, what limits it and what that costs, what else would happen, how sure."""

from __future__ import annotations

from control.bundle import ControllerBundle
from control.decide.room import factors
from control.rti import Move, Plan
from control.signals import Active, Decision, FloatArray, Situation

EVERY = 5  # cycles between the points of a predicted trajectory
SHOWN = 8  # active constraints kept with a decision, the costliest first
SENTENCE = 140  # characters: ISA-101 text that an operator reads at one glance


def explain(
    bundle: ControllerBundle, situation: Situation, before: FloatArray, move: Move, planned: Plan, held: Plan,
    costs: tuple[float, float],
) -> Decision:  # fmt: skip
    """The decision for an accepted move; costs: of the plan and of holding, by the model itself."""
    factor, first = factors(bundle, situation), planned.U[:, 0]
    setpoints = {n: float(first[i] * factor[i]) for i, n in enumerate(bundle.inputs)}
    active = limits_of(bundle, situation, move)
    frame, target = bundle.state("feed_frame_api_pct"), situation.target.api_pct
    with_it, without = (100 * plan.X[frame, 1:] / target for plan in (planned, held))
    every = slice(EVERY - 1, None, EVERY)
    predicted = {
        "api_lc_pct_with_move": tuple(float(v) for v in with_it[every]),
        "api_lc_pct_held": tuple(float(v) for v in without[every]),
    }
    api = trimmed(bundle, situation)
    trim_pct = 100 * (float(first[bundle.inputs.index(api)]) / situation.ratio[api] - 1)
    priorities = dict(zip(bundle.card.limits, bundle.card.limit_priority, strict=True))
    figures = {
        "trim_pct": float(trim_pct), "transition_s": situation.transition_s, "cost": costs[0], "cost_held": costs[1],
        "qp_iterations": float(move.iterations), "kkt_residual": move.quality.residual,
        **{f"over_{n}": v for n, v in move.violated.items()},
    }  # fmt: skip
    return Decision(
        "mpc", setpoints, sentence(bundle, situation, before, first, active, float(without[-1])), "ok",
        EVERY * situation.cycle_s, predicted, figures, "", active,
        min((priorities[n] for n in move.violated), default=0),
    )  # fmt: skip


def limits_of(bundle: ControllerBundle, situation: Situation, move: Move) -> tuple[Active, ...]:
    """What limits the plan, the costliest first; a bound that is a trim cap is called one.

    Not what stands by: more room for it would bring nothing.
    """
    found = []
    told = (m for m in move.multipliers if not situation.stands_by or not m.name.startswith(situation.stands_by))
    for m in sorted(told, key=lambda m: -m.value)[:SHOWN]:
        name = m.name
        if m.name in situation.caps_pct:
            name = f"{m.name} trim cap"
            envelope = situation.envelopes[m.name]
            edge = move.plan.U[bundle.inputs.index(m.name), m.step]
            if min(abs(edge - envelope.low), abs(edge - envelope.high)) < 1e-9 * abs(edge):
                name = f"{m.name} limit"
        found.append(Active(name, m.side, m.step * situation.cycle_s, m.value))
    return tuple(found)


def trimmed(bundle: ControllerBundle, situation: Situation) -> str:
    """The input that carries the correction: the one with the API's recipe share."""
    share = situation.target.throughput_kg_h * situation.target.api_pct / 100
    flows = [n for n in bundle.inputs if f"flow_{n}" in bundle.states]
    return min(flows, key=lambda n: abs(situation.ratio[n] - share))


def sentence(
    bundle: ControllerBundle, situation: Situation, before: FloatArray, first: FloatArray, active: tuple[Active, ...],
    without_lc_pct: float,
) -> str:  # fmt: skip
    """One sentence of at most 140 characters: belief and how sure, the move, what limits it, what comes without it."""
    belief, target = situation.belief, situation.target.api_pct
    api = trimmed(bundle, situation)
    i = bundle.inputs.index(api)
    parts = [
        f"API {100 * belief.api_pct / target:.1f}±{164.5 * belief.api_sigma_pct / target:.1f} % LC, "
        f"gain {belief.api_gain:.3f}±{1.645 * belief.api_gain_sigma:.3f}: {api} {before[i]:.3f}->{first[i]:.3f} kg/h",
        f"held: {without_lc_pct:.1f} %",
    ]
    if active:
        parts.append(f"limit {active[0].name}")
    elif situation.authority.pat < 1:
        parts.append(f"authority {100 * situation.authority.pat:.0f} %")
    text = parts[0]
    for part in parts[1:]:
        if len(text) + 2 + len(part) <= SENTENCE:
            text += f"; {part}"
    return text[:SENTENCE]
