"""Which tags of the handshake a PLC may lack, and what is then not protected any more, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

Handshake = Literal["full"] | tuple[str, ...]
"""What a PLC has of the optional tags: all of them, or those named."""

APC: Mapping[str, str] = {
    "SessionId": "a write of an earlier start, or of a second box, cannot be told from ours",
    "ModeRequest": "the PLC is not told whether the service only advises; it sees that by Request alone",
    "HeartbeatOut": "a PLC program that stopped is noticed only by values that no longer move",
    "WatchdogTimeoutMs": "nobody checks that the PLC's watchdog fits the control cycle",
    "WatchdogOk": "whether the PLC hears our heartbeat is not shown",
    "OperatorEnable": "that the operator has not enabled remote is seen only as a missing permit",
    "RemoteActive": "whether the PLC follows us is concluded from Request and Permit, not told",
    "Mode": "a PLC that took control back is seen only by its permit",
    "ShedReason": "why the PLC took control back is not told",
    "DivertRequest": "diversion cannot be asked for: bad material is only reported",
}
LOOP: Mapping[str, str] = {
    "SP_RemoteSeq": "setpoints carry no number: the PLC would take one that comes late",
    "SP_SeqEcho": "a late write cannot be told from a fresh one; it is noticed afterwards, by what the PLC works with",
    "SP_Working": "clamped or rate-limited moves are seen only in the measured value",
    "SP_LoLim": "low limits that an operator tightens in the PLC are not known here",
    "SP_HiLim": "high limits that an operator tightens in the PLC are not known here",
    "SP_RateLim": "the PLC's rate limit is not known: moves may lag behind what was asked",
    "DevLimit": "a move that the PLC finds too large is refused without warning",
    "Available": "a setpoint that the PLC does not let move is not told",
    "LimitFlags": "saturation is not told",
    "BkCal": "where to start from is taken from the setpoint that the PLC works with",
}
OPTIONAL: Mapping[str, str] = {**APC, **LOOP}
NEEDED = ("Request", "Permit", "HeartbeatIn")  # of Apc; SP_Remote of each setpoint


def has(handshake: Handshake, name: str) -> bool:
    """Whether a PLC with this handshake has a tag of that name (without its place: 'SessionId', 'SP_SeqEcho')."""
    return name not in OPTIONAL or handshake == "full" or name in handshake


@cache
def spoken(handshake: Handshake) -> frozenset[str]:
    """The optional tags that a PLC with this handshake has."""
    return frozenset(name for name in OPTIONAL if has(handshake, name))


@cache
def missing(handshake: Handshake) -> tuple[str, ...]:
    """What is not protected: 'without NAME ...', one sentence a tag that the PLC does not have."""
    return tuple(f"without {name} {told}" for name, told in OPTIONAL.items() if not has(handshake, name))
