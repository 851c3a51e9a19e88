"""journal -> what the OPC UA server shows: the newest cycle with its spectrum, the record's head, the model's card."""

from __future__ import annotations

import io
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.hmi.live import Follower, Live
from edge.record.canonical import unpack_spectrum
from edge.record.chain import Row
from edge.record.checkpoint import anchor_of
from edge.record.journal import Journal
from soft_sensors.signals import FloatArray

AXIS_WITHIN = 50  # cycles after a start: the first of them that has a spectrum tells the axis


@dataclass(frozen=True)
class Shown:
    """The newest spectrum: axis and values [n], the axis' unit, the analyser's counter, end of acquisition (s)."""

    axis: FloatArray
    axis_unit: str
    values: FloatArray
    counter: int
    time_s: float


@dataclass(frozen=True)
class View:
    """All that is shown after one look.

    head: seq, hash and time of the newest record; checkpoint: the newest signed one, {} where there is none; anchor:
    of that, as text to be kept elsewhere, empty while there is none; card:
    the card of the running soft sensor's bundle, {} until its artefact is on the record; card_time_s: when it came
    onto the record.
    """

    live: Live
    head: Row | None
    checkpoint: Mapping[str, Any]
    checkpoint_time_s: float
    anchor: str
    spectrum: Shown | None
    bundle_hash: str
    card: Mapping[str, Any]
    card_time_s: float

    @property
    def thought(self) -> Mapping[str, Any]:
        """What the newest cycle concluded, {} before the first."""
        return self.live.thought or {}


@dataclass
class Watcher:
    """Looks at a journal again and again; keeps what does not change from one look to the next."""

    journal: Journal
    follower: Follower
    _seq: int = 0
    _checkpoint: Row | None = None
    _spectrum: Shown | None = None
    _start: Mapping[str, Any] | None = None
    _axes: FloatArray | None = None
    _cards: dict[str, tuple[Mapping[str, Any], float]] = field(default_factory=dict)

    def look(self) -> View:
        """What there is to show now. Raises RecorderError when the journal cannot be read."""
        live = self.follower.look()
        head = self.journal.last()
        self._take_checkpoint(head)
        self._take_spectrum(live)
        digest = str((live.sample.get("licence") or {}).get("bundle_hash") or live.start.get("sensor_hash") or "")
        card, card_time_s = self._card(digest)
        signed = self._checkpoint
        return View(
            live,
            head,
            checkpoint={} if signed is None else signed.content(),
            checkpoint_time_s=0.0 if signed is None else signed.time_s,
            anchor="" if signed is None else anchor_of(signed).text(),
            spectrum=self._spectrum,
            bundle_hash=digest,
            card=card,
            card_time_s=card_time_s,
        )

    def _take_checkpoint(self, head: Row | None) -> None:
        if head is None or head.seq == self._seq:
            return
        first_look, before, self._seq = self._seq == 0, self._seq, head.seq
        if first_look:
            self._checkpoint = self.journal.last("checkpoint")
            return
        for row in self.journal.rows(after_seq=before, kind="checkpoint"):
            self._checkpoint = row

    def _take_spectrum(self, live: Live) -> None:
        """The values of a spectrum are in the record of the cycle that saw it first."""
        seen = live.sample.get("spectrum")
        if seen is None or (self._spectrum is not None and self._spectrum.counter == seen["counter"]):
            return
        row = self.journal.get(live.seq)
        if row is None or row.blob is None:
            return
        values = unpack_spectrum(row.blob)
        axis = self._axis(live, seen)
        if axis is None or axis.shape != values.shape:
            axis = np.zeros(0)
        self._spectrum = Shown(axis, str(seen["axis_unit"]), values, int(seen["counter"]), float(seen["time_s"]))

    def _axis(self, live: Live, seen: Mapping[str, Any]) -> FloatArray | None:
        """An axis is recorded when it changes: in this cycle, or else in the first ones after the start."""
        if live.start is not self._start:  # another start: its axis may be another
            self._start, self._axes = live.start, None
        start = self.journal.last("start") if self._axes is None else None
        if seen["axis"] is not None:
            self._axes = np.asarray(seen["axis"], dtype=np.float64)
        elif start is not None:
            for row in self.journal.rows(after_seq=start.seq, kind="cycle", limit=AXIS_WITHIN):
                told = row.content()["sample"].get("spectrum") or {}
                if told.get("axis") is not None:
                    self._axes = np.asarray(told["axis"], dtype=np.float64)
        return self._axes

    def _card(self, digest: str) -> tuple[Mapping[str, Any], float]:
        """The card out of the bundle that the record holds, read once a bundle."""
        if digest and digest not in self._cards:
            for row in self.journal.rows(kind="artefact"):
                if row.blob is not None and row.content().get("hash") == digest:
                    self._cards[digest] = (_card_in(row.blob), row.time_s)
                    break
        return self._cards.get(digest, ({}, 0.0))


def _card_in(blob: bytes) -> Mapping[str, Any]:
    with zipfile.ZipFile(io.BytesIO(blob)) as archive:
        return tomllib.loads(archive.read("card.toml").decode())
