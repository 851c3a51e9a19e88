"""two ways to do one thing -> a row of the bench: timed in turns in one process, and shown to give the same result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from soft_sensors.signals import FloatArray

FIRST = 3  # calls left out where a closed loop is timed: both warm up
RUN = 10  # calls in a row of the same kind: caches are then as warm as in a stream, and both still meet the same load


@dataclass(frozen=True)
class Row:
    """One comparison; times in milliseconds, ratios are peer over ours (above 1: ours is faster).

    equal_result: how the two results were shown to be equal.
    """

    name: str
    peer: str
    ours_ms_p50: float
    ours_ms_p99: float
    peer_ms_p50: float
    peer_ms_p99: float
    ratio_p50: float
    ratio_p99: float
    equal_result: str


def compare(
    name: str, peer: str, ours: Callable[[int], object], theirs: Callable[[int], object], turns: int, equal_result: str
) -> Row:
    """Time ours(k) and theirs(k) alternately in runs of RUN calls, k the number of the call, after some to warm up.

    Runs, not blocks: whatever else the machine does meets both alike, so the ratio holds on a loaded machine too.
    """
    for k in range(max(3, turns // 10)):
        ours(k)
        theirs(k)
    spent = np.empty((turns, 2))
    for first in range(0, turns, RUN):
        for column, call in enumerate((ours, theirs)):
            for k in range(first, min(first + RUN, turns)):
                start = time.perf_counter_ns()
                call(k)
                spent[k, column] = time.perf_counter_ns() - start
    return _row(name, peer, spent[:, 0], spent[:, 1], equal_result)


def row(name: str, peer: str, ours_ms: list[float], peer_ms: list[float], equal_result: str) -> Row:
    """The row of two closed loops that were stepped in turns: times of each step, the first few of each left out."""
    return _row(name, peer, np.array(ours_ms[FIRST:]) * 1e6, np.array(peer_ms[FIRST:]) * 1e6, equal_result)


def _row(name: str, peer: str, ours_ns: FloatArray, peer_ns: FloatArray, equal_result: str) -> Row:
    (own_50, own_99), (peer_50, peer_99) = (np.percentile(t, (50, 99)) / 1e6 for t in (ours_ns, peer_ns))
    return Row(name, peer, float(own_50), float(own_99), float(peer_50), float(peer_99), float(peer_50 / own_50),
               float(peer_99 / own_99), equal_result)
