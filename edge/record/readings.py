"""readings -> their canonical JSON, written straight: they are half of a cycle's record, and all of one plain form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from control.signals import Reading
from edge.record.canonical import encode


def encode_readings(readings: Mapping[str, Reading]) -> str:
    """What `edge.record.canonical.encode` writes for these readings by tag, character for character."""
    return f"{{{','.join(f'{_key(tag)}:{_reading(readings[tag])}' for tag in sorted(readings))}}}"


def _reading(one: Reading) -> str:
    value, time_s = one.value, one.time_s
    # Only what is finite and exactly of these types may be written by repr; x - x is 0 for no other number.
    if type(one) is Reading and type(value) is float and type(time_s) is float and value - value == time_s - time_s:
        reason = json.dumps(one.reason) if one.reason else '""'
        return f'{{"quality":"{one.quality}","reason":{reason},"time_s":{time_s!r},"value":{value!r}}}'
    return encode(one).decode("ascii")


@lru_cache(maxsize=65536)
def _key(tag: str) -> str:
    return encode({tag: None})[1:-6].decode("ascii")
