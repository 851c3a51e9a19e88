"""situation -> bounds: the room in which the controller may plan, in flow units (refill factor taken out)."""

from __future__ import annotations

import numpy as np

from control.blocks import Bounds
from control.bundle import ControllerBundle
from control.signals import FloatArray, Situation

BACK_OFF_SIGMAS = 1.645  # one-sided 95 %
BACK_OFF_MOST = 0.6  # of the band: a very unsure belief may not turn the band into a point


def factors(bundle: ControllerBundle, situation: Situation) -> FloatArray:
    """Refill factor of each input, 1 where the feeder weighs."""
    return np.array([situation.refill_factor.get(name, 1.0) for name in bundle.inputs])


def with_way_back(low: float, high: float, now: float, rate: float) -> tuple[float, float]:
    """Limits that a setpoint outside of them can come back to no faster than its rate (per cycle)."""
    if now > high:
        high = max(high, now - rate)
        return min(low, high), high
    if now < low:
        low = min(low, now + rate)
        return low, max(high, low)
    return low, high


@np.errstate(over="ignore")  # a refill factor near nothing: the move is checked afterwards
def room(bundle: ControllerBundle, situation: Situation) -> Bounds:
    """Limits, rates and caps of every input, and the soft limits backed off by how unsure the belief is.

    A setpoint outside its room (a new target, a tightened limit) may come back no faster than its rate.
    """
    low, high, rate = (np.empty(len(bundle.inputs)) for _ in range(3))
    for i, (name, factor) in enumerate(zip(bundle.inputs, factors(bundle, situation), strict=True)):
        envelope, cap = situation.envelopes[name], situation.caps_pct.get(name)
        now = situation.working[name] / factor
        low[i], high[i] = envelope.low / factor, envelope.high / factor
        rate[i] = envelope.rate_per_s / factor * situation.cycle_s
        if not envelope.available:
            low[i] = high[i] = now
        elif cap is not None:
            middle = min(max(situation.ratio[name], low[i]), high[i])
            low[i] = max(low[i], min(middle, situation.ratio[name] * (1 - cap / 100)))
            high[i] = min(high[i], max(middle, situation.ratio[name] * (1 + cap / 100)))
        low[i], high[i] = with_way_back(low[i], high[i], now, rate[i])
    card = bundle.card
    limit_low, limit_high = np.array(card.limit_low), np.array(card.limit_high)
    if "api_lc_pct" in card.limits:
        i = card.limits.index("api_lc_pct")
        sigma_lc_pct = 100 * situation.belief.api_sigma_pct / situation.target.api_pct
        back = min(BACK_OFF_SIGMAS * sigma_lc_pct, BACK_OFF_MOST * (limit_high[i] - limit_low[i]) / 2)
        limit_low[i] += back
        limit_high[i] -= back
    return Bounds(low, high, rate, limit_low, limit_high)
