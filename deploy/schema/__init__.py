"""line file -> JSON schema, for editors and for whoever writes line files by program."""

from __future__ import annotations

import json
from pathlib import Path

from edge.config import LineConfig

FILE = Path(__file__).with_name("line.schema.json")


def schema_text() -> str:
    """The JSON schema of a line file, as it is kept in the repository."""
    return json.dumps(LineConfig.model_json_schema(), indent=1, sort_keys=True) + "\n"
