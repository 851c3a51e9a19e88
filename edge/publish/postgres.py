"""journal -> a fleet's PostgreSQL database, record by record with the chain's hashes; the rows there are the cursor.

A batch goes in in one transaction, so a kill of either side leaves whole batches, and the next run goes on after the
newest record that is there. Rows are only ever inserted: a record that is there with another hash than here is a sign
of tampering, on one side or the other, and stops the publisher.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any

import asyncpg

from edge.errors import ConfigError, LinkLost, RecorderError
from edge.publish.follow import Batch, Cursor, batches
from edge.publish.mqtt_settings import loopback
from edge.publish.postgres_settings import PostgresTable
from edge.publish.secret import password
from edge.record.canonical import unpack_spectrum
from edge.record.chain import Row
from edge.record.journal import Journal

PATIENCE_S = 20.0
# One statement a table; `{s}` is the schema. Bundles stay in the journal: their record holds their hash.
SCHEMA = (
    "CREATE SCHEMA IF NOT EXISTS {s}",
    "CREATE TABLE IF NOT EXISTS {s}.records (line text NOT NULL, seq bigint NOT NULL, time timestamptz NOT NULL,"
    " kind text NOT NULL, body jsonb NOT NULL, prev_hash bytea NOT NULL, hash bytea NOT NULL, came timestamptz NOT NULL"
    " DEFAULT now(), PRIMARY KEY (line, seq))",
    "CREATE INDEX IF NOT EXISTS records_by_time ON {s}.records (line, kind, time)",
    "CREATE TABLE IF NOT EXISTS {s}.spectra (line text NOT NULL, seq bigint NOT NULL, absorbance float8[] NOT NULL,"
    " PRIMARY KEY (line, seq), FOREIGN KEY (line, seq) REFERENCES {s}.records)",
    "CREATE TABLE IF NOT EXISTS {s}.lost (line text NOT NULL, first_seq bigint NOT NULL, last_seq bigint NOT NULL,"
    " told timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (line, first_seq))",
    "CREATE OR REPLACE VIEW {s}.breaks AS SELECT line, seq, time, kind FROM (SELECT line, seq, time, kind, prev_hash,"
    " lag(hash) OVER w AS before_hash, lag(seq) OVER w AS before_seq FROM {s}.records WINDOW w AS (PARTITION BY line"
    " ORDER BY seq)) AS told WHERE (before_seq IS NOT NULL AND before_seq = seq - 1 AND before_hash <> prev_hash) OR"
    " (coalesce(before_seq, 0) <> seq - 1 AND NOT EXISTS (SELECT 1 FROM {s}.lost l WHERE l.line = told.line AND"
    " l.first_seq = coalesce(before_seq, 0) + 1 AND l.last_seq = told.seq - 1))",
    "COMMENT ON VIEW {s}.breaks IS 'records that do not follow the one before them; empty when all is well'",
)
GRANTS = (
    "GRANT USAGE ON SCHEMA {s} TO {r}",
    "GRANT SELECT, INSERT ON {s}.records, {s}.spectra, {s}.lost TO {r}",
    "GRANT SELECT ON {s}.breaks TO {r}",
)
RECORD_COLUMNS = ("line", "seq", "time", "kind", "body", "prev_hash", "hash")


class PostgresPublisher:
    """One line's record to one database; `turn` sends what there is and returns how many records that were."""

    def __init__(self, table: PostgresTable, line_name: str) -> None:
        self._table, self._line = table, line_name
        self._connection: asyncpg.Connection[Any] | None = None

    async def turn(self, journal: Journal) -> int:
        """Raises LinkLost when the database is or gets out of reach, RecorderError where the two records differ."""
        try:
            connection = await self._connected()
            cursor = await self._cursor(connection)
            sent = 0
            for batch in batches(journal, cursor, self._table.batch):
                cursor = await asyncio.wait_for(self._put(connection, batch, cursor), PATIENCE_S)
                sent += len(batch.rows)
            return sent
        except RecorderError:
            await self.close()
            raise
        except asyncpg.InsufficientPrivilegeError as error:
            await self.close()
            raise ConfigError(f"{self._where}: {error}; let a database owner run --init {self._table.user}") from error
        except asyncpg.UndefinedTableError as error:
            await self.close()
            raise ConfigError(f"{self._where}: the tables are not there; let an owner run --init") from error
        except asyncpg.UniqueViolationError as error:  # two publishers at once: the other one was faster
            await self.close()
            raise LinkLost(f"{self._where}: another publisher of {self._line} is at work") from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            await self.close()
            raise LinkLost(f"{self._where}: {str(error) or type(error).__name__}") from error

    async def init(self, writer: str | None) -> None:
        """Make schema, tables and view where they are not there, and let `writer` insert and read, nothing else."""
        try:
            connection = await self._connected()
            async with connection.transaction():
                for statement in SCHEMA:
                    await connection.execute(statement.format(s=self._table.schema_name))
                if writer is not None:
                    role = await connection.fetchval("SELECT quote_ident($1::text)", writer)
                    for statement in GRANTS:
                        await connection.execute(statement.format(s=self._table.schema_name, r=role))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConfigError(f"{self._where}: the tables cannot be made: {error}") from error
        finally:
            await self.close()

    async def close(self) -> None:
        """Let the connection go; what was not committed is not there."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            await connection.close(timeout=1.0)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()  # nobody there to say goodbye to
            await asyncio.sleep(0)  # its socket is closed in the loop's next turn

    @property
    def _where(self) -> str:
        return f"{self._table.host}:{self._table.port}/{self._table.database}"

    async def _connected(self) -> asyncpg.Connection[Any]:
        if self._connection is None or self._connection.is_closed():
            table = self._table
            self._connection = await asyncpg.connect(
                host=table.host, port=table.port, database=table.database, user=table.user,
                password=password(table.password_file), ssl=_trust(table), timeout=PATIENCE_S / 2,
                command_timeout=PATIENCE_S,
            )  # fmt: skip
        return self._connection

    async def _cursor(self, connection: asyncpg.Connection[Any]) -> Cursor:
        query = f"SELECT seq, hash FROM {self._table.schema_name}.records WHERE line = $1 ORDER BY seq DESC LIMIT 1"
        found = await connection.fetchrow(query, self._line)
        return Cursor() if found is None else Cursor(found["seq"], bytes(found["hash"]).hex())

    async def _put(self, connection: asyncpg.Connection[Any], batch: Batch, before: Cursor) -> Cursor:
        schema = self._table.schema_name
        async with connection.transaction():
            # Two boxes that take themselves for the same line would interleave: one at a time.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", self._line)
            if await self._cursor(connection) != before:
                raise RecorderError(f"{self._where}: somebody else adds to {self._line}; two boxes of one name?")
            await connection.copy_records_to_table(
                "records", schema_name=schema, columns=RECORD_COLUMNS,
                records=[(self._line, *_columns(row)) for row in batch.rows],
            )  # fmt: skip
            await connection.copy_records_to_table(
                "spectra", schema_name=schema, columns=("line", "seq", "absorbance"),
                records=[(self._line, row.seq, _spectrum(row)) for row in batch.rows if _is_spectrum(row)],
            )  # fmt: skip
            await connection.executemany(
                f"INSERT INTO {schema}.lost (line, first_seq, last_seq) VALUES ($1, $2, $3)",
                [(self._line, first, last) for first, last in batch.gaps],
            )
        newest = batch.rows[-1]
        return Cursor(newest.seq, newest.hash.hex())


def _columns(row: Row) -> tuple[Any, ...]:
    body = row.body.decode("ascii").replace("\\u0000", "\\ufffd")  # JSONB knows no NUL; the journal keeps it
    return row.seq, datetime.fromtimestamp(row.time_s, UTC), row.kind, body, row.prev_hash, row.hash


def _is_spectrum(row: Row) -> bool:
    return row.kind == "cycle" and row.blob is not None


def _spectrum(row: Row) -> list[float]:
    return [float(value) for value in unpack_spectrum(row.blob or b"")]


def _trust(table: PostgresTable) -> ssl.SSLContext | bool:
    if table.plain:
        return False
    try:
        context = ssl.create_default_context(cafile=table.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[postgres] ca = {table.ca} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = not loopback(table.host)
    return context
