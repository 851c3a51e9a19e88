"""`patloop api`: a line's record for other systems over HTTPS, in a process of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from edge.commands import LINE, STATE, told
from edge.errors import ConfigError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_AT_ONCE = 64  # connections
MOST_HEAD_BYTES = 16 * 1024


@click.command()
@LINE
@click.option("--port", default=8490, show_default=True, type=click.IntRange(1, 65535))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--plain-http", is_flag=True, help="No TLS; only on this machine's own address.")
@click.option("--open-metrics", is_flag=True, help="/metrics needs no token from this machine itself.")
@STATE
def api(line_file: Path, port: int, host: str, plain_http: bool, open_metrics: bool, state: Path | None) -> None:
    """Serve a line's record to other systems until stopped; every request needs a token ('patloop token make').

    Read-only, but for laboratory results and context, which become records. The document is at /v1/openapi.json.

    \b
    Example:
      patloop api deploy/lines/cdc_ref_1.toml --port 8490
    """
    import uvicorn

    from edge.api.app import create_app
    from edge.api.tls import server_files
    from edge.config import read_config

    with told():
        if plain_http and host not in LOOPBACK:
            raise ConfigError(f"--plain-http is for this machine alone, not for {host}: leave it out")
        config, _ = read_config(line_file)
        folder = state or config.line.state_dir
        files = None if plain_http else server_files(folder, () if host in ("0.0.0.0", "::") else (host,))
        app = create_app(config, folder, open_metrics=open_metrics, https=not plain_http)
        listening = _listen(host, port)
    click.echo(f"{config.line.name}: {'http' if files is None else 'https'}://{host}:{port}/v1/  (Ctrl-C ends)")
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
            limit_concurrency=MOST_AT_ONCE, h11_max_incomplete_event_size=MOST_HEAD_BYTES, timeout_keep_alive=5,
            http="h11", ws="none",
            ssl_certfile=None if files is None else str(files.certificate),
            ssl_keyfile=None if files is None else str(files.key),
        )
    )  # fmt: skip
    server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        text = f"cannot listen on {host} port {port} ({error.strerror or error}); choose another --port"
        raise ConfigError(text) from error
