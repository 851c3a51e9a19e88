"""`patloop hmi`: the operator's page for one line, in its own process."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from edge.commands import LINE, STATE, told
from edge.errors import ConfigError


@click.command()
@LINE
@click.option("--port", default=8480, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@STATE
def hmi(line_file: Path, port: int, host: str, state: Path | None) -> None:
    """Serve the operator's page of a line until it is stopped.

    The page reads the line's journal and appends requests to it; the service need not run for it to be served.

    \b
    Example:
      patloop hmi deploy/lines/cdc_ref_1.toml --port 8480
    """
    import uvicorn

    from edge.config import read_config
    from edge.hmi.app import LOCAL_HOSTS, create_app, first_account

    with told():
        config, _ = read_config(line_file)
        folder = state or config.line.state_dir
        journal, people = folder / "journal.sqlite", folder / "people.db"
        listening = _listen(host, port)
        password = first_account(journal, people, config.line.name)
        if password is not None:
            click.echo(f"first log-in: operator, one-time password, shown only now: {password}")
        hosts = (*LOCAL_HOSTS, "*" if host in ("0.0.0.0", "::") else host)
        app = create_app(journal, people, config.line.name, hosts)
    click.echo(f"{config.line.name}: http://{host}:{port}/  (Ctrl-C ends)")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", server_header=False))
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is made or printed."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        text = f"cannot listen on {host} port {port} ({error.strerror or error}); choose another --port"
        raise ConfigError(text) from error
