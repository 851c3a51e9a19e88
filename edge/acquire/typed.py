"""Objects found by what they are: types and their subtypes, a walk through the devices, variables by browse path."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua

from edge.acquire.session import Session

DEPTH = 6  # levels below the devices: device, channel, stream, and three for whoever nests more
AT_ONCE = 50  # nodes a call: below what small servers allow
Path = tuple[tuple[str, str], ...]  # (namespace URI, browse name) a step


@dataclass(frozen=True)
class Step:
    """One object on the way to another: its node, browse name and type."""

    node: ua.NodeId
    name: str
    type: ua.NodeId


@dataclass(frozen=True)
class Found:
    """An object of a wanted type, and the objects on the way to it, outermost first."""

    at: Step
    way: tuple[Step, ...]


async def subtypes(session: Session, root: ua.NodeId) -> frozenset[ua.NodeId]:
    """A type and everything that is derived from it on this server, a vendor's types included."""
    known, fresh = {root}, [root]
    while fresh:
        found = await _browse(session, fresh, ua.ObjectIds.HasSubtype)
        fresh = [ref.NodeId for refs in found for ref in refs if ref.NodeId not in known]
        known.update(fresh)
    return frozenset(known)


async def walk(session: Session, starts: Sequence[ua.NodeId], types: Collection[ua.NodeId]) -> list[Found]:
    """Every object of one of the types below the starts, in the order of browsing; each node is looked at once."""
    ways: dict[ua.NodeId, tuple[Step, ...]] = dict.fromkeys(starts, ())
    level, found = list(starts), []
    for _ in range(DEPTH):
        below = await _browse(session, level, ua.ObjectIds.HierarchicalReferences)
        parents, level = level, []
        for parent, refs in zip(parents, below, strict=True):
            for ref in refs:
                if ref.NodeClass != ua.NodeClass.Object or ref.NodeId in ways:
                    continue
                step = Step(ref.NodeId, ref.BrowseName.Name or "", ref.TypeDefinition)
                if ref.TypeDefinition in types:
                    found.append(Found(step, ways[parent]))
                ways[ref.NodeId] = (*ways[parent], step)
                level.append(ref.NodeId)
        if not level:
            break
    return found


async def resolve(
    session: Session, start: ua.NodeId, paths: Mapping[str, Sequence[Path]], namespaces: Sequence[str]
) -> dict[str, ua.NodeId]:
    """The node at the first of each name's paths that is there, in one call; names without any are left out."""
    asked = [(name, path) for name, ways in paths.items() for path in ways if all(uri in namespaces for uri, _ in path)]
    if not asked:
        return {}
    relative = [_relative(path, namespaces) for _, path in asked]
    results = await session.within(session.client.translate_browsepaths(start, relative))
    found: dict[str, ua.NodeId] = {}
    for (name, _), result in zip(asked, results, strict=True):
        if result.StatusCode.is_good() and result.Targets and name not in found:
            found[name] = result.Targets[0].TargetId
    return found


def _relative(path: Path, namespaces: Sequence[str]) -> ua.RelativePath:
    relative = ua.RelativePath()
    for uri, name in path:
        element = ua.RelativePathElement()
        element.ReferenceTypeId = ua.NodeId(ua.ObjectIds.HierarchicalReferences)
        element.IncludeSubtypes = True
        element.IsInverse = False  # the stack's default is True, and its own server does not look at it
        element.TargetName = ua.QualifiedName(name, list(namespaces).index(uri))
        relative.Elements.append(element)
    return relative


async def _browse(session: Session, nodes: Sequence[ua.NodeId], kind: int) -> list[list[ua.ReferenceDescription]]:
    """The forward references of a kind (and its subtypes) of each node, continued until a server has told all."""
    found: list[list[ua.ReferenceDescription]] = []
    client = session.client.uaclient
    for some in (nodes[i : i + AT_ONCE] for i in range(0, len(nodes), AT_ONCE)):
        asked = ua.BrowseParameters()
        asked.View.Timestamp = ua.get_win_epoch()
        asked.NodesToBrowse = [_description(node, kind) for node in some]
        for result in await session.within(client.browse(asked)):
            refs, last = list(result.References), result
            while last.ContinuationPoint:
                onward = ua.BrowseNextParameters()
                onward.ContinuationPoints = [last.ContinuationPoint]
                (last,) = await session.within(client.browse_next(onward))
                refs += last.References
            found.append(refs)
    return found


def _description(node: ua.NodeId, kind: int) -> ua.BrowseDescription:
    told = ua.BrowseDescription()
    told.NodeId, told.ReferenceTypeId = node, ua.NodeId(kind)
    told.BrowseDirection, told.IncludeSubtypes = ua.BrowseDirection.Forward, True
    told.NodeClassMask, told.ResultMask = ua.NodeClass.Unspecified, ua.BrowseResultMask.All
    return told
