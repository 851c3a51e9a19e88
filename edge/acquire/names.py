"""product names -> a server's node ids: by namespace URI and the line file's own names, never by a stored index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncua import ua

from edge.errors import ConfigError


def node_ids(
    tags: Sequence[str], namespace: str, own: Mapping[str, str], namespaces: Sequence[str]
) -> dict[str, ua.NodeId]:
    """The node id of each tag in this epoch.

    own: product name, or the beginning of one that ends with a dot -> the server's: a name in `namespace`, or a whole
    NodeId ('nsu=URI;s=NAME', 'i=2258'). namespaces: the server's array, read in this epoch. Raises ConfigError naming
    a namespace that the server does not have.
    """
    return {tag: _node_id(tag, own_name(tag, own), namespace, namespaces) for tag in tags}


def own_name(tag: str, own: Mapping[str, str]) -> str:
    """The server's name of a product tag: the longest beginning that the line file renames, or its own."""
    if tag in own:
        return own[tag]
    beginnings = [name for name in own if name.endswith(".") and tag.startswith(name)]
    if not beginnings:
        return tag
    longest = max(beginnings, key=len)
    return own[longest] + tag.removeprefix(longest)


def index_of(uri: str, namespaces: Sequence[str]) -> int:
    """Where a namespace stands in this server's array now. Raises ConfigError."""
    try:
        return list(namespaces).index(uri)
    except ValueError:
        raise ConfigError(
            f"the server has no namespace {uri!r} (it has: {', '.join(namespaces)}); mend it in the line file"
        ) from None


def _node_id(tag: str, name: str, namespace: str, namespaces: Sequence[str]) -> ua.NodeId:
    uri, rest = namespace, name
    if name.startswith("nsu="):
        uri, _, rest = name.removeprefix("nsu=").partition(";")
    elif name.startswith("i="):
        uri = namespaces[0]  # a number without a namespace is one of the standard's own
    elif name[:2] not in ("s=", "g=", "b="):
        return ua.NodeId(name, index_of(uri, namespaces))
    index = index_of(uri, namespaces)
    try:
        return ua.NodeId.from_string(f"ns={index};{rest}")
    except (ua.UaError, ValueError) as error:
        raise ConfigError(f"[opcua.tags] {tag}: {name!r} is no node id: write nsu=URI;s=NAME or i=NUMBER") from error
