"""The analyser of one epoch: its nodes and axis, read in one call, torn reads made good, acquisitions told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from asyncua import ua

from control.assess import Finding
from control.signals import Quality
from edge.acquire.acquisition import Kind, Seen, judge
from edge.acquire.raw import Raw
from edge.acquire.session import Session
from edge.acquire.tags import STREAM
from soft_sensors.signals import FloatArray, Spectrum

COUNTER, ARRAY = "AcquisitionCounter", "ScaledData"
TOGETHER_S = 0.25  # our choice: a server writes the variables of one acquisition within this
UNUSABLE = (Kind.FROZEN, Kind.RESET)
PRIORITY = {Kind.STALLED: 2, Kind.FROZEN: 2, Kind.RESET: 2, Kind.TORN: 3, Kind.SKIPPED: 3}


@dataclass(frozen=True)
class StreamMap:
    """Where an analyser's variables are in this epoch: STREAM's names and whatever else says if it may be used.

    axis, axis_unit: as the analyser tells them; told: constants of this epoch that count like variables (the stream's
    own name, to be held against the channel's active one).
    """

    nodes: Mapping[str, ua.NodeId]
    axis: FloatArray
    axis_unit: str
    told: Mapping[str, str]

    def asked(self) -> tuple[ua.NodeId, ...]:
        """What to read in one call: every variable, and the counter once more after the array."""
        return (*self.nodes.values(), self.nodes[COUNTER])


class Stream:
    """Acquisitions of one analyser, across epochs."""

    def __init__(self, prefix: str, max_age_s: float, look_s: float) -> None:
        self._prefix, self._max_age_s, self._look_s = prefix, max_age_s, look_s
        self._seen: Seen | None = None
        self._looked = (0, "")  # counter and digest of the last look, torn or not
        self._torn = ""

    async def whole(
        self, session: Session, place: StreamMap, values: Sequence[Raw], received_s: float
    ) -> dict[str, Raw]:
        """What was read of `place`, as tags; read once more when array and counter do not belong together.

        Raises LinkLost when the second read fails.
        """
        found, self._torn = _torn(place, values)
        if self._torn:
            found, self._torn = _torn(place, await session.look(place.asked()))
        told = {name: Raw(text, Quality.GOOD, "", received_s) for name, text in place.told.items()}
        return {f"{self._prefix}.{name}": raw for name, raw in (found | told).items()}

    def judged(self, spectrum: Spectrum | None, now_s: float) -> tuple[Spectrum | None, tuple[Finding, ...]]:
        """The spectrum, bad where it is no acquisition of its own, and what people must be told of it.

        None for a torn one: its counter may come again over the array that belongs to it.
        """
        if spectrum is None:
            return None, ()
        values = np.ascontiguousarray(spectrum.values).tobytes()
        # Two empty arrays are no frozen detector: what is there is what is wrong with them.
        digest = hashlib.sha256(values or str(spectrum.counter).encode()).hexdigest()
        # A frozen array keeps its stamp, too, which then does not fit: the same bits at another counter are not torn.
        frozen = self._looked[1] == digest and self._looked[0] != spectrum.counter
        self._looked = (spectrum.counter, digest)
        if self._torn and frozen and self._seen is not None:
            self._seen = replace(self._seen, digest=digest)
        elif self._torn:
            return None, (Finding("nir_torn", self._torn, PRIORITY[Kind.TORN]),)
        found = judge(
            self._seen, spectrum.counter, spectrum.time_s, digest,
            now_s=now_s, max_age_s=self._max_age_s, look_s=self._look_s,
        )  # fmt: skip
        self._seen = found.seen
        if found.kind is Kind.TORN:
            spectrum = None
        if spectrum is not None and found.kind in UNUSABLE and spectrum.quality is not Quality.BAD:
            spectrum = replace(spectrum, quality=Quality.BAD, reason=found.text)
        if not found.text:
            return spectrum, ()
        return spectrum, (Finding(f"nir_{found.kind.value}", found.text, PRIORITY[found.kind]),)


def _torn(place: StreamMap, values: Sequence[Raw]) -> tuple[dict[str, Raw], str]:
    """The values by name, and why array and counter cannot be of one acquisition (empty: they can)."""
    *first, after = values
    found = dict(zip(place.nodes, first, strict=True))
    counter, array = found[COUNTER], found[ARRAY]
    if not counter.value or counter.quality is Quality.BAD or array.quality is Quality.BAD:
        return found, ""
    if after.value != counter.value:
        return found, f"torn: the counter went from {counter.value} to {after.value} while the array was read"
    if counter.source_s is not None and array.source_s is not None:
        apart_s = abs(counter.source_s - array.source_s)
        if apart_s > TOGETHER_S:
            return found, f"torn: array and counter are {apart_s:.1f} s apart, of two acquisitions"
    return found, ""


def flat(tags: Mapping[str, ua.NodeId], prefix: str, axis: FloatArray, axis_unit: str) -> StreamMap:
    """The analyser that is a set of flat tags."""
    return StreamMap({name: tags[f"{prefix}.{name}"] for name in STREAM}, axis, axis_unit, {})
