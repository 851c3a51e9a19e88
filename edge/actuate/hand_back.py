"""The plant given back in good order at a stop: the request first, the heartbeat last, when the PLC has let go.

In one write a PLC that looks at its watchdog before it looks at the request would shed, and want its operator's reset
after every planned stop.
"""

from __future__ import annotations

from collections.abc import Collection

from edge.acquire.protections import OPTIONAL
from edge.ports import Actuator, Clock, Source
from edge.signals import Link

LOOKS, PAUSE_S = 6, 0.5  # our choice, line time: three seconds are several scans of any PLC; systemd waits longer


async def hand_back(source: Source, actuator: Actuator, clock: Clock, spoken: Collection[str]) -> None:
    """Drop the request, wait until the PLC no longer follows us, and only then let the heartbeat go to 0.

    spoken: which of the optional tags the PLC has. A lost link ends it: the PLC's watchdog does the rest.
    """
    rows = (("Apc.Request", 0.0), ("Apc.ModeRequest", 0.0))
    await actuator.write(tuple(row for row in rows if _said(row[0], spoken)))
    for _ in range(LOOKS):
        scan = await source.scan()
        remote = scan.readings.get("Apc.RemoteActive")
        if scan.link is not Link.ONLINE or remote is None or remote.value == 0.0:
            break
        await clock.sleep_until(clock.now_s() + PAUSE_S)
    await actuator.write((("Apc.HeartbeatIn", 0.0),))


def _said(tag: str, spoken: Collection[str]) -> bool:
    name = tag.partition(".")[2]
    return name not in OPTIONAL or name in spoken
