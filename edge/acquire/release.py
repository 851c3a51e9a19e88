"""ACQUIRE the controller's release: a licence that no longer closes the loop when the registry took the bundle back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from control.errors import ControlError
from control.governed import Release, registry_of, unfit
from control.settings import ControllerSettings
from edge.acquire.licence import Stamp, stamp_of
from edge.ports import Licences
from edge.signals import Licence
from soft_sensors.registry.entries import Registry


class Released:
    """The licences of a line whose controller a registry governs.

    The bundle stays the one that was loaded at the start; retired, rolled back from or expired, it may not go on
    moving the line.
    """

    def __init__(self, licences: Licences, chosen: ControllerSettings, release: Release) -> None:
        self._licences, self._chosen, self._release = licences, chosen, release
        self._stamp: Stamp | None = None
        self._registry: Registry | None = None

    def acquire(self, now_s: float) -> Licence:
        """The soft sensor's licence, with a reason where it has none but the controller's bundle gives one."""
        licence = self._licences.acquire(now_s)
        return licence if licence.reason else replace(licence, reason=self._why_not(now_s))

    def folders(self) -> dict[str, Path]:
        """Those of the soft sensors."""
        return self._licences.folders()

    def resume(self, last: Licence | None, time_s: float) -> None:
        """Handed on: both are of one registry, whose head the soft sensor's licence is held to."""
        self._licences.resume(last, time_s)

    def _why_not(self, now_s: float) -> str:
        folder = self._chosen.registry
        stamp = None if folder is None else stamp_of(folder)
        try:
            if self._registry is None or stamp is None or stamp != self._stamp:
                self._stamp, self._registry = stamp, registry_of(self._chosen)
        except ControlError as error:
            self._registry = None
            return str(error)
        return unfit(self._registry, self._release, now_s)
