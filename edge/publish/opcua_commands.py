"""`patloop publish opcua`: the box's own OPC UA server, in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import click

from edge.commands import LINE, STATE, told


@click.command()
@LINE
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (default: [opcua_server] port, 48480).")
@click.option("--host", help="Address to listen on (default: [opcua_server] host, 127.0.0.1).")
@STATE
def opcua(line_file: Path, port: int | None, host: str | None, state: Path | None) -> None:
    """Serve state, alarms, recommendation and soft sensor of a line over OPC UA until stopped.

    A reader of the line's journal: the service need not run, and does not notice. Signed and encrypted only; a client's
    certificate must lie in the state folder's pki/opcua_trusted (*.der), and it logs in with an account of the line
    (patloop user): qa looks, operator and engineer may also ask for modes, acknowledge and answer recommendations.

    \b
    Example:
      patloop publish opcua deploy/lines/cdc_ref_1.toml --port 48480
    """
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what clients do wrong is theirs to see, by status codes
    with told():
        asyncio.run(_serve(line_file, port, host, state))


async def _serve(line_file: Path, port: int | None, host: str | None, state: Path | None) -> None:
    from edge.config import read_config
    from edge.publish.opcua_server import Place, PublishServer
    from edge.publish.settings import OpcUaServerTable

    config, _ = read_config(line_file)
    changes = {"port": port, "host": host}
    table = (config.opcua_server or OpcUaServerTable()).model_copy(
        update={key: value for key, value in changes.items() if value is not None}
    )
    place = Place(state or config.line.state_dir)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = PublishServer(config, table, place)
    try:
        await server.start()
        click.echo(f"{config.line.name}: opc.tcp://{table.host}:{server.port}, certificate {server.certificate}")
        click.echo(f"clients are trusted by their certificate in {place.trusted} (*.der)  (Ctrl-C ends)")
        last = ""

        def say(served: PublishServer) -> None:
            nonlocal last
            if served.trouble != last:
                last = served.trouble
                click.echo(last or "the journal can be read again", err=True)

        await server.run(stop, say)
    finally:
        await server.close()
    click.echo(f"{config.line.name}: stopped in good order")
