"""The service: cycle after cycle on the line's clock, the watchdog fed by complete ones only, ended in good order."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from importlib.metadata import version

from edge.acquire.opcua import OpcUaLine
from edge.acquire.protections import missing, spoken
from edge.acquire.replay import ReplayEnded
from edge.actuate.hand_back import hand_back
from edge.cycle import begin, cycle
from edge.errors import RecorderError
from edge.line import Line
from edge.memory import settle
from edge.notify import Notifier
from edge.ports import Actuator, Clock, Source
from edge.record.recorder import JournalRecorder
from edge.signals import Acted, Thought
from edge.watching import carried

log = logging.getLogger("patloop.service")

ASK_S = 0.5  # at most between two looks at the line's clock
STANDS_S = 2.0  # our choice: a line clock that stands so long past the due time is not waited for


class LineClock:
    """Follows the line's own time tag, so that an accelerated line and its controller agree on what a second is."""

    def __init__(self, line: OpcUaLine) -> None:
        self._line = line
        self._speed = 1.0

    def now_s(self) -> float:
        """The line's time as last told, plus what has passed since at normal speed; wall time before it told any."""
        told_s, told_at = self._line.told
        return time.time() if told_s == 0.0 else told_s + (time.monotonic() - told_at)

    async def sleep_until(self, time_s: float) -> None:
        """Ask the line until its time has come; on a lost link, or a clock that stands, keep the period by our own."""
        while True:
            before_s, before_at = self._line.told
            told_s = await self._line.line_time_s()
            elapsed = time.monotonic() - before_at
            if told_s is None:
                left_s = (time_s - self.now_s()) / self._speed
            elif before_s + elapsed * min(1.0, self._speed) > time_s + STANDS_S and told_s == before_s:
                return
            else:
                if elapsed > 0.02 and told_s > before_s > 0.0:
                    self._speed = min(max((told_s - before_s) / elapsed, 0.1), 1000.0)
                left_s = 0.8 * (time_s - told_s) / self._speed
            if left_s <= 0.0:
                return
            await asyncio.sleep(min(max(left_s, 0.001), ASK_S))


async def serve(
    line: Line,
    source: Source,
    actuator: Actuator | None,
    recorder: JournalRecorder,
    clock: Clock,
    *,
    notifier: Notifier,
    stop: asyncio.Event,
    on_cycle: Callable[[Thought], None] = lambda _: None,
) -> None:
    """Run cycles until stop is set or the source ends. A journal that cannot be written stops every write."""
    licence, seen_s = recorder.last_licence()
    line.licences.resume(licence, seen_s)
    if line.instrument is not None:
        line.instrument.resume(recorder.last_verification())
    watch = carried(line.config, licence, recorder.last_interval_factor())
    loop, acted, number = begin(line, watch), Acted("none"), 0
    cycle_s = line.config.line.cycle_s
    settle()
    notifier.ready()
    while not stop.is_set():
        try:
            thought, loop, acted = await cycle(line, loop, number, acted, source, actuator, recorder, clock)
            number += 1
            notifier.status(_status(thought))
            on_cycle(thought)
            recorder.tidy(clock.now_s())
        except ReplayEnded:
            break
        except RecorderError as error:
            # Nothing was sent, for nothing could be recorded: the PLC misses our heartbeat and goes local by itself.
            log.error("the journal cannot be written, holding: %s", error)
            notifier.status(f"HOLD: journal: {error}")
            recorder.refused(clock.now_s())
        notifier.watchdog()
        await _sleep(clock, cycle_s * (math.floor(clock.now_s() / cycle_s) + 1), stop)
    if actuator is not None and loop.handshake.session_id:
        has = spoken("full" if line.config.opcua is None else line.config.opcua.handshake)
        await hand_back(source, actuator, clock, has)


async def _sleep(clock: Clock, due_s: float, stop: asyncio.Event) -> None:
    nap = asyncio.ensure_future(clock.sleep_until(due_s))
    ended = asyncio.ensure_future(stop.wait())
    _, waiting = await asyncio.wait({nap, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    if nap.done() and not nap.cancelled():
        nap.result()  # an error in the clock is an error of the service


def start_body(line: Line) -> dict[str, object]:
    """What the journal says of a start: versions, hashes and the whole configuration."""
    packages = ("patloop", "numpy", "casadi", "daqp", "onnxruntime", "asyncua")
    return {
        "line": line.config.line.name,
        "mode": line.config.line.start_mode,
        "software": f"patloop {version('patloop')}",
        "versions": {name: version(name) for name in packages},
        "config_hash": line.config_hash,
        "sensor_hash": line.sensor.bundle_hash,
        "controller_hash": None if line.control is None else line.control.bundle.bundle_hash,
        **_press(line),
        "controller_release": _release(line),
        "unprotected": [] if line.config.opcua is None else list(missing(line.config.opcua.handshake)),
        "config": line.config.model_dump(mode="json"),
    }


def _press(line: Line) -> dict[str, object]:
    """The bundle of the press's handles; nothing where there are none, so that such a start reads as it always did."""
    press = None if line.control is None else line.control.press
    return {} if press is None else {"press_hash": press.bundle.bundle_hash}


def _release(line: Line) -> dict[str, object] | None:
    """What a registry released the controller's bundle by; None for a bundle that nobody governs."""
    release = None if line.control is None else line.control.release
    if release is None:
        return None
    return {
        "model": release.model, "bundle": release.bundle_hash, "valid_until_s": release.valid_until_s,
        "registry_id": release.registry_id, "head_seq": release.head_seq, "head_hash": release.head_hash,
    }  # fmt: skip


def _status(thought: Thought) -> str:
    held = " (holding)" if thought.command.holding and thought.command.reasons else ""
    return f"{thought.mode.value}{held}, {len(thought.alarms)} alarms"
