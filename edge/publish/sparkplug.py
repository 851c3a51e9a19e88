"""journal -> MQTT broker as Sparkplug B 3.0, every record once and in order, across cuts and kills of this process.

How nothing is lost and nothing comes twice: data go out with QoS 1 (the specification's QoS 0 would lose what a cut
catches), a window at a time, and the cursor moves over what the broker acknowledged. What the broker took without our
hearing of it (cut or kill between the two) is learnt from the broker itself: this client subscribes to its own data in
a persistent session, so that on return, after a mark sent round, it has heard of every record that the broker handed
on. What is heard is acknowledged only when the cursor is on the disk: heard and killed before that, it is told again.
Only a broker that forgets its own sessions can make a record come twice; its number, Record/Seq, is in the message.
"""

from __future__ import annotations

import logging
import queue
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import ConfigError, LinkLost
from edge.publish.follow import Batch, Cursor, CursorFile, batches
from edge.publish.mqtt_settings import MqttTable
from edge.publish.secret import password
from edge.publish.sparkplug_metrics import Definition, birth, metrics
from edge.publish.sparkplug_payload import DataType, Metric, Payload, decode, encode
from edge.record.journal import Journal

log = logging.getLogger("patloop.publish.mqtt")

PATIENCE_S = 10.0  # for an answer of the broker
KEEPALIVE_S = 15
LIVE_S = 10.0  # a record older than this when it is sent is history
BATCH = 500
REBIRTH = "Node Control/Rebirth"


@dataclass
class _Heard:
    """What the broker's side told this client, from paho's own thread."""

    events: queue.SimpleQueue[tuple[str, Any]] = field(default_factory=queue.SimpleQueue)
    echoes: queue.SimpleQueue[tuple[int, int, int]] = field(default_factory=queue.SimpleQueue)  # record, message, QoS
    met: bool = False  # the mark came round: nothing from before is on its way any more
    rebirth: bool = False
    lost: str = ""


class SparkplugPublisher:
    """One connection after another to one broker; `turn` sends what there is and returns."""

    def __init__(
        self, table: MqttTable, line_name: str, known: tuple[Definition, ...], state: Path, wall: Callable[[], float]
    ) -> None:
        self._table, self._line, self._known, self._wall = table, line_name, known, wall
        self._cursor_file = CursorFile(state / "mqtt_cursor.json")
        self._death_file = CursorFile(state / "mqtt_births.json")
        self._device = table.device or line_name
        self._mark = f"patloop/{table.group}/{table.node}/{self._device}/mark"
        self._client: mqtt.Client | None = None
        self._heard = _Heard()
        self._seq = 0
        self.cursor = self._cursor_file.load()
        self.sent = 0

    @property
    def connected(self) -> bool:
        """Whether the broker can be sent to, as far as is known."""
        return self._client is not None and not self._heard.lost

    def turn(self, journal: Journal) -> int:
        """Connect if need be, send every record that there is; how many the broker acknowledged.

        Raises LinkLost when the broker is or gets out of reach (the next turn goes on from there), RecorderError when
        the journal is not the one that was published before.
        """
        before = self.cursor.seq
        try:
            if self._client is None:
                self._connect(journal)
            self._learn()
            if self._heard.rebirth:
                self._births()
            for batch in batches(journal, self.cursor, BATCH):
                self._send(batch)
        except LinkLost:
            self._drop()
            raise
        if self._heard.lost:
            why = self._heard.lost
            self._drop()
            raise LinkLost(why)
        return self.cursor.seq - before

    def close(self) -> None:
        """End in good order: the death certificate is published, as an orderly end does not trigger the will."""
        client = self._client
        if client is not None and not self._heard.lost:
            said = client.publish(self._topic("NDEATH"), self._death(self._death_file.load().seq), qos=1)
            self._wait_for(said.is_published, "the death certificate")
        self._drop(orderly=True)

    def _connect(self, journal: Journal) -> None:
        """A new client each time: nothing that waited in an old one is sent later."""
        self._heard = heard = _Heard()
        number = (self._death_file.load().seq + 1) % 256
        self._death_file.save(Cursor(number))
        name = f"patloop-{self._table.group}-{self._table.node}-{self._device}"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, reconnect_on_failure=False,
            manual_ack=True,
        )  # fmt: skip
        client.max_inflight_messages_set(self._table.window)
        client.username_pw_set(self._table.user, password(self._table.password_file))
        if not self._table.plain:
            client.tls_set_context(_trust(self._table))
        client.will_set(self._topic("NDEATH"), self._death(number), qos=1)
        client.on_connect = lambda _c, _u, _f, reason, _p: heard.events.put(("connected", reason))
        client.on_disconnect = lambda _c, _u, _f, reason, _p: _lost(heard, f"the broker is gone ({reason})")
        client.on_subscribe = lambda _c, _u, _mid, reasons, _p: heard.events.put(("subscribed", reasons))
        client.on_message = lambda _c, _u, message: self._take(client, heard, message)
        self._client = client
        try:
            client.connect_timeout = PATIENCE_S
            client.connect(self._table.host, self._table.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise LinkLost(f"{self._table.host}:{self._table.port} cannot be reached: {error}") from error
        client.loop_start()
        _, reason = self._expect("connected")
        if reason.is_failure:
            raise LinkLost(f"the broker refuses us: {reason}; check user, password and its access list")
        own = self._topic("DDATA", self._device), self._mark, self._topic("NCMD")
        client.subscribe([(topic, 1) for topic in own])
        for given in self._expect("subscribed")[1]:
            if given.is_failure:
                raise LinkLost(f"the broker lets us not read our own topics ({given}); allow it in its access list")
        # Whatever the broker kept for us comes before the mark: it is heard of by then.
        mark = secrets.token_bytes(8)
        client.publish(self._mark, mark, qos=1)
        self._learn(journal)
        while self._expect("mark", "echo") != ("mark", mark):
            self._learn(journal)
        self._heard.met = True
        self._births()

    def _learn(self, journal: Journal | None = None) -> None:
        """Have done with what came round; with the journal: the cursor moves over what the broker took unheard."""
        came: list[tuple[int, int, int]] = []
        while not self._heard.echoes.empty():
            came.append(self._heard.echoes.get_nowait())
        newest = max((seq for seq, _, _ in came), default=0)
        row = journal.get(newest) if journal is not None and newest > self.cursor.seq else None
        if row is not None:
            self._keep(Cursor(row.seq, row.hash.hex()))
        for _, message, qos in came:
            if self._client is not None:
                self._client.ack(message, qos)

    def _births(self) -> None:
        self._heard.rebirth = False
        now, number = round(1000 * self._wall()), self._death_file.load().seq
        node = (
            Metric(number, DataType.INT64, now, name="bdSeq"),
            Metric(value=False, datatype=DataType.BOOLEAN, time_ms=now, name=REBIRTH),
        )
        self._seq = 0
        self._publish("NBIRTH", None, node, now)
        self._publish("DBIRTH", self._device, birth(self._known, now), now)

    def _send(self, batch: Batch) -> None:
        """A window at a time; the cursor moves when the broker has acknowledged all of it."""
        lost = {last + 1: (first, last) for first, last in batch.gaps}
        window = self._table.window
        for first in range(0, len(batch.rows), window):
            rows, said = batch.rows[first : first + window], []
            now_s = self._wall()
            for row in rows:
                old = now_s - row.time_s > LIVE_S
                told = metrics(self._known, row, lost.get(row.seq), historical=old)
                said.append(self._publish("DDATA", self._device, told, round(1000 * row.time_s)))
            self._wait_for(lambda said=said: all(one.is_published() for one in said), "acknowledgements")  # type: ignore[misc]
            self._keep(Cursor(rows[-1].seq, rows[-1].hash.hex()))
            self._learn()
            self.sent += len(rows)

    def _publish(self, kind: str, device: str | None, told: tuple[Metric, ...], time_ms: int) -> mqtt.MQTTMessageInfo:
        client = self._client
        if client is None or self._heard.lost:
            raise LinkLost(self._heard.lost or "no connection")
        raw = encode(Payload(time_ms, told, self._seq))
        self._seq = (self._seq + 1) % 256
        said = client.publish(self._topic(kind, device), raw, qos=1)
        if said.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
            raise LinkLost(f"the broker cannot be sent to: {mqtt.error_string(said.rc)}")
        return said

    def _death(self, number: int) -> bytes:
        now = round(1000 * self._wall())
        return encode(Payload(now, (Metric(number, DataType.INT64, now, name="bdSeq"),)))

    def _topic(self, kind: str, device: str | None = None) -> str:
        parts = ("spBv1.0", self._table.group, kind, self._table.node)
        return "/".join(parts if device is None else (*parts, device))

    def _take(self, client: mqtt.Client, heard: _Heard, message: mqtt.MQTTMessage) -> None:
        """In paho's thread: note what it says, never raise; a record of ours waits for the cursor."""
        told, seq = None, None
        if message.topic == self._mark:
            heard.events.put(("mark", bytes(message.payload)))
        else:
            try:
                told = decode(bytes(message.payload))
            except ValueError as error:
                log.warning("%s: %s", message.topic, error)
        if told is not None and message.topic == self._topic("NCMD"):
            heard.rebirth |= any(one.name == REBIRTH and one.value is True for one in told.metrics)
        if told is not None and message.topic == self._topic("DDATA", self._device):
            seq = next((m.value for m in told.metrics if m.alias == 0 and isinstance(m.value, int)), None)
        if seq is None:
            client.ack(message.mid, message.qos)
        else:
            heard.echoes.put((seq, message.mid, message.qos))
            if not heard.met:
                heard.events.put(("echo", None))

    def _expect(self, *kinds: str) -> tuple[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                kind, value = self._heard.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise LinkLost(f"the broker did not answer in {PATIENCE_S:.0f} s ({kinds[0]})") from None
            if kind in kinds:
                return kind, value
            if kind == "lost":
                raise LinkLost(str(value))

    def _wait_for(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if self._heard.lost or time.monotonic() > deadline:
                raise LinkLost(self._heard.lost or f"no {what} in {PATIENCE_S:.0f} s")
            time.sleep(0.002)

    def _keep(self, cursor: Cursor) -> None:
        self._cursor_file.save(cursor)
        self.cursor = cursor

    def _drop(self, *, orderly: bool = False) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        client.on_disconnect = None
        if orderly:
            client.disconnect()
        else:  # no goodbye: the broker is to publish the will
            sock = client.socket()
            if sock is not None:
                sock.close()
        client.loop_stop()


def _lost(heard: _Heard, why: str) -> None:
    heard.lost = heard.lost or why
    heard.events.put(("lost", why))


def _trust(table: MqttTable) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=table.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if table.certificate is not None:
            context.load_cert_chain(table.certificate, table.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"[mqtt] ca, certificate or key cannot be used: {error}") from error
    return context
