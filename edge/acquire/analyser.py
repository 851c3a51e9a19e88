"""The analyser, wherever and however it is found: on the PLC's server or on its own, by flat tags or by type."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from asyncua import ua

from control.assess import Finding
from edge.acquire.adi import find_stream
from edge.acquire.learn import Learned
from edge.acquire.padim import Signal, find_signals
from edge.acquire.raw import Raw
from edge.acquire.session import Endpoint, Session
from edge.acquire.station import Station
from edge.acquire.stream import Stream, StreamMap, flat
from edge.acquire.tags import STREAM_AXIS
from edge.config import LineConfig
from edge.errors import ConfigError, LinkLost, SecurityError
from edge.pki import ClientCredentials
from soft_sensors.signals import FloatArray, Spectrum


class Analyser:
    """Finds the stream once an epoch and reads it each cycle. Raises ConfigError for a table that cannot work."""

    def __init__(self, config: LineConfig, plc: Endpoint, credentials: ClientCredentials | None) -> None:
        table = self._table = config.analyser
        self._stream = Stream(table.prefix, table.max_age_s, config.line.cycle_s)
        self._place: StreamMap | None = None
        self._signals: tuple[Signal, ...] = ()
        self.station: Station | None = None
        if table.url is None:
            return
        if credentials is None:
            raise ConfigError(f"the analyser's server {table.url} needs its certificate and password: patloop check")
        there = replace(plc, url=table.url, user=table.user or plc.user)
        name, cap_s = f"{config.line.name} analyser", config.line.cycle_s
        self.station = Station(there, credentials, self.learn, name=name, cap_s=cap_s)

    @property
    def axis(self) -> tuple[FloatArray, str] | None:
        """The stream's axis and its unit in this epoch; None where there is no stream."""
        return None if self._place is None else (self._place.axis, self._place.axis_unit)

    async def learn(self, session: Session, plc: Learned | None = None) -> None:
        """Find the analyser on this session; plc: what was learned of its tags, where it is the PLC's.

        Raises ConfigError when it is not there, is not the one that the line file names, or has no axis.
        """
        if self._table.kind != "opcua" or (plc is not None and self.station is not None):
            return
        if self._table.find == "tags":
            assert plc is not None, "flat tags are on the PLC's server, checked with the configuration"
            self._place = flat(plc.nodes, self._table.prefix, *await _axis_tags(session, plc, self._table.prefix))
        elif self._table.find == "adi":
            self._place = await find_stream(session, self._table)
        if self._table.find == "padim" or self._table.signals:
            self._signals = await find_signals(session, self._table)

    def asked(self) -> tuple[ua.NodeId, ...]:
        """What is to be read of it on its session, in one call with whatever else is read there."""
        stream = () if self._place is None else self._place.asked()
        return (*stream, *(signal.node for signal in self._signals))

    async def take(self, session: Session, values: Sequence[Raw], received_s: float) -> dict[str, Raw]:
        """The values of what was asked, by tag. Raises LinkLost when a torn read cannot be made good."""
        split = len(values) - len(self._signals)
        raw = {}
        if self._place is not None:
            raw = await self._stream.whole(session, self._place, values[:split], received_s)
        for signal, value in zip(self._signals, values[split:], strict=True):
            raw[signal.tag] = value
        return raw

    async def far(self) -> tuple[dict[str, Raw], tuple[Finding, ...]]:
        """A look at the analyser's own server: its values, or what people must be told; nothing where it has none."""
        if self.station is None:
            return {}, ()
        try:
            session = await self.station.ready()
            values = await session.look(self.asked())
            return await self.take(session, values, time.time()), ()
        except (LinkLost, SecurityError) as error:
            await self.station.fail(error)
            refused = self.station.connection.refused
            name = "analyser_refused" if refused else "analyser_lost"
            return {}, (Finding(name, f"no spectra: {error}"[:300], 1 if refused else 2),)

    def judged(self, spectrum: Spectrum | None, now_s: float) -> tuple[Spectrum | None, tuple[Finding, ...]]:
        """The spectrum as an acquisition, and what people must be told of it."""
        return self._stream.judged(spectrum, now_s)

    async def close(self) -> None:
        """End the session of its own, where it has one."""
        if self.station is not None:
            await self.station.close()


def axis_tags(config: LineConfig) -> tuple[str, ...]:
    """The flat tags that tell the analyser's axis; none where it is found by type."""
    table = config.analyser
    here = table.kind == "opcua" and table.find == "tags"
    return tuple(f"{table.prefix}.{name}" for name in STREAM_AXIS) if here else ()


async def _axis_tags(session: Session, plc: Learned, prefix: str) -> tuple[FloatArray, str]:
    axis, unit = (f"{prefix}.{name}" for name in STREAM_AXIS)
    values = await session.read([plc.nodes[axis], plc.nodes[unit]])
    steps, told = values[0].Value, values[1].Value
    if steps is None or told is None or not isinstance(steps.Value, list) or not isinstance(told.Value, str):
        raise ConfigError(f"the analyser gives no axis ({axis}, {unit})")
    try:
        return np.asarray(steps.Value, dtype=np.float64), told.Value
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the analyser's axis {axis} is no array of numbers") from error
