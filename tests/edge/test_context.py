"""What is being made: the line's word first, then what others told; on every cycle, and each change a record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.acquire.raw import Raw
from edge.acquire.tags import required, texts, to_scan, wanted
from edge.acquire.told import WithRecord
from edge.config import LineConfig, read_config
from edge.context import ContextTable, Known, change, in_force, seen
from edge.errors import ConfigError
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.signals import Context, Link, Sample, Scan, Thought
from soft_sensors.signals import Quality

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
TABLE = ContextTable(batch="Line.BatchId", lots={"FeederApi": "FeederApi.LotId"})
BY_LINE = {"Line.BatchId": "B-1", "FeederApi.LotId": "L-9"}
BY_MES = Context("B-7", "Aspirol", {"FeederApi": "L-1", "FeederMcc": "L-2"}, "rest:mes")


@pytest.fixture
def config() -> LineConfig:
    found, _ = read_config(LINE_FILE)
    return found.model_copy(update={"context": TABLE})


def look(link: Link = Link.ONLINE, **told: str) -> Scan:
    return Scan(1.0, link, 1, 1, {}, texts=told)


def line_says(**told: str) -> Scan:
    return Scan(1.0, Link.ONLINE, 1, 1, {}, texts={**BY_LINE, **told})


def test_nobody_tells_nothing() -> None:
    assert in_force(seen(Known(), TABLE, look())) is None
    assert in_force(seen(Known(), None, line_says())) is None, "no table: the line's texts mean nothing"


def test_the_lines_word_goes_before_what_others_told() -> None:
    known = seen(Known(told=BY_MES), TABLE, line_says())
    now = in_force(known)
    assert now == Context("B-1", "Aspirol", {"FeederApi": "L-9", "FeederMcc": "L-2"}, "tags+rest:mes")
    only = in_force(Known(told=BY_MES))
    assert only == BY_MES
    alone = in_force(seen(Known(), TABLE, line_says()))
    assert alone is not None
    assert alone.source == "tags"


def test_a_text_that_is_not_there_leaves_what_was_told() -> None:
    known = seen(Known(), TABLE, line_says())
    assert in_force(seen(known, TABLE, look())) == in_force(known)
    ended = in_force(seen(known, TABLE, line_says(**{"Line.BatchId": ""})))
    assert ended is not None
    assert ended.batch == "", "the batch has ended"
    assert in_force(replace(seen(known, TABLE, line_says(**{"Line.BatchId": ""})), told=BY_MES)).batch == "B-7"  # type: ignore[union-attr]


def test_a_change_names_both() -> None:
    before, now = Context("B-1", "", {"FeederApi": "L-1"}, "tags"), Context("B-2", "", {"FeederApi": "L-1"}, "tags")
    told = change(before, now)
    assert told is not None
    assert (told["batch"], told["before"]) == ("B-2", {"batch": "B-1", "product": "", "lots": {"FeederApi": "L-1"}})
    assert change(now, replace(now, source="rest:mes")) is None, "who says it is no change of what is made"
    assert change(None, None) is None


# over the wire's values


def raw(value: object, quality: Quality = Quality.GOOD) -> Raw:
    return Raw(value, quality, "", 1.0)


def test_text_tags_are_asked_for_and_missed_by_nobody(config: LineConfig) -> None:
    assert set(texts(config)) == {"Line.BatchId", "FeederApi.LotId", "Lab.SampleId"}
    assert set(texts(config)) <= set(wanted(config))
    assert not set(texts(config)) & set(required(config))


@pytest.mark.parametrize(
    ("value", "quality", "told"),
    [
        ("B-1", Quality.GOOD, "B-1"), (" B-1 ", Quality.GOOD, "B-1"), ("", Quality.GOOD, ""),
        ("B-1", Quality.BAD, None), ("B-1", Quality.UNCERTAIN, None), (None, Quality.GOOD, None),
        (7, Quality.GOOD, None), ("x" * 65, Quality.GOOD, None), ("a\nb", Quality.GOOD, None),
        (float("nan"), Quality.GOOD, None),
    ],
)  # fmt: skip
def test_what_a_tag_may_call_a_batch(config: LineConfig, value: object, quality: Quality, told: str | None) -> None:
    values = {tag: raw(0.0) for tag in wanted(config)} | {"Line.BatchId": raw(value, quality)}
    values["Lab.ResultCounter"], values["Lab.SampleId"] = raw(3), raw("S003")
    scan = to_scan(config, values, None, now_s=1.0, epoch=1, session_id=1)
    assert scan.texts.get("Line.BatchId") == told
    assert "Line.BatchId" not in scan.readings
    assert scan.lab is not None
    assert scan.lab.sample_id == "S003"


def test_lots_are_of_setpoints(tmp_path: Path) -> None:
    file = tmp_path / "line.toml"
    named = '[context]\nlots = { FeederX = "X.Lot" }\n'
    file.write_text(LINE_FILE.read_text().replace("[context]\n", named))
    with pytest.raises(ConfigError, match="FeederX"):
        read_config(file)


# on the record


class Scripted:
    """A source that gives one look after the other."""

    def __init__(self, *scans: Scan) -> None:
        self.scans = list(scans)

    async def scan(self) -> Scan:
        return self.scans.pop(0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", "CDC-REF-1", now=lambda: 0.0) as record:
        yield record


def played(journal: Journal, config: LineConfig, *scans: Scan) -> list[Context | None]:
    source = WithRecord(Scripted(*scans), journal, config)
    recorder = JournalRecorder(journal)
    found = []
    for k in range(len(scans)):
        scan = asyncio.run(source.scan())
        recorder.cycle(Sample(k, scan), _thought())
        found.append(scan.context)
    return found


def _thought() -> Thought:
    from control.signals import Command, Mode

    command = Command(Mode.MONITOR, {}, {}, holding=False, divert=False, reasons=())
    return Thought(Mode.MONITOR, None, None, None, None, command, (), "off", "", ())


def batches(journal: Journal) -> list[str]:
    return [row.content()["batch"] for row in journal.rows(kind="batch")]


def test_every_cycle_holds_the_context_and_each_change_is_one_record(journal: Journal, config: LineConfig) -> None:
    lost = Scan(2.0, Link.LOST, 1, 0, {}, reason="gone")
    found = played(journal, config, line_says(), line_says(), lost, line_says(**{"Line.BatchId": "B-2"}))
    assert [c.batch if c else None for c in found] == ["B-1", "B-1", "B-1", "B-2"]
    kept = [row.content()["sample"]["context"]["batch"] for row in journal.rows(kind="cycle")]
    assert kept == ["B-1", "B-1", "B-1", "B-2"]
    assert batches(journal) == ["B-1", "B-2"]
    rows = list(journal.rows(kind="batch"))
    assert rows[1].seq < [row.seq for row in journal.rows(kind="cycle")][3], "the change stands before its cycle"


def test_a_restart_is_no_change_of_batch(journal: Journal, config: LineConfig) -> None:
    played(journal, config, line_says())
    lost = Scan(2.0, Link.LOST, 0, 0, {}, reason="not yet")
    assert [c.batch if c else None for c in played(journal, config, lost, line_says())] == ["B-1", "B-1"]
    assert batches(journal) == ["B-1"]


def test_what_mes_tells_is_in_force_from_the_next_look(journal: Journal, config: LineConfig) -> None:
    def tell(batch: str) -> None:
        body = {"batch": batch, "product": "", "lots": {}, "reason": "", "source": "rest:mes"}
        journal.append("context", 0.0, encode(body))

    watched = config.model_copy(update={"context": None})
    tell("M-1")
    assert [c.batch if c else None for c in played(journal, watched, look())] == ["M-1"], "told before the start"
    source = WithRecord(Scripted(look(), look()), journal, watched)
    tell("M-2")
    assert asyncio.run(source.scan()).context == Context("M-2", "", {}, "rest:mes")
    assert batches(journal) == ["M-1", "M-2"]
