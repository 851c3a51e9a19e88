"""The one table of a line file that the simulator reads: where to serve."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from hil_sim.tags import NAMESPACE


class EndpointError(ValueError):
    """The line file does not say where to serve; the text says where and how to mend it."""


@dataclass(frozen=True)
class Endpoint:
    """Public address and tag namespace of the served line."""

    url: str = "opc.tcp://127.0.0.1:48400"
    namespace: str = NAMESPACE

    @property
    def host(self) -> str:
        """Host part of the url."""
        return urlparse(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """Port part of the url (0: any free one)."""
        found = urlparse(self.url).port
        return 4840 if found is None else found


def load_endpoint(path: Path) -> Endpoint:
    """Read [opcua] url and namespace of a line file; raises EndpointError."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("opcua")
    except OSError as error:
        raise EndpointError(f"{path}: cannot be read ({error.strerror}): give the path of a line file") from error
    except (ValueError, RecursionError) as error:
        raise EndpointError(f"{path}: is not TOML ({error}): mend the line file") from error
    if not isinstance(table, dict):
        raise EndpointError(f"{path}: table [opcua] is missing: add it with url and namespace")
    default = Endpoint()
    endpoint = Endpoint(str(table.get("url", default.url)), str(table.get("namespace", default.namespace)))
    try:
        known = urlparse(endpoint.url).scheme == "opc.tcp" and endpoint.host != "" and endpoint.port >= 0
    except ValueError as error:
        raise EndpointError(f"{path}: [opcua] url '{endpoint.url}' has no valid port: mend it") from error
    if not known:
        raise EndpointError(f"{path}: [opcua] url '{endpoint.url}' is not opc.tcp://host:port: mend it")
    return endpoint
