"""Payload bytes held against another implementation's; line files that would publish unsafely."""

from __future__ import annotations

from pathlib import Path

import pytest
from publish_hand import line_file

from edge.config import read_config
from edge.errors import ConfigError
from edge.publish.sparkplug_payload import DataType, Metric, Payload, decode, encode

# Made with another implementation's classes from the same payload (pysparkplug 0.6.1), so that both ends cannot share a
# mistake: a double with quality and unit, a null, a negative integer by alias, a flag, a text, a large number; seq 7.
OTHERS = bytes.fromhex(
    "08b8f7ddbda03412390a016110031801200a28014a230a075175616c6974790a07656e67556e69741205080318c0011208080c42046b672f"
    "6869000000000000f83f12090a016e1802200a3801121110091802200458fbffffffffffffffff0112090a01621803200b7001120a0a0173"
    "1804200c7a017812110a017518042008588080808080808080101807"
)


def test_payloads_are_what_another_implementation_writes() -> None:
    told = (
        Metric(1.5, DataType.DOUBLE, 1, "a", 3, historical=True, quality="good", unit="kg/h"),
        Metric(float("nan"), DataType.DOUBLE, 2, "n"),
        Metric(-5, DataType.INT64, 2, alias=9),
        Metric(value=True, datatype=DataType.BOOLEAN, time_ms=3, name="b"),
        Metric("x", DataType.STRING, 4, "s"),
        Metric(2**60, DataType.UINT64, 4, "u"),
    )
    assert encode(Payload(1795425795000, told, 7)) == OTHERS
    back = decode(OTHERS)
    assert back.metrics[1].value is None
    assert [m.value for m in back.metrics if m.name != "n"] == [m.value for m in told if m.name != "n"]
    with pytest.raises(ValueError, match="not a Sparkplug"):
        decode(b"\xff\xff\xff")


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ('host = "10.0.0.1"\nuser = "u"\npassword_file = "p"\nplain = true', "this machine only"),
        ('host = "10.0.0.1"\nuser = "u"\npassword_file = "p"', "name ca"),
        ('host = "b"\nuser = "u"\npassword_file = "p"\nca = "c"\ngroup = "a/b"', "group"),
    ],
)
def test_an_unsafe_table_is_refused(tmp_path: Path, table: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        read_config(line_file(tmp_path, f"\n[mqtt]\n{table}\n"))
