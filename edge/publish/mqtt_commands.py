"""`patloop publish mqtt`: the record of a line to an MQTT broker as Sparkplug B, in a process of its own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import click

from edge.commands import LINE, STATE, told
from edge.errors import ConfigError, LinkLost

RETRY_S = (1.0, 2.0, 5.0, 15.0)
EVERY_S = 0.5  # between two looks at a journal that has nothing new


@click.command()
@LINE
@STATE
@click.option("--once", is_flag=True, help="Send what there is and end (exit 0; 1: the broker was not reached).")
def mqtt(line_file: Path, state: Path | None, *, once: bool) -> None:
    """Publish a line's record to an MQTT broker (Sparkplug B) until stopped; a long cut loses nothing.

    Needs the table [mqtt] in the line file. The journal is the store: what a cut held back is sent afterwards, marked
    as history, each record once. The broker's access list must let the account read its own topics too.

    \b
    Example:
      patloop publish mqtt deploy/lines/cdc_ref_1.toml
    """
    with told():
        from edge.config import read_config
        from edge.publish.sparkplug import SparkplugPublisher
        from edge.publish.sparkplug_metrics import definitions

        config, _ = read_config(line_file)
        if config.mqtt is None:
            raise ConfigError(f"{line_file}: has no table [mqtt]; add host, user, password_file and ca")
        folder = state or config.line.state_dir
        publisher = SparkplugPublisher(config.mqtt, config.line.name, definitions(config), folder, time.time)
        where = f"{config.mqtt.host}:{config.mqtt.port}"
        try:
            reached = keep_sending(
                folder / "journal.sqlite", publisher.turn, f"{config.line.name} -> {where}", once=once
            )
        finally:
            publisher.close()
    if not reached:
        raise SystemExit(1)


def keep_sending(journal_path: Path, turn: Callable[..., int], name: str, *, once: bool) -> bool:
    """Turn after turn until told to stop (or once); says when the other side goes and comes. Raises PatloopError."""
    stop = threading.Event()
    before = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _until(stop, journal_path, turn, name, once=once)
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _until(stop: threading.Event, journal_path: Path, turn: Callable[..., int], name: str, *, once: bool) -> bool:
    from edge.record.journal import Journal

    failed, sent, said = 0, 0, ""
    with Journal.open_reader(journal_path) as journal:
        while not stop.is_set():
            try:
                sent += turn(journal)
            except LinkLost as error:
                failed += 1
                if once:
                    click.echo(f"{name}: {error}; {sent} records sent", err=True)
                    return False
                if str(error) != said:
                    said = str(error)
                    click.echo(f"{name}: {said}; records wait in the journal", err=True)
                stop.wait(RETRY_S[min(failed, len(RETRY_S)) - 1])
                continue
            if failed or not said:
                click.echo(f"{name}: connected, {sent} records sent")
            failed, said = 0, said or "connected"
            if once:
                break
            stop.wait(EVERY_S)
    click.echo(f"{name}: {sent} records sent, stopped in good order")
    return True
