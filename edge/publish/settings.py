"""The tables of a line file that the publishers read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from control.settings import Table

PORT = 48480


class OpcUaServerTable(Table):
    """Where the box's own OPC UA server listens; certificates and accounts lie in the state directory, never here.

    names: further host names and addresses that clients reach it by, for its certificate; sessions: at most that many
    clients at once.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = PORT
    names: tuple[str, ...] = ()
    sessions: Annotated[int, Field(ge=1, le=200)] = 16
