"""what a window really saw -> what its data do not tell of the slow states: said in words, and what to hold.

Every few minutes the last window's precisions, a minute each, are put through the model about where the line is now:
half a millisecond, so that no cycle is seen to take longer. Held is only what data could move along an untold
direction: of a loss of API and a bias of the NIR the delivery. A state that nothing moves needs no holding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from control.observe.mhe import Linear
from control.observe.observability import Observability, about, information, judged
from control.observe.seen import Observation, Observer
from control.signals import Belief, Quality
from soft_sensors.signals import FloatArray

SPAN_S = 60.0  # precisions are kept by so much; far below what slow states change in
SLOW = {
    "api_gain": "a loss of API", "nir_bias_pct": "a bias of the NIR", "weight_bias_mg": "the tablet weight",
    "api_flow_bias_kg_h": "how the API feeder answers its setpoint",
}  # fmt: skip
SOURCES = {"y_lab_assay": "laboratory values", "y_nir": "the NIR"}
PAIR = ("api_gain", "nir_bias_pct")
HOLD = ("api_gain",)  # of the pair: a slow gap is the NIR's until the laboratory says otherwise, a jump frees it anyway


@dataclass(frozen=True)
class Watch:
    """What was seen lately: spans by number (line time over SPAN_S) with the precision of each measurement [n_y].

    begun: number of the first span there was; judged_s: when last; note: what is not told, "" when all is; hold: the
    states that should be held; held, held_since_s: those that are, and since when.
    """

    begun: int
    spans: tuple[tuple[int, FloatArray], ...] = ()
    judged_s: float = 0.0
    note: str = ""
    hold: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    held_since_s: float = 0.0


def watched(observer: Observer, before: Watch | None, seen: Observation, reach_s: float) -> Watch:
    """The watch after one cycle's values and the late ones that came with it; reach_s: older ones were not used."""
    number, measurements = int(seen.time_s // SPAN_S), observer.bundle.measurements
    watch = before or Watch(begun=number, judged_s=seen.time_s)
    more: dict[int, FloatArray] = {}
    for at, name, sigma in _used(observer, seen, reach_s):
        more.setdefault(at, np.zeros(len(measurements)))[measurements.index(name)] += sigma**-2.0
    if set(more) <= {number} and watch.spans and watch.spans[-1][0] == number:  # as in nearly every cycle
        newest = watch.spans[-1][1]
        return replace(watch, spans=(*watch.spans[:-1], (number, newest + more.get(number, 0.0))))
    spans, oldest = dict(watch.spans), number - round(observer.noise.untold_window_s / SPAN_S)
    for at, row in more.items():
        spans[at] = row + spans.get(at, 0.0)
    return replace(watch, spans=tuple((at, spans[at]) for at in sorted(spans) if at > oldest))


def due(observer: Observer, watch: Watch, seen: Observation) -> bool:
    """Whether it is time to judge: a whole window was watched, and the last time is long enough ago.

    At once when a laboratory value comes that was waited for.
    """
    whole = seen.time_s // SPAN_S - watch.begun >= round(observer.noise.untold_window_s / SPAN_S)
    waited = bool(watch.note and seen.lab)
    return whole and (waited or seen.time_s - watch.judged_s >= observer.noise.untold_every_s)


def concluded(observer: Observer, watch: Watch, seen: Observation, belief: Belief) -> Watch:
    """The watch with what its window does not tell; as it was where the belief is none to judge at."""
    if belief.quality is not Quality.GOOD:
        return replace(watch, judged_s=seen.time_s)
    found = untold(observer, watch, seen, np.array(belief.state))
    hold = HOLD if any(set(PAIR) <= set(group) for group in found.groups) else ()
    note = _sentence(found, _absent(observer, watch), hold if observer.noise.freeze_untold else ())
    return replace(watch, judged_s=seen.time_s, note=note, hold=hold)


def withheld(observer: Observer, watch: Watch | None, at_s: float) -> tuple[float, float]:
    """Variance of API gain and of NIR bias that was not given to them from when they were held until then."""
    if watch is None:
        return 0.0, 0.0
    noise, hours = observer.noise, max(0.0, at_s - watch.held_since_s) / 3600
    walks = {"api_gain": noise.gain_rw, "nir_bias_pct": noise.nir_bias_rw_pct}
    gain, bias = (hours * walk**2 if name in watch.held else 0.0 for name, walk in walks.items())
    return gain, bias


def untold(observer: Observer, watch: Watch, seen: Observation, state: FloatArray) -> Observability:
    """What the watched window tells of the slow states, about this state [n] and what is asked of the line now."""
    bundle, noise = observer.bundle, observer.noise
    u = np.array([seen.setpoints[name] for name in bundle.inputs])
    p = bundle.targets(seen.target)[:, 0]
    _, A = bundle.call("predict", state, u, p)
    _, C = bundle.call("measure", state, u, p)
    spans, size, n_y = dict(watch.spans), len(state), len(bundle.measurements)
    last = int(seen.time_s // SPAN_S)
    numbers = range(last - round(noise.untold_window_s / SPAN_S) + 1, last + 1)
    precisions = np.array([spans.get(number, np.zeros(n_y)) for number in numbers]).T
    along_span = np.linalg.matrix_power(A, round(SPAN_S / bundle.cycle_s))
    along = Linear(
        np.broadcast_to(along_span, (len(numbers) - 1, size, size)), np.zeros((size, len(numbers) - 1)),
        np.broadcast_to(C, (len(numbers), n_y, size)), np.zeros((n_y, len(numbers))), precisions,
    )  # fmt: skip
    names = [name for name in bundle.states if name in SLOW]
    some = [bundle.state(name) for name in names]
    # The fast states could be anything at the window's start: what the line held then came of the same slow unknowns,
    # so a line that is thought to hold its target would tell a loss from a bias by itself.
    sigma = np.maximum(np.abs(state), 1.0)
    design = np.array([_design(observer, seen)[name] for name in names])
    return judged(about(information(along), some, sigma), design, names)


def _design(observer: Observer, seen: Observation) -> dict[str, float]:
    """What each slow state could be off by, were nothing measured: fixed values of the design."""
    noise = observer.noise
    asked_kg_h = seen.target.api_pct / 100 * seen.target.throughput_kg_h
    return {
        "api_gain": noise.jump_gain, "nir_bias_pct": noise.jump_nir_pct, "weight_bias_mg": noise.weight_bias_start_mg,
        "api_flow_bias_kg_h": noise.api_flow_bias_start_rel * asked_kg_h,
    }  # fmt: skip


def _used(observer: Observer, seen: Observation, reach_s: float) -> Iterator[tuple[int, str, float]]:
    """Span, measurement and sigma of every value that this cycle brought to use; a corrected result counts once."""
    noise, measurements = observer.noise, observer.bundle.measurements
    now = int(seen.time_s // SPAN_S)
    yield from ((now, name, sigma) for name, (_, sigma) in seen.values.items() if name in measurements)
    for result in seen.lab:
        if result.corrects or seen.time_s - result.sample_time_s > reach_s:
            continue
        at = int(result.sample_time_s // SPAN_S)
        if np.isfinite(result.assay_pct):
            yield at, "y_lab_assay", noise.lab_assay_rel * result.assay_pct
        if np.isfinite(result.tablet_weight_mg):
            yield at, "y_lab_weight", noise.lab_weight_mg


def _absent(observer: Observer, watch: Watch) -> tuple[str, ...]:
    seen = sum((row for _, row in watch.spans), np.zeros(len(observer.bundle.measurements)))
    nothing = {name for name, value in zip(observer.bundle.measurements, seen, strict=True) if value == 0.0}
    return tuple(words for name, words in SOURCES.items() if name in nothing)


def _sentence(found: Observability, absent: tuple[str, ...], held: tuple[str, ...]) -> str:
    """For people on the floor; "" when all is told."""
    if not found.groups:
        return ""
    told = [" from ".join(SLOW[name] for name in group) for group in found.groups]
    without = f"without {' and '.join(absent)} " if absent else ""
    kept = ": the estimate of delivered API is held" if held else ""
    return f"{without}the data do not tell {' nor '.join(told)}{kept}"
