"""The catalogue: every kind of spectral fault that the campaign injects."""

from __future__ import annotations

from soft_sensors.challenge.axis import AXIS
from soft_sensors.challenge.detector import DETECTOR
from soft_sensors.challenge.optics import OPTICS
from soft_sensors.challenge.sample import SAMPLE
from soft_sensors.challenge.scene import Fault

FAULTS: tuple[Fault, ...] = (*DETECTOR, *OPTICS, *AXIS, *SAMPLE)
