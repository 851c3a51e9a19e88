"""Old records leave the journal by way of the archive: nothing is lost, the chain holds, the file is bounded."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import ValidationError

from edge.errors import RecorderError
from edge.record.canonical import encode
from edge.record.chain import Row
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.retention import Pace, Retention
from edge.record.retention_commands import retire
from edge.record.settings import RecordTable
from edge.record.upkeep import Upkeep
from edge.record.verify import verify

LINE, DAY = "CDC-REF-1", 86_400.0


def hasty(path: Path) -> Journal:
    """A journal that does not wait for the disk: the tests here kill nothing."""
    journal = Journal.open(path, LINE, now=lambda: 0.0)
    journal._connection.execute("PRAGMA synchronous=OFF")
    return journal


def record(journal: Journal, cycles: int, first: int = 0) -> None:
    """So many cycles an hour apart with spectra and outcomes, a request and a checkpoint in between."""
    for i in range(first, first + cycles):
        time_s = 3600.0 * i
        body = {"sample": {"cycle": i, "readings": [i + k / 7 for k in range(60)]}, "thought": {"mode": "advise"}}
        journal.append("cycle", time_s, encode(body), hashlib.sha256(b"%d" % i).digest() * 20)
        journal.append("act", time_s, encode({"cycle": i, "result": "good", "codes": {}}))
        if i % 25 == 3:
            journal.append("request", time_s, encode({"action": "ack", "value": str(i), "user": "a", "reason": ""}))


def run(kept: Retention, now_s: float, most: int = 100_000) -> int:
    return next(n for n in range(most + 1) if n == most or not kept.step(now_s))


def table(path: Path, **bounds: float) -> RecordTable:
    return RecordTable(archive=path.parent / "archive", **bounds)


def held(path: Path) -> dict[int, Row]:
    with Journal.open_reader(path) as journal:
        return {row.seq: row for row in journal.rows()}


def gathered(path: Path) -> dict[int, Row]:
    """Every record, out of the journal and all of its archives."""
    found = held(path)
    for archive in sorted((path.parent / "archive").glob("*.journal")):
        found |= held(archive)
    return found


def test_another_process_may_go_on_packing_with_what_it_wrote_last(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal, hasty(path) as other:
        record(other, 30)
        kept = Retention(journal, table(path, max_gb=1e-9), LINE, Pace(rows=400, least=1, removed=8, newest=0))
        for i in range(30, 130, 4):
            run(kept, 3600.0 * i)
            record(other, 4, first=i)
            assert held(path), "every record that is there can be read"
        assert kept.removed
    assert verify(path).ok


def test_old_cycles_go_to_the_archive_and_all_else_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 400)
        before = held(path)
        kept = Retention(journal, table(path, keep_days=5.0), LINE, Pace(200, 50, 60, 40))
        run(kept, 400 * 3600.0)
        after = held(path)
        with pytest.raises(RecorderError, match="append-only"):
            journal.append_with("x", 0.0, lambda c, _: bytes(c.execute("DELETE FROM records").rowcount))
    gone = before.keys() - after.keys()
    assert kept.trouble == ""
    assert kept.removed == len(gone) > 500
    assert {before[seq].kind for seq in gone} == {"cycle", "act"}
    oldest = min(row.time_s for row in after.values() if row.kind == "cycle")
    assert 400 * 3600.0 - 7 * DAY < oldest < 400 * 3600.0 - 5 * DAY, "not one that is due to stay"
    assert verify(path).ok
    assert {seq: row for seq, row in gathered(path).items() if seq in before} == before, "not a byte is lost"


def test_each_archive_is_sound_by_itself_and_named_by_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 300)
        run(Retention(journal, table(path, keep_days=3.0), LINE, Pace(200, 50, 60, 40)), 300 * 3600.0)
        told = [row.content() for row in journal.rows(kind="retired")]
    files = {file.name: file for file in (tmp_path / "archive").iterdir()}
    assert len(files) > 1
    assert {body["archive"] for body in told} == files.keys(), "and no draft is left"
    assert all(hashlib.sha256(files[b["archive"]].read_bytes()).hexdigest() == b["archive_sha256"] for b in told)
    assert all(verify(file).ok for file in files.values())
    assert {body["reason"] for body in told} == {"cycles are kept 3 days"}


def test_spectra_go_first_and_later_their_cycles_without_another_archive(tmp_path: Path) -> None:
    path, bounds = tmp_path / "journal.sqlite", {"keep_days": 9.0, "keep_spectra_days": 2.0}
    with hasty(path) as journal:
        record(journal, 250)
        before = held(path)
        kept = Retention(journal, table(path, **bounds), LINE, Pace(200, 50, 60, 40))
        run(kept, 200 * 3600.0)
        between = held(path)
        archives = sorted(file.name for file in (tmp_path / "archive").iterdir())
        bare = [row for row in between.values() if row.kind == "cycle" and row.blob is None]
        assert len(bare) == kept.dropped > 100
        assert before.keys() <= between.keys(), "no record went yet"
        assert verify(path).ok
        run(kept, 400 * 3600.0)
    assert kept.removed > 200
    assert sorted(file.name for file in (tmp_path / "archive").iterdir())[: len(archives)] == archives
    assert verify(path).ok
    assert {seq: row for seq, row in gathered(path).items() if seq in before} == before


def test_ended_after_any_step_it_is_either_before_or_after_and_goes_on(tmp_path: Path) -> None:
    """The object is dropped as a kill drops it, drafts and all; kills of the process: tests/hil/test_crash_kills.py."""
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 300)
        before, stopped = held(path), Counter[str]()
        for steps in [*range(30), 10_000]:
            kept = Retention(journal, table(path, keep_days=3.0, keep_spectra_days=2.0), LINE, Pace(200, 50, 60, 40))
            run(kept, 300 * 3600.0, most=steps)
            assert kept.trouble == ""
            stopped[type(kept._work).__name__] += 1
            assert verify(path).ok, steps
            assert {seq: row for seq, row in gathered(path).items() if seq in before} == before, steps
    assert stopped["generator"] > 5, "some were dropped in the midst of it"
    assert sum(row.kind == "cycle" for row in held(path).values()) < 200


def test_without_an_archive_nothing_is_removed_and_people_are_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    (tmp_path / "archive").write_text("a file in the folder's place")
    with hasty(path) as journal:
        record(journal, 250)
        before = held(path)
        kept = Retention(journal, table(path, keep_days=2.0), LINE, Pace(200, 50, 60, 40))
        run(kept, 250 * 3600.0, most=50)
        told = Upkeep(journal, kept, reserve_bytes=4096).told()
        assert held(path) == before
        assert "cannot be written" in kept.trouble
        assert any(found.name == "record_archive" and "old records stay" in found.text for found in told)
        (tmp_path / "archive").unlink()
        assert not kept.step(250 * 3600.0 + 1.0), "not at once again"
        run(kept, 250 * 3600.0 + 61.0)
    assert kept.trouble == ""
    assert kept.removed > 100


@pytest.mark.parametrize("harm", ["altered", "removed"])
def test_an_archive_that_is_not_what_was_written_stops_the_removal(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 250)
        kept = Retention(journal, table(path, keep_days=2.0), LINE, Pace(200, 50, 60, 40))
        assert any(kept._pieces or not kept.step(250 * 3600.0) for _ in range(100))
        (file,) = (tmp_path / "archive").iterdir()
        if harm == "altered":
            os.truncate(file, file.stat().st_size - 1)
        else:
            file.unlink()
        before = held(path)
        run(kept, 250 * 3600.0, most=50)
        assert held(path) == before
    assert ("not the file that was written" if harm == "altered" else "cannot be read") in kept.trouble


def test_the_file_stays_as_large_as_it_may_over_many_turns(tmp_path: Path) -> None:
    path, limit_mb = tmp_path / "journal.sqlite", 0.6
    with hasty(path) as journal:
        kept = Retention(journal, table(path, max_gb=limit_mb / 1e3), LINE, Pace(200, 200, 60, 40))
        sizes = []
        for turn in range(14):
            record(journal, 60, first=60 * turn)
            run(kept, 60 * turn * 3600.0)
            journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            sizes.append(path.stat().st_size)
        newest = journal.last("cycle")
    assert kept.trouble == ""
    assert kept.removed > 700, "several times what fits"
    assert max(sizes) < limit_mb * 1e6
    assert sizes[-1] == max(sizes[:11]), "freed pages are used again"
    assert newest is not None, "what a start goes on from is there"
    assert verify(path).ok


def test_a_bound_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        journal.append("artefact", 0.0, encode({"name": "sensor", "hash": "0"}), os.urandom(300_000))
        record(journal, 30)
        kept = Retention(journal, table(path, max_gb=1e-4), LINE, Pace(100, 100, 60, 40))
        run(kept, 30 * 3600.0)
    assert "above max_gb, and what is left of it is never removed" in kept.trouble


def test_a_piece_is_not_begun_for_a_few_records_until_a_day_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 300)
        kept = Retention(journal, table(path, keep_days=8.0), LINE, Pace(500, 500, 60, 40))
        assert not kept.step(210 * 3600.0), "18 hours of them are due"
        assert not kept.step(210 * 3600.0 + 59.0), "and it is not looked every cycle"
        run(kept, 300 * 3600.0)
        assert 100 < kept.removed < 500, "a day of them is written although it is not a whole piece"


def test_a_table_says_what_bounds_it() -> None:
    with pytest.raises(ValidationError, match="give one of"):
        RecordTable(archive=Path("a"))
    with pytest.raises(ValidationError, match="spectra go with their cycles"):
        RecordTable(archive=Path("a"), keep_days=2.0, keep_spectra_days=3.0)


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(retire, [str(argument) for argument in arguments])


def test_the_command_retires_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.record.retention.Pace", partial(Pace, newest=40))  # a short journal
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 300)
    archive = tmp_path / "archive"
    done = invoke(path, "--now", "--archive", archive, "--keep-days", "3")
    left = sum(row.kind == "cycle" for row in held(path).values())
    assert done.exit_code == 0, done.output
    assert abs(int(done.output.split()[0]) - 2 * (300 - left)) <= 1, done.output
    assert 72 <= left < 72 + 64, "three days, and what is packed together"
    assert verify(path).ok
    again = invoke(path, "--now", "--archive", archive, "--keep-days", "3")
    assert again.output.lstrip().startswith("0 records of"), again.output
    assert "nothing was due: the newest 40 records always stay" in again.output


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.record.retention.Pace", partial(Pace, newest=40))  # a short journal
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 300)
    (tmp_path / "in_the_way").write_text("")
    refused = invoke(path, "--now", "--archive", tmp_path / "in_the_way" / "a", "--keep-days", "3")
    assert refused.exit_code == 1
    assert "NO  archive" in refused.output
    bare, wrong = invoke(path, "--keep-days", "3"), invoke(path, "--archive", tmp_path)
    twisted = invoke(path, "--archive", tmp_path, "--keep-days", "1", "--keep-spectra-days", "2")
    assert [r.exit_code for r in (bare, wrong, twisted)] == [2, 2, 2]
    assert "a journal needs --archive" in bare.output
    assert "spectra go with their cycles" in twisted.output
    assert held(path).keys() == set(range(1, len(held(path)) + 1)), "nothing was removed"


def test_the_service_retires_between_its_cycles(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with hasty(path) as journal:
        record(journal, 250)
        kept = Retention(journal, table(path, keep_days=3.0), LINE, Pace(200, 50, 60, 40))
        recorder = JournalRecorder(journal, upkeep=Upkeep(journal, kept, reserve_bytes=4096))
        for turn in range(200):
            recorder.tidy(250 * 3600.0 + turn)
            if turn % 20 == 0:
                record(journal, 1, first=250 + turn // 20)
    assert kept.removed > 200
    assert verify(path).ok


def test_a_disk_that_is_nearly_full_is_told_while_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hasty(tmp_path / "journal.sqlite") as journal:
        upkeep = Upkeep(journal, reserve_bytes=4096)
        found = {}
        for free in (2e9, 5e8, 5e7):
            monkeypatch.setattr("edge.record.upkeep._free", lambda _, free=free: int(free))
            found[free] = [(f.name, f.priority) for f in upkeep.told()]
    assert found == {2e9: [], 5e8: [("record_disk", 2)], 5e7: [("record_disk", 1)]}
