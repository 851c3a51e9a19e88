"""The service manager's protocol, against a real datagram socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.notify import Notifier, watchdog_s


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@patloop-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0"))
        listening.settimeout(5)
        yield listening, name


def test_every_message_arrives_in_order(manager: tuple[socket.socket, str]) -> None:
    listening, name = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.watchdog()
    notifier.status("closed, 3 alarms\nREADY=0")
    notifier.stopping()
    seen = [listening.recv(4096).decode() for _ in range(4)]
    notifier.close()
    assert seen == ["READY=1", "WATCHDOG=1", "STATUS=closed, 3 alarms READY=0", "STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_a_service_manager_no_socket_is_opened(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr("edge.notify.socket.socket", lambda *kind: opened.append(kind))
    notifier = Notifier.from_environment(environment)
    notifier.ready()
    notifier.watchdog()
    notifier.close()
    assert opened == []


def test_a_manager_that_comes_back_is_told_again(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "late"))
    notifier.watchdog()  # nobody there: dropped, and the loop goes on
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "late"))
        manager.settimeout(5)
        notifier.watchdog()
        assert manager.recv(64) == b"WATCHDOG=1"
    notifier.close()


def test_a_manager_that_does_not_read_never_stops_the_loop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        notifier = Notifier(str(tmp_path / "deaf"))
        for _ in range(5000):
            notifier.watchdog()  # would block for ever once the socket's buffer is full
        deaf.setblocking(False)
        taken = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                assert deaf.recv(64) == b"WATCHDOG=1"
                taken += 1
        assert 0 < taken < 5000, "what did not fit was dropped"
        notifier.watchdog()
        assert deaf.recv(64) == b"WATCHDOG=1", "and the next one comes through"
        notifier.close()
        notifier.watchdog()
        with pytest.raises(BlockingIOError):
            deaf.recv(64)


def test_a_socket_name_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with"):
        Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"})


def test_the_watchdog_time_is_the_managers_and_only_for_this_process() -> None:
    assert watchdog_s({}) is None
    assert watchdog_s({"WATCHDOG_USEC": "30000000"}) == 30.0
    assert watchdog_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}) == 30.0
    assert watchdog_s({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
