"""The service manager is told over its datagram socket: ready, alive, status, stopping (sd_notify(3))."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Tells the service manager; without one (no socket named) every call does nothing.

    A message that the manager cannot take now is dropped and never waited for: a full socket must not stop the loop,
    and a missing watchdog message is what the manager is there to notice.
    """

    def __init__(self, address: str | None) -> None:
        """address: path of the socket, or '@name' in the abstract namespace; None: there is no service manager."""
        self._socket: socket.socket | None = None
        if address is None:
            return
        if address[:1] not in ("/", "@"):
            raise ValueError(f"NOTIFY_SOCKET is '{address}': it must begin with '/' or '@'")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Notifier:
        """The notifier that NOTIFY_SOCKET names; one that does nothing when it is unset or empty."""
        return cls(environment.get("NOTIFY_SOCKET") or None)

    def ready(self) -> None:
        """Start-up is finished."""
        self._tell("READY=1")

    def watchdog(self) -> None:
        """A cycle was completed: the service is alive."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for people who ask the service manager."""
        self._tell("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        """An orderly end has begun."""
        self._tell("STOPPING=1")

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(message.encode(), self._address)
        except OSError:
            return  # the manager is gone or its socket is full; see the class


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """The time the service manager allows between two watchdog messages, s; None when it does not watch us."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    given = environment.get("WATCHDOG_USEC")
    return int(given) / 1e6 if given else None
