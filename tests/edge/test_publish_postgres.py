"""The record in a real PostgreSQL: resumable, insert-only, two boxes in one database, broken chains found there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner
from publish_hand import PASSWORD, Cycles, Wire, database, go_on, killed, line_file, numbers

from edge.config import read_config
from edge.errors import ConfigError, LinkLost, RecorderError
from edge.publish.postgres import PostgresPublisher
from edge.publish.postgres_commands import postgres as command
from edge.record.journal import Journal


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with database() as port:
        yield port


@pytest.fixture
def port(server: int, tmp_path: Path) -> int:
    """The server with tables anew, and an account `box` that may insert and read."""
    ask(server, "owner", "DROP SCHEMA IF EXISTS patloop CASCADE", base="postgres")
    ask(server, "owner", f"DO $$ BEGIN CREATE ROLE box LOGIN PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object"
        " THEN NULL; END $$", base="postgres")  # fmt: skip
    owner = tmp_path / "owner"
    owner.mkdir()
    done = CliRunner().invoke(command, [str(settled(owner, server, user="owner")), "--init", "--writer", "box"])
    assert done.exit_code == 0, done.output
    return server


def ask(port: int, user: str, query: str, *given: Any, base: str = "postgres") -> list[Any]:
    async def go() -> list[Any]:
        one = await asyncpg.connect(host="127.0.0.1", port=port, user=user, password=PASSWORD, database=base)
        try:
            return list(await one.fetch(query, *given))
        finally:
            await one.close()

    return asyncio.run(go())


def settled(folder: Path, port: int, user: str = "box", name: str = "CDC-REF-1") -> Path:
    table = f'\n[postgres]\nhost = "127.0.0.1"\nport = {port}\ndatabase = "postgres"\nuser = "{user}"\n'
    return line_file(folder, table + 'password_file = "secret"\nplain = true\nbatch = 50\n', name)


def publisher(file: Path) -> PostgresPublisher:
    config, _ = read_config(file)
    assert config.postgres is not None
    return PostgresPublisher(config.postgres, config.line.name)


def seqs(port: int, line: str = "CDC-REF-1") -> list[int]:
    query = "SELECT seq FROM patloop.records WHERE line = $1 ORDER BY seq"
    return [row["seq"] for row in ask(port, "owner", query, line)]


def test_every_record_with_its_hashes_and_spectra_once(tmp_path: Path, port: int, cycles: Cycles) -> None:
    file, path = settled(tmp_path, port), tmp_path / "journal.sqlite"
    go_on(path, cycles, 200)
    for _ in range(2):
        done = CliRunner().invoke(command, [str(file), "--once"])
        assert done.exit_code == 0, done.output
    assert "0 records sent" in done.output
    assert seqs(port) == numbers(path)
    with Journal.open_reader(path) as journal:
        newest = journal.last("cycle")
    assert newest is not None
    (there,) = ask(port, "box", "SELECT * FROM patloop.records WHERE seq = $1", newest.seq)
    assert bytes(there["hash"]) == newest.hash
    value = "SELECT (body->'thought'->'estimate'->>'value')::float8 AS v FROM patloop.records WHERE seq = $1"
    assert ask(port, "box", value, newest.seq)[0]["v"] == newest.content()["thought"]["estimate"]["value"]
    (counted,) = ask(port, "box", "SELECT count(*) AS n, min(cardinality(absorbance)) AS c FROM patloop.spectra")
    with_spectrum = sum(cycles[i % len(cycles)][1] is not None for i in range(100))
    assert (counted["n"], counted["c"]) == (with_spectrum, 125)
    assert ask(port, "box", "SELECT * FROM patloop.breaks") == []


def test_two_boxes_share_one_database(tmp_path: Path, port: int, cycles: Cycles) -> None:
    for name in ("CDC-REF-1", "LINE-2"):
        folder = tmp_path / name
        folder.mkdir()
        go_on(folder / "journal.sqlite", cycles, 60, name)
        done = CliRunner().invoke(command, [str(settled(folder, port, name=name)), "--once"])
        assert done.exit_code == 0, done.output
    assert seqs(port) == seqs(port, "LINE-2") == list(range(1, 62))
    assert ask(port, "box", "SELECT * FROM patloop.breaks") == []


def test_what_is_there_can_only_be_added_to(tmp_path: Path, port: int, cycles: Cycles) -> None:
    file, path = settled(tmp_path, port), tmp_path / "journal.sqlite"
    go_on(path, cycles, 10)
    assert CliRunner().invoke(command, [str(file), "--once"]).exit_code == 0
    for query in ("DELETE FROM patloop.records", "UPDATE patloop.records SET kind = 'x'", "TRUNCATE patloop.spectra",
                  "DROP TABLE patloop.spectra"):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(port, "box", query)
    ask(port, "owner", "UPDATE patloop.records SET prev_hash = '\\x00' WHERE seq = 5")
    assert [row["seq"] for row in ask(port, "box", "SELECT seq FROM patloop.breaks")] == [5]
    ask(port, "owner", "DELETE FROM patloop.spectra WHERE seq >= 8")
    ask(port, "owner", "UPDATE patloop.records SET hash = '\\x01' WHERE seq = 11")
    with Journal.open_reader(path) as journal, pytest.raises(RecorderError, match="record 11 is not the one"):
        asyncio.run(publisher(file).turn(journal))


def test_a_cut_and_a_kill_leave_whole_batches_and_it_goes_on(tmp_path: Path, port: int, cycles: Cycles) -> None:
    wire = Wire(port).start()
    file, path = settled(tmp_path, wire.port), tmp_path / "journal.sqlite"
    go_on(path, cycles, 3000)
    for kill in range(3):
        with killed("postgres", str(file)):
            deadline = time.monotonic() + 60
            while len(seqs(port)) < 200 * (kill + 1):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            if kill == 1:
                wire.cut()
        wire.mend()
        found = seqs(port)
        assert found == list(range(1, len(found) + 1))
        assert len(found) % 50 == 0 or len(found) == 3001
    done = CliRunner().invoke(command, [str(file), "--once"])
    wire.close()
    assert done.exit_code == 0, done.output
    assert seqs(port) == numbers(path)
    assert ask(port, "box", "SELECT * FROM patloop.breaks") == []


def test_a_database_that_is_away_is_told_and_waited_for(tmp_path: Path, cycles: Cycles) -> None:
    file, path = settled(tmp_path, 1), tmp_path / "journal.sqlite"
    go_on(path, cycles, 4)
    with Journal.open_reader(path) as journal, pytest.raises(LinkLost, match=r"127\.0\.0\.1:1/"):
        asyncio.run(publisher(file).turn(journal))
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 1
    assert "0 records sent" in done.output


def test_missing_tables_and_rights_say_who_can_mend_it(tmp_path: Path, port: int, cycles: Cycles) -> None:
    file, path = settled(tmp_path, port), tmp_path / "journal.sqlite"
    go_on(path, cycles, 4)
    ask(port, "owner", "REVOKE INSERT ON patloop.records FROM box")
    with Journal.open_reader(path) as journal, pytest.raises(ConfigError, match="--init"):
        asyncio.run(publisher(file).turn(journal))
    ask(port, "owner", "DROP SCHEMA patloop CASCADE")
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 2
    assert "--init" in done.output


def test_an_unsafe_table_is_refused(tmp_path: Path) -> None:
    table = '\n[postgres]\nhost = "db.example"\nuser = "u"\npassword_file = "p"\nplain = true\n'
    with pytest.raises(ConfigError, match="this machine only"):
        read_config(line_file(tmp_path, table))
