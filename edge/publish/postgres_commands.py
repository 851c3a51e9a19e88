"""`patloop publish postgres`: the record of a line into a fleet's database, in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands import LINE, STATE, told
from edge.errors import ConfigError
from edge.publish.mqtt_commands import keep_sending

if TYPE_CHECKING:
    from edge.record.journal import Journal


@click.command()
@LINE
@STATE
@click.option("--once", is_flag=True, help="Send what there is and end (exit 0; 1: the database was not reached).")
@click.option("--init", "init", is_flag=True, help="Make schema and tables and end; as an owner of the database.")
@click.option("--writer", help="With --init: the role that may insert and read, and nothing else.")
def postgres(line_file: Path, state: Path | None, *, once: bool, init: bool, writer: str | None) -> None:
    """Copy a line's record into PostgreSQL, chain and all, until stopped; a long cut loses nothing.

    Needs the table [postgres] in the line file. Many lines share one database; the view `breaks` lists records that do
    not follow the one before them and is empty when all is well.

    \b
    Example:
      patloop publish postgres owner.toml --init --writer patloop_box
      patloop publish postgres deploy/lines/cdc_ref_1.toml
    """
    with told():
        from edge.config import read_config
        from edge.publish.postgres import PostgresPublisher

        config, _ = read_config(line_file)
        if config.postgres is None:
            raise ConfigError(f"{line_file}: has no table [postgres]; add host, user, password_file and ca")
        publisher = PostgresPublisher(config.postgres, config.line.name)
        with asyncio.Runner() as runner:
            if init:
                runner.run(publisher.init(writer))
                click.echo(f"tables are there in {config.postgres.database}.{config.postgres.schema_name}")
                return

            def turn(journal: Journal) -> int:
                return runner.run(publisher.turn(journal))

            where = f"{config.postgres.host}:{config.postgres.port}/{config.postgres.database}"
            path = (state or config.line.state_dir) / "journal.sqlite"
            try:
                reached = keep_sending(path, turn, f"{config.line.name} -> {where}", once=once)
            finally:
                runner.run(publisher.close())
    if not reached:
        raise SystemExit(1)
