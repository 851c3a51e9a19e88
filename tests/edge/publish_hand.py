"""What the tests of the publishers share: a journal of real cycles, a real broker, a real database, a wire to cut."""

from __future__ import annotations

import getpass
import os
import pwd
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.config import read_config
from edge.publish.sparkplug import SparkplugPublisher
from edge.publish.sparkplug_metrics import definitions
from edge.publish.sparkplug_payload import Payload, decode
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
PASSWORD = "of-this-test-only"
TOPIC = "spBv1.0/patloop/{kind}/edge"
Cycles = list[tuple[bytes, bytes | None, float]]


def recorded(path: Path) -> Cycles:
    """A short shift as the service records it; body, blob and time of its cycles."""
    with Journal.open(path, "CDC-REF-1", now=lambda: 1.0) as journal:
        run_one(compose_for(LINE_FILE, "mpc"), load_scenario("nominal"), 1, 0.18, recorder=JournalRecorder(journal))
        return [(row.body, row.blob, row.time_s) for row in journal.rows(kind="cycle")]


def go_on(path: Path, cycles: Cycles, count: int, line: str = "CDC-REF-1") -> None:
    """Append `count` records to a journal: those cycles over and over, each with what became of its writes."""
    with Journal.open(path, line, now=lambda: 1.0) as journal:
        for i in range(count // 2):
            body, blob, time_s = cycles[i % len(cycles)]
            journal.append("cycle", time_s + 5.0 * i, body, blob)
            journal.append("act", time_s + 5.0 * i, encode({"cycle": i, "result": "good", "codes": {}}))


def numbers(path: Path) -> list[int]:
    """Every record's number, in order."""
    with Journal.open_reader(path) as journal:
        return [row.seq for row in journal.rows()]


def line_file(folder: Path, table: str, name: str = "CDC-REF-1") -> Path:
    """The reference line's file with one more table and the state folder `folder`."""
    text = LINE_FILE.read_text().replace('"../models/', f'"{LINE_FILE.parents[1] / "models"}/')
    text = text.replace('state_dir = "../../var/cdc_ref_1"', f'state_dir = "{folder}"')
    assert f'state_dir = "{folder}"' in text
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD + "\n")
    file = folder / "line.toml"
    file.write_text(text.replace('name = "CDC-REF-1"', f'name = "{name}"', 1) + table)
    return file


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def settled(folder: Path, port: int, more: str = "") -> Path:
    where = f'\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\nplain = true\n'
    return line_file(folder, f'{where}user = "box"\npassword_file = "secret"\n{more}')


def publisher(file: Path) -> SparkplugPublisher:
    config, _ = read_config(file)
    assert config.mqtt is not None
    return SparkplugPublisher(config.mqtt, config.line.name, definitions(config), file.parent, time.time)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        assert process.poll() is None, "it did not start"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers on port {port}")


@contextmanager
def broker(folder: Path, port: int, secured: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """mosquitto with accounts, an access list and sessions that outlive a connection; secured: lines about TLS."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    folder.mkdir(exist_ok=True)
    accounts, rights, config = folder / "accounts", folder / "rights", folder / "mosquitto.conf"
    accounts.touch(mode=0o600)
    for user in ("box", "host"):
        subprocess.run(["mosquitto_passwd", "-b", accounts, user, PASSWORD], check=True, capture_output=True)
    rights.write_text("user box\ntopic readwrite spBv1.0/#\ntopic readwrite patloop/#\nuser host\ntopic readwrite #\n")
    config.write_text(
        f"listener {port} 127.0.0.1\n{secured}allow_anonymous false\npassword_file {accounts}\nacl_file {rights}\n"
        f"user {getpass.getuser()}\npersistence true\npersistence_location {folder}/\nmax_queued_messages 0\n"
    )
    process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def database() -> Iterator[int]:
    """A PostgreSQL server of its own on a free port; owner `owner`, and an account `box` without rights."""
    if POSTGRES is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="patloop-db-"))  # not below the tests' own folder: only root may look there
    before: list[str] = []
    if os.getuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres")
        before = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
    secret, port = folder / "secret", free_port()
    secret.write_text(PASSWORD)
    if before:
        os.chown(secret, pwd.getpwnam("postgres").pw_uid, -1)
    made = ["-D", str(folder / "db"), "-U", "owner", "--pwfile", str(secret), "-A", "scram-sha-256", "--no-sync"]
    subprocess.run([*before, str(POSTGRES / "initdb"), *made], check=True, capture_output=True)
    options = ["-D", str(folder / "db"), "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    process = subprocess.Popen(
        [*before, str(POSTGRES / "postgres"), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGINT)  # fast: without waiting for clients
        process.wait()
        shutil.rmtree(folder)


@dataclass
class Wire:
    """A relay before a server, one thread a direction: it can be cut, and made a black hole, and mended."""

    to_port: int
    port: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _gate: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket | None = None
    refusing: bool = False

    def start(self) -> Wire:
        self._gate.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def cut(self) -> None:
        """Every connection ends at once, and no new one is let through."""
        self.refusing = True
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def swallow(self) -> None:
        """Nothing is carried any more, and nobody is told."""
        self._gate.clear()

    def mend(self) -> None:
        self.refusing = False
        self._gate.set()

    def close(self) -> None:
        self.cut()
        self._gate.set()
        if self._listener is not None:
            self._listener.close()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = None if self.refusing else socket.create_connection(("127.0.0.1", self.to_port), 5)
            except OSError:
                far = None
            if far is None:
                near.close()
                continue
            self._open += [near, far]
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while got := source.recv(65536):
                self._gate.wait()
                sink.sendall(got)
        for one in (source, sink):
            with suppress(OSError):
                one.close()


class Host:
    """A consumer that takes what comes as it comes: nothing is sorted, nothing told apart."""

    def __init__(self, port: int) -> None:
        self.came: queue.SimpleQueue[tuple[str, Payload]] = queue.SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="host", clean_session=False)
        self.client.username_pw_set("host", PASSWORD)
        self.client.on_message = self._take
        self.client.on_connect = lambda c, *_: c.subscribe("spBv1.0/#", 1)
        self.listens = 0
        self.client.on_subscribe = self._heard
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.seen: list[tuple[str, Payload]] = []

    def _take(self, _c: object, _u: object, message: mqtt.MQTTMessage) -> None:
        if "NCMD" not in message.topic:  # its own commands, good ones and others
            self.came.put((message.topic, decode(bytes(message.payload))))

    def _heard(self, *_: object) -> None:
        self.listens += 1

    def look(self) -> list[tuple[str, Payload]]:
        while not self.came.empty():
            self.seen.append(self.came.get())
        return self.seen

    def data(self) -> list[Payload]:
        return [told for topic, told in self.look() if topic == TOPIC.format(kind="DDATA") + "/CDC-REF-1"]

    def numbers(self) -> list[int]:
        return [int(told.metrics[0].value or 0) for told in self.data()]

    def until(self, count: int) -> list[int]:
        deadline = time.monotonic() + 60
        while len(self.numbers()) < count:
            assert time.monotonic() < deadline, f"{len(self.numbers())} of {count} records came"
            time.sleep(0.05)
        time.sleep(0.2)  # what comes twice comes late
        return self.numbers()

    def ask(self, name: str, payload: bytes) -> None:
        self.client.publish(TOPIC.format(kind=name), payload, qos=1).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def killed(*words: str) -> Iterator[None]:
    """`patloop publish` in a process of its own, killed without a word at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "publish", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
