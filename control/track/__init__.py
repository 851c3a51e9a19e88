"""feeders, NIR, laboratory -> divert, genealogy, balance: the material between feeders and gate."""

from __future__ import annotations

from control.track.account import Balance, Minute
from control.track.diversion import Risk
from control.track.feeding import FeederSeen
from control.track.follow import Tracked, Tracker, TrackInput, TrackMemory, track, tracker
from control.track.gap import NirSeen
from control.track.gate import Gate
from control.track.settings import TrackSettings

__all__ = [
    "Balance",
    "FeederSeen",
    "Gate",
    "Minute",
    "NirSeen",
    "Risk",
    "TrackInput",
    "TrackMemory",
    "TrackSettings",
    "Tracked",
    "Tracker",
    "track",
    "tracker",
]
