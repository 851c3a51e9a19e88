"""ACQUIRE over OPC UA: the line as one Source: the PLC's tags and the analyser's stream, each look in one Read.

Whatever fails, a look is a Scan: what is lost, stale or bad says so. A connection is made in the background, each one a
new epoch with a new session number; what was computed on an older one is not sent on it. Writes have a deadline and are
never repeated: a failed write is 'unknown', and the plant is read before the next one.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from asyncua import ua

from control.assess import Finding
from edge.acquire.analyser import Analyser, axis_tags
from edge.acquire.certificates import Expiry
from edge.acquire.health import Health, HealthBook
from edge.acquire.learn import Learned, learn_line
from edge.acquire.raw import Raw
from edge.acquire.session import Endpoint, Session
from edge.acquire.station import Station
from edge.acquire.tags import to_scan
from edge.acquire.types import MappingError, counted, largest, variant
from edge.config import LineConfig
from edge.errors import ConfigError, LinkLost, SecurityError, WriteRefused, WriteUnknown
from edge.pki import ClientCredentials
from edge.signals import Link, Scan
from edge.units import of_server

SERVER_CLOCK = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
PAUSE_SHARE = 0.25  # of a cycle, between attempts to connect: the line is back within two cycles of its return
NO_MORE: tuple[dict[str, Raw], tuple[Finding, ...]] = ({}, ())  # where the analyser has no server of its own
NOTHING = Learned({}, (), {}, ())


class OpcUaLine:
    """The line's PLC and analyser behind secured OPC UA sessions; a Source.

    analyser: credentials for the analyser's server, where it is one of its own. Raises ConfigError.
    """

    def __init__(
        self, config: LineConfig, credentials: ClientCredentials, analyser: ClientCredentials | None = None
    ) -> None:
        table = config.opcua
        if table is None:
            raise ConfigError("the line file has no table [opcua]")
        self._config, self._table = config, table
        session_s = max(30.0, 4 * config.line.cycle_s)
        end = Endpoint(table.url, table.user, table.timeout_s, table.secure_channel_timeout_s, session_s)
        cap_s = PAUSE_SHARE * config.line.cycle_s
        self._plc = Station(end, credentials, self._learn, name=config.line.name, cap_s=cap_s)
        self._analyser = Analyser(config, end, analyser)
        self._expiries = [Expiry(credentials, "server"), *([Expiry(analyser, "analyser")] if analyser else [])]
        self._known = NOTHING
        self._health = HealthBook()
        self._session_id = 0
        self._server_off_s: float | None = None
        self._moved: tuple[object, float] = ((), time.monotonic())  # what was seen when something moved last
        self.told = (0.0, time.monotonic())  # the line's time as last told, and when (monotonic)

    @property
    def trouble(self) -> str:
        """Why there is no connection; empty when there is one."""
        return self._plc.connection.trouble

    @property
    def epoch(self) -> int:
        """How many connections to the PLC were synchronised until now."""
        return self._plc.connection.epoch

    def health(self) -> tuple[Health, ...]:
        """The health of every item of this epoch."""
        return self._health.items()

    async def settled(self) -> None:
        """Wait until the attempt to connect that is due has ended, well or not: for who has time, as a check has."""
        stations = [s for s in (self._plc, self._analyser.station) if s is not None]
        await asyncio.gather(*(station.settled() for station in stations))

    async def scan(self) -> Scan:
        """Everything at once. A lost link is a scan with link LOST; it never waits for a connection to be made.

        Raises ConfigError at the first connection when the server is not what the line file says.
        """
        if self._analyser.station is None:
            (raw, wall_s, trouble), (far, told) = await self._look(), NO_MORE
        else:
            (raw, wall_s, trouble), (far, told) = await asyncio.gather(self._look(), self._analyser.far())
        if trouble is not None:
            return self._lost(trouble)
        link, now_s = self._time(raw, wall_s)
        raw = self._health.note(raw | far, now_s)
        told = (*told, *self._findings(wall_s), *self._health.findings(now_s, self._server_off_s))
        axis = self._analyser.axis if f"{self._config.analyser.prefix}.AcquisitionCounter" in raw else None
        scan = to_scan(
            self._config, raw, axis, now_s=now_s, epoch=self.epoch, session_id=self._session_id, link=link
        )  # fmt: skip
        spectrum, of_it = self._analyser.judged(scan.spectrum, now_s)
        still = f"the server answers, but nothing in it has moved for {self._still_s():.0f} s"
        return replace(scan, spectrum=spectrum, told=(*told, *of_it), reason=still if link is Link.STALE else "")

    async def send(self, rows: list[tuple[str, float]], epoch: int | None = None) -> dict[str, str]:
        """Write in one call and in order, by the PLC's own types, without timestamps; the code names that are not Good.

        epoch: of the look that the values were computed from; None: whatever connection there is. Raises LinkLost when
        there is none of that epoch, WriteRefused for what no node has a place for (nothing is sent), and WriteUnknown
        when the answer did not come: the connection is then aborted and made anew. Never repeated.
        """
        session = self._plc.session_of(self.epoch if epoch is None else epoch)
        if session is None:
            up = self._plc.connection.up
            raise LinkLost("made anew since the look at the line: dropped" if up else self.trouble or "no connection")
        types, nodes = self._known.types, self._known.nodes
        wrong = {tag: "the server has no such node to write" for tag, _ in rows if tag not in types}
        values = []
        for tag, value in rows:
            try:
                wrapped = counted(value, types[tag]) if tag == "Apc.HeartbeatIn" and value else value
                values.append(ua.DataValue(variant(wrapped, types[tag])))
            except KeyError:
                continue  # named above
            except MappingError as error:
                wrong[tag] = str(error)
        if wrong:
            raise WriteRefused(wrong)
        try:
            codes = await session.write([nodes[tag] for tag, _ in rows], values)
        except LinkLost as error:
            await self._plc.fail(error)
            raise WriteUnknown(str(error)) from error
        return {tag: code.name for (tag, _), code in zip(rows, codes, strict=True) if code.value != 0}

    async def line_time_s(self) -> float | None:
        """The line's own clock, or None while there is no connection (one is then begun) or no such tag."""
        session = self._plc.session_of(self.epoch)
        if session is None:
            self._plc.dial()
        if session is None or self._table.clock_tag is None:
            return None
        try:
            value = (await session.look([self._known.nodes[self._table.clock_tag]]))[0]
        except LinkLost as error:
            await self._plc.fail(error)
            return None
        found = _number(value)
        if found is not None and found != self.told[0]:
            self.told = (found, time.monotonic())
        return found

    async def units(self) -> dict[str, str]:
        """The engineering unit that the server declares for each setpoint, where it does: by its code, or its name."""
        session = self._plc.session_of(self.epoch)
        found: dict[str, str] = {}
        if session is None:
            return found
        for mv in self._config.setpoints:
            start = self._known.nodes[f"{mv.name}.SP_Remote"]
            paths = await session.within(session.client.translate_browsepaths(start, ["/0:EngineeringUnits"]))
            if paths[0].StatusCode.is_good() and paths[0].Targets:
                value = (await session.read([paths[0].Targets[0].TargetId]))[0].Value
                if value is not None and isinstance(value.Value, ua.EUInformation):
                    found[mv.name] = of_server(value.Value.UnitId, str(value.Value.DisplayName.Text))
        return found

    async def close(self) -> None:
        """End the sessions in good order, within the deadline."""
        self._session_id = 0
        await asyncio.gather(self._plc.close(), self._analyser.close())

    async def _learn(self, session: Session) -> None:
        """Everything that a new epoch needs; nothing is kept from before."""
        known = await learn_line(session, self._config, axis_tags(self._config))
        await self._analyser.learn(session, known)
        kind = known.types.get("Apc.SessionId", ua.VariantType.UInt32)
        self._known, self._health = known, HealthBook()
        self._session_id = secrets.randbelow(largest(kind) - 1) + 1
        self._moved = ((), time.monotonic())

    async def _look(self) -> tuple[dict[str, Raw], float, LinkLost | SecurityError | None]:
        """One read of the PLC, with the analyser where it is on the same server; or why there is none."""
        try:
            session = await self._plc.ready()
            read = self._known.read
            asked = () if self._analyser.station is not None else self._analyser.asked()
            clock, *values = await session.look([SERVER_CLOCK, *(self._known.nodes[tag] for tag in read), *asked])
            wall_s = time.time()
            server_s = _number(clock)
            self._server_off_s = None if server_s is None else server_s - wall_s
            raw = dict(zip(read, values, strict=False))
            if asked:
                raw |= await self._analyser.take(session, values[len(read) :], wall_s)
        except (LinkLost, SecurityError) as error:
            await self._plc.fail(error)
            return {}, time.time(), error
        return raw, wall_s, None

    def _time(self, raw: Mapping[str, Raw], wall_s: float) -> tuple[Link, float]:
        """Whether the line lives, and its time: its own clock's, or ours where it has none or it stands still."""
        theirs = ((tag, r) for tag, r in raw.items() if tag not in self._known.types)  # what we write moves by us
        seen = tuple((r.source_s, r.value) for _, r in theirs if not isinstance(r.value, list | tuple))
        if seen != self._moved[0]:
            self._moved = (seen, time.monotonic())
        stale = self._still_s() > self._config.freshness.max_age_s
        self._plc.moves(again=not stale)
        clock = self._table.clock_tag
        told_s = _number(raw[clock]) if clock is not None and clock in raw else None
        if told_s is not None and told_s != self.told[0]:
            self.told = (told_s, time.monotonic())
        if stale:
            return Link.STALE, self._lost_time_s()
        return Link.ONLINE, wall_s if told_s is None else told_s

    def _still_s(self) -> float:
        return time.monotonic() - self._moved[1]

    def _lost(self, error: LinkLost | SecurityError) -> Scan:
        refused = isinstance(error, SecurityError)
        told = (Finding("line_refused", f"the line refuses us: {error}"[:300], 1),) if refused else ()
        told = (*told, *self._findings(time.time()))
        return Scan(self._lost_time_s(), Link.LOST, self.epoch, 0, {}, reason=str(error), told=told)

    def _lost_time_s(self) -> float:
        told_s, told_at = self.told
        return time.time() if told_s == 0.0 else told_s + (time.monotonic() - told_at)

    def _findings(self, wall_s: float) -> Iterator[Finding]:
        """What people must be told of this connection, whatever the values are."""
        for expiry in self._expiries:
            yield from expiry.findings(wall_s)
        if self._known.absent:
            names = ", ".join(self._known.absent)
            yield Finding("tags_absent", f"the server does not have {names}: done without"[:300], 3)


def _number(raw: Raw) -> float | None:
    """A usable number, None for anything else."""
    told = raw.value
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return None
    return float(told)
