"""what the service does -> log lines: JSON on a pipe or in the system's journal, readable on a terminal; no secrets.

Everything that uses `logging` comes out the same way. A line carries the cycle, the epoch of the link and the batch it
belongs to. What matters for the record is on the record; this is for the people who run the box.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import structlog

from edge.signals import Link, Scan, Thought

HIDDEN = "***"
SECRET_KEYS = re.compile(r"passw|secret|token|authori[sz]ation|credential|private_key", re.IGNORECASE)
TOKEN = re.compile(r"pat1_[0-9A-Za-z_-]+")
REPEAT_S = 60.0  # a library that says the same at every attempt is heard once a minute
SLOW = 0.8  # of a cycle
LEAST_SECRET = 4  # characters: hiding shorter ones would only tear holes into words

_hidden: set[str] = set()


def configure(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send all logging to a stream (standard output): JSON lines, or words and colours where it is a terminal."""
    out = sys.stdout if stream is None else stream
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    human = out.isatty()
    renderer = structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(default=repr)
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(Quiet(("asyncua",)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("asyncua").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hide(secret: str) -> None:
    """From now on this text does not come out in any line."""
    if len(secret) >= LEAST_SECRET:
        _hidden.add(secret)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: values of secret keys, known secrets and anything in the form of a token are put out of sight."""
    return {key: HIDDEN if SECRET_KEYS.search(key) else _clean(value) for key, value in event.items()}


class Quiet(logging.Filter):
    """Of the libraries named: the same text once a minute, and without its traceback. now_s: monotonic seconds."""

    def __init__(self, names: tuple[str, ...], now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._names, self._now_s = names, now_s
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record comes out."""
        if not record.name.startswith(self._names):
            return True
        record.exc_info = record.exc_text = record.stack_info = None
        key, now_s = (record.name, str(record.msg)), self._now_s()
        if now_s - self._said.get(key, -REPEAT_S) < REPEAT_S:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[key] = now_s
        return True


@dataclass
class Teller:
    """Tells what changes from cycle to cycle; a quiet line says nothing. cycle_s: of the line."""

    cycle_s: float
    log: Any = field(default_factory=lambda: structlog.get_logger("patloop.service"))
    _before: tuple[Scan, Thought] | None = None
    _number: int = 0

    def cycle(self, scan: Scan, thought: Thought, took_s: float) -> None:
        """One cycle is over; took_s: from the look at the line to the record and the answered write."""
        batch = None if scan.context is None else scan.context.batch
        structlog.contextvars.bind_contextvars(cycle=self._number, epoch=scan.epoch, batch=batch)
        self.log.debug("cycle", mode=thought.mode.value, link=scan.link.value, took_ms=round(1000 * took_s, 2))
        if took_s > SLOW * self.cycle_s:
            self.log.warning("cycle slow", took_ms=round(1000 * took_s), cycle_ms=round(1000 * self.cycle_s))
        self._look(scan, thought)
        for result in scan.lims:
            self.log.info("laboratory result", sample=result.name, record=result.counter, corrects=result.corrects)
        for seq in thought.answered:
            self.log.info("request taken up", record=seq)
        self._before, self._number = (scan, thought), self._number + 1

    def _look(self, scan: Scan, thought: Thought) -> None:
        seen, said = self._before or (None, None)
        if seen is None or (scan.link, scan.epoch) != (seen.link, seen.epoch):
            level = logging.INFO if scan.link is Link.ONLINE else logging.WARNING
            self.log.log(level, "link", state=scan.link.value, reason=scan.reason)
        if said is None or thought.mode is not said.mode:
            self.log.info("mode", now=thought.mode.value, before=None if said is None else said.mode.value)
        holds, held = thought.command.holding, said is not None and said.command.holding
        if holds != held:
            self.log.info("holding" if holds else "no longer holding", reasons=list(thought.command.reasons))
        if seen is not None and scan.context != seen.context:
            now = scan.context
            self.log.info("context", product=None if now is None else now.product, lots=dict(now.lots) if now else {})
        before = {} if said is None else {alarm.name: alarm for alarm in said.alarms}
        now_ = {alarm.name: alarm for alarm in thought.alarms}
        for name in now_.keys() - before.keys():
            alarm = now_[name]
            level = logging.WARNING if alarm.priority < 3 else logging.INFO
            self.log.log(level, "alarm raised", alarm=name, priority=alarm.priority, text=alarm.text)
        for name in before.keys() - now_.keys():
            self.log.info("alarm cleared", alarm=name)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        text = TOKEN.sub(f"pat1_{HIDDEN}", value)
        for secret in _hidden:
            text = text.replace(secret, HIDDEN)
        return text
    if isinstance(value, Mapping):
        return {key: HIDDEN if SECRET_KEYS.search(str(key)) else _clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(part) for part in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _clean(repr(value)) if not isinstance(value, logging.LogRecord) else value
