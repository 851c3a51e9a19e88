"""The [postgres] table of a line file: which database the record of this line is handed on to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from control.settings import Table
from edge.publish.mqtt_settings import loopback


class PostgresTable(Table):
    """A fleet's database; the password lies in a file of its own (mode 0600), never here.

    ca: certificate (PEM) that the server's is signed with, its name is checked too; plain: without TLS, for a server on
    this machine only. schema: where the tables are.
    """

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    database: Annotated[str, Field(min_length=1)] = "patloop"
    schema_name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,40}$")] = "patloop"
    user: Annotated[str, Field(min_length=1)]
    password_file: Path
    ca: Path | None = None
    plain: bool = False
    batch: Annotated[int, Field(ge=1, le=5000)] = 500

    @model_validator(mode="after")
    def _trusted(self) -> PostgresTable:
        if self.plain and not loopback(self.host):
            raise ValueError("plain = true is for a server on this machine only; give ca instead")
        if not self.plain and self.ca is None:
            raise ValueError("name ca, the certificate that the server's is signed with")
        return self
