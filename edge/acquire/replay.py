"""ACQUIRE from a recorded file: its spectra one a cycle, as if they arrived live; nothing can be written."""

from __future__ import annotations

import asyncio
import time

from edge.config import LineConfig
from edge.errors import ConfigError
from edge.signals import Link, Scan
from soft_sensors.errors import SensorError
from soft_sensors.read import read_spectra
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import Spectrum


class ReplayEnded(Exception):  # noqa: N818 - the end of the file, not an error
    """Every recorded spectrum has been played."""


class StepClock:
    """A clock that jumps to the time it is told to sleep until: a recorded file as fast as it can be read."""

    def __init__(self, start_s: float) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        """The time it was last moved to."""
        return self._now_s

    async def sleep_until(self, time_s: float) -> None:
        """Move there at once."""
        self._now_s = max(self._now_s, time_s)
        await asyncio.sleep(0)


class WallClock:
    """The machine's clock: wall time for stamps, slept by monotonic steps."""

    def now_s(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    async def sleep_until(self, time_s: float) -> None:
        """Sleep the difference; a stepped wall clock makes one cycle short or long, never a burst."""
        await asyncio.sleep(max(0.0, time_s - time.time()))


class ReplaySource:
    """Plays a spectra file, one spectrum a scan. Raises ConfigError when the file cannot be read."""

    def __init__(self, config: LineConfig, clock: StepClock | WallClock, axis_unit: str) -> None:
        assert config.analyser.spectra is not None, "checked with the configuration"
        try:
            self.table: SpectraTable = read_spectra(config.analyser.spectra)
        except SensorError as error:
            raise ConfigError(str(error)) from error
        self._clock, self._axis_unit, self._next = clock, axis_unit, 0

    @property
    def total(self) -> int:
        """How many spectra there are."""
        return len(self.table.values)

    async def scan(self) -> Scan:
        """The next spectrum as one acquisition ending now. Raises ReplayEnded after the last."""
        if self._next >= self.total:
            raise ReplayEnded
        row, self._next = self._next, self._next + 1
        now_s = self._clock.now_s()
        unit = self.table.axis_unit or self._axis_unit  # a CSV does not say its unit: the model's is meant
        spectrum = Spectrum(self.table.axis, unit, self.table.values[row], row + 1, now_s)
        return Scan(now_s, Link.ONLINE, 1, 0, {}, spectrum)
