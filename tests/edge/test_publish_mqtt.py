"""The record at a real MQTT broker: every record once and in order, through cuts, black holes and kills."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from publish_hand import Cycles, Host, Wire, broker, free_port, go_on, line_file, numbers, publisher, settled

from edge.errors import LinkLost, RecorderError
from edge.pki import make_server_certificate
from edge.publish.mqtt_commands import mqtt as command
from edge.publish.sparkplug import REBIRTH, SparkplugPublisher
from edge.publish.sparkplug_payload import DataType, Metric, Payload, encode
from edge.record.journal import Journal


@pytest.fixture
def wire(broker_port: int) -> Iterator[Wire]:
    relay = Wire(broker_port).start()
    yield relay
    relay.close()


def test_births_then_every_record_once_with_its_numbers(
    tmp_path: Path, broker_port: int, host: Host, cycles: Cycles
) -> None:
    file, journal = settled(tmp_path, broker_port), tmp_path / "journal.sqlite"
    go_on(journal, cycles, 20)
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 0, done.output
    assert host.until(21) == numbers(journal) == list(range(1, 22))
    kinds = [topic.split("/")[2] for topic, _ in host.look() if "mark" not in topic]
    assert kinds[:2] == ["NBIRTH", "DBIRTH"]
    assert kinds[-1] == "NDEATH", "it said goodbye"
    birth = next(told for topic, told in host.look() if "DBIRTH" in topic)
    names = {m.alias: m.name for m in birth.metrics}
    cycle = host.data()[1]
    said = {names[m.alias]: m for m in cycle.metrics}
    with Journal.open_reader(journal) as record:
        row = record.get(2)
    assert row is not None
    sample, thought = row.content()["sample"], row.content()["thought"]
    assert said["Estimate/value"].value == (thought["estimate"] or {}).get("value")
    assert said["Setpoint/FeederApi/Working"].value == sample["readings"]["FeederApi.SP_Working"]["value"]
    assert said["Record/Hash"].value == row.hash.hex()
    assert all(m.historical for m in cycle.metrics), "records of another day are history"
    seqs = [told.seq for topic, told in host.look() if "BIRTH" in topic or "DDATA" in topic]
    assert seqs == [i % 256 for i in range(len(seqs))]
    again = CliRunner().invoke(command, [str(file), "--once"])
    assert again.exit_code == 0
    assert "0 records sent" in again.output
    assert host.until(21) == list(range(1, 22)), "nothing twice"


def test_a_long_cut_loses_nothing_and_doubles_nothing(
    tmp_path: Path, wire: Wire, host: Host, cycles: Cycles
) -> None:
    file, path = settled(tmp_path, wire.port, "window = 20\n"), tmp_path / "journal.sqlite"
    sender = publisher(file)
    go_on(path, cycles, 40)
    with Journal.open_reader(path) as journal:
        assert sender.turn(journal) == 41
        for turn in range(6):
            wire.cut()
            go_on(path, cycles, 300)
            with pytest.raises(LinkLost):
                sender.turn(journal)
            wire.mend()
            if turn % 2:  # cut again in mid-flight
                threading_cut(wire, sender, journal)
            deliver(sender, journal)
    sender.close()
    assert host.until(41 + 6 * 300) == numbers(path)


def threading_cut(wire: Wire, sender: SparkplugPublisher, journal: Journal) -> None:
    """The wire is cut while a window is under way: what the broker took is not known here."""
    before, send = sender.cursor.seq, sender._publish
    count = 0

    def and_cut(*what: object) -> mqtt.MQTTMessageInfo:
        nonlocal count
        count += 1
        said = send(*what)  # type: ignore[arg-type]
        if count == 55:
            wire.cut()
        return said

    sender._publish = and_cut  # type: ignore[method-assign, assignment]
    with pytest.raises(LinkLost):
        sender.turn(journal)
    sender._publish = send  # type: ignore[method-assign]
    assert sender.cursor.seq >= before
    wire.mend()


def deliver(sender: SparkplugPublisher, journal: Journal) -> None:
    deadline = time.monotonic() + 40
    while True:
        try:
            sender.turn(journal)
            return
        except LinkLost:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_broker_that_is_killed_is_found_again(
    tmp_path: Path, cycles: Cycles
) -> None:
    """It may forget what it had not told us: then a record may come twice, and carries its number; none is lost."""
    number, path = free_port(), tmp_path / "journal.sqlite"
    sender = publisher(settled(tmp_path, number))
    with broker(tmp_path / "broker", number) as process:
        host = Host(number)
        go_on(path, cycles, 100)
        with Journal.open_reader(path) as journal:
            deliver(sender, journal)
            host.until(101)
            process.kill()
            process.wait()
            go_on(path, cycles, 100)
            with pytest.raises(LinkLost):
                sender.turn(journal)
    with broker(tmp_path / "broker", number), Journal.open_reader(path) as journal:
        deadline = time.monotonic() + 30
        while host.listens < 2:  # its session went with the broker: what comes before it is back is not for it
            assert time.monotonic() < deadline
            time.sleep(0.05)
        deliver(sender, journal)
        while set(host.numbers()) != set(numbers(path)) and time.monotonic() < deadline:
            time.sleep(0.1)
        sender.close()
        host.close()
    assert sorted(set(host.numbers())) == numbers(path)


def test_an_unanswering_broker_is_told_within_the_patience(
    tmp_path: Path, wire: Wire, cycles: Cycles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.publish.sparkplug.PATIENCE_S", 1.0)
    file, path = settled(tmp_path, wire.port), tmp_path / "journal.sqlite"
    sender = publisher(file)
    go_on(path, cycles, 10)
    with Journal.open_reader(path) as journal:
        sender.turn(journal)
        wire.swallow()
        go_on(path, cycles, 10)
        with pytest.raises(LinkLost, match="no acknowledgements"):
            sender.turn(journal)
        wire.cut()
        wire.mend()
        deliver(sender, journal)
    sender.close()


def test_a_host_may_ask_for_the_births_again(
    tmp_path: Path, broker_port: int, host: Host, cycles: Cycles
) -> None:
    sender, path = publisher(settled(tmp_path, broker_port)), tmp_path / "journal.sqlite"
    go_on(path, cycles, 4)
    with Journal.open_reader(path) as journal:
        sender.turn(journal)
        host.ask("NCMD", b"\xff\xffnot a payload")
        host.ask("NCMD", encode(Payload(0, (Metric(value=True, datatype=DataType.BOOLEAN, time_ms=0, name=REBIRTH),))))
        deadline = time.monotonic() + 10
        while sum("NBIRTH" in topic for topic, _ in host.look()) < 2:
            assert time.monotonic() < deadline
            sender.turn(journal)
            time.sleep(0.05)
    sender.close()
    births = [told for topic, told in host.look() if "NBIRTH" in topic]
    assert [told.seq for told in births] == [0, 0]


def test_another_journal_is_never_sent_as_the_same_line(
    tmp_path: Path, broker_port: int, cycles: Cycles
) -> None:
    sender, path = publisher(settled(tmp_path, broker_port)), tmp_path / "journal.sqlite"
    go_on(path, cycles, 10)
    with Journal.open_reader(path) as journal:
        sender.turn(journal)
    for old in tmp_path.glob("journal.sqlite*"):
        old.unlink()
    go_on(path, cycles[1:], 30)
    with Journal.open_reader(path) as journal, pytest.raises(RecorderError, match="record 11 is not the one"):
        sender.turn(journal)
    sender.close()


# paho leaves the socket of a refused handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_broker_must_be_who_it_was(tmp_path: Path, cycles: Cycles) -> None:
    number, path = free_port(), tmp_path / "journal.sqlite"
    go_on(path, cycles, 4)
    for name in ("broker", "stranger"):
        made = make_server_certificate(tmp_path / name, "broker", f"urn:{name}", ("127.0.0.1",))
        pem = load_der_x509_certificate(made.read_bytes()).public_bytes(Encoding.PEM)
        (tmp_path / name / "ca.pem").write_bytes(pem)
    there = tmp_path / "broker"
    secured = f"certfile {there / 'ca.pem'}\nkeyfile {there / 'broker_key.pem'}\ntls_version tlsv1.2\n"
    table = f'\n[mqtt]\nhost = "127.0.0.1"\nport = {number}\nuser = "box"\npassword_file = "secret"\n'
    with broker(there, number, secured):
        trusting = line_file(tmp_path, f'{table}ca = "broker/ca.pem"\n')
        done = CliRunner().invoke(command, [str(trusting), "--once"])
        assert done.exit_code == 0, done.output
        mistaken = line_file(tmp_path, f'{table}ca = "stranger/ca.pem"\n')
        done = CliRunner().invoke(command, [str(mistaken), "--once"])
        assert done.exit_code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in done.output
        gc.collect()
    done = CliRunner().invoke(command, [str(line_file(tmp_path, f'{table}ca = "nowhere.pem"\n')), "--once"])
    assert done.exit_code == 2
    assert "cannot be used" in done.output


def test_a_wrong_password_is_one_line(tmp_path: Path, broker_port: int) -> None:
    file = settled(tmp_path, broker_port)
    (tmp_path / "secret").write_text("wrong")
    go_on(tmp_path / "journal.sqlite", [(b"{}", None, 1.0)], 2)
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 1
    assert "refuses us" in done.output
    (tmp_path / "secret").chmod(0o644)
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 2
    assert "chmod 600" in done.output
