"""The line file's JSON schema in the repository is the one the code means."""

from __future__ import annotations

from deploy.schema import FILE, schema_text


def test_schema_is_current() -> None:
    assert FILE.read_text() == schema_text(), "write deploy.schema.schema_text() to deploy.schema.FILE"
