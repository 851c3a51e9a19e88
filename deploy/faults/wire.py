"""two network namespaces -> one wire between them that this process carries packet by packet, and can spoil.

Each namespace has one end of it, a TUN device; every IP packet that goes in at one end is read here and written to the
other. So it is real packets of real TCP connections that are lost, late, double, spoilt or held. Linux, root, iproute2.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import select
import shutil
import struct
import subprocess
import threading
import time
from collections import Counter
from itertools import count
from pathlib import Path
from types import TracebackType

import numpy as np

from deploy.faults.flows import Flow, Flows, spoilt
from deploy.faults.impair import CLEAR, Fault, Way

TUN = Path("/dev/net/tun")
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500
MOST_QUEUED_S = 2.0  # a throttled queue longer than this drops at its tail, as a router's does
RESET_EVERY_S = 0.1  # a forged reset that missed the exact sequence number is sent again


def missing() -> str:
    """Why no wire can be made on this machine; empty when one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2 (the command ip)"
    if not TUN.exists():
        return f"{TUN} is not there"
    name = f"pl{os.getpid()}x"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    return ""


class Wire:
    """The two namespaces and what lies between; use as a context. Raises OSError where one cannot be made.

    box, line: names of the namespaces; line_host: address of the line's end; number: several wires on one machine.
    """

    def __init__(self, seed: int, number: int = 0) -> None:
        mark = f"pl{os.getpid()}n{number}"
        self.box, self.line = f"{mark}b", f"{mark}l"
        self._subnet = f"10.77.{number % 250}"
        self.line_host = f"{self._subnet}.2"
        self.counts: Counter[str] = Counter()
        self._random = np.random.default_rng(seed)
        self._ends: list[int] = []
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._fault_since = 0.0
        self._held: list[tuple[int, bytes]] = []
        self._late: list[tuple[float, int, int, bytes]] = []
        self._order = count()
        self._free_at = [0.0, 0.0]
        self._flows = Flows()
        self._dead: set[Flow] = set()
        self._next_reset = 0.0
        self._stop = threading.Event()
        self._carrier = threading.Thread(target=self._carry, name="wire", daemon=True)

    def __enter__(self) -> Wire:
        try:
            for name, host, peer in ((self.box, 1, 2), (self.line, 2, 1)):
                _ip("netns", "add", name)
                self._ends.append(_end(name, f"{self._subnet}.{host}", f"{self._subnet}.{peer}"))
        except BaseException:
            self._clear()
            raise
        self._carrier.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._carrier.join(5)
        self._clear()

    def spoil(self, fault: Fault) -> None:
        """Begin a fault; it lasts until heal()."""
        with self._lock:
            self._fault, self._fault_since, self._next_reset = fault, time.monotonic(), 0.0
            self._dead = set(self._flows.known) if fault.half_open or fault.reset else set()
            self.counts[f"fault {fault.kind}"] += 1

    def heal(self) -> None:
        """End the fault: what it held goes on at once, in its order; what is late comes when it comes."""
        with self._lock:
            self._fault = None
            now = time.monotonic()
            for way, packet in self._held:
                heapq.heappush(self._late, (now, next(self._order), way, packet))
            self._held.clear()

    def _carry(self) -> None:
        poll = select.poll()
        for end in self._ends:
            poll.register(end, select.POLLIN)
        while not self._stop.is_set():
            now = time.monotonic()
            with self._lock:
                while self._late and self._late[0][0] <= now:
                    _, _, way, packet = heapq.heappop(self._late)
                    self._put(way, packet)
                due = self._late[0][0] if self._late else now + 0.05
                self._reset(now)
            for end, _ in poll.poll(max(0.0, 1000 * (due - now))):
                way = self._ends.index(end)  # 0: from the box to the line
                try:
                    packet = os.read(end, 65536)
                except BlockingIOError:
                    continue
                with self._lock:
                    self._pass(way, packet)

    def _pass(self, way: int, packet: bytes) -> None:
        """Decide about one packet."""
        self.counts["packets"] += 1
        flow = self._flows.note(way, packet)
        fault, now = self._fault, time.monotonic()
        if fault is None or (fault.flap_s and int((now - self._fault_since) / fault.flap_s) % 2):
            self._put(way, packet)
            return
        if flow in self._dead:
            self.counts["lost"] += 1
            return
        does = fault.to_line if way == 0 else fault.to_box
        if does == CLEAR:
            self._put(way, packet)
            return
        if does.hold:
            self.counts["held"] += 1
            self._held.append((way, packet))
            return
        self._spoil_one(does, way, packet, now)

    def _spoil_one(self, does: Way, way: int, packet: bytes, now: float) -> None:
        random = self._random
        if random.random() < does.drop:
            self.counts["lost"] += 1
            return
        if random.random() < does.corrupt:
            self.counts["spoilt"] += 1
            packet = spoilt(packet, random)
        at = now + does.delay_s + (float(random.uniform(0, does.jitter_s)) if does.jitter_s else 0.0)
        if does.rate_bytes_s:
            at = max(self._free_at[way], at) + len(packet) / does.rate_bytes_s
            if at - now > MOST_QUEUED_S:
                self.counts["lost"] += 1
                return
            self._free_at[way] = at
        self.counts["late"] += at > now
        heapq.heappush(self._late, (at, next(self._order), way, packet))
        if random.random() < does.duplicate:
            self.counts["double"] += 1
            heapq.heappush(self._late, (at, next(self._order), way, packet))

    def _reset(self, now: float) -> None:
        """Tell an end (or both) that its connections are gone, by a packet that the other end did not send."""
        fault = self._fault
        if fault is None or not self._dead or now < self._next_reset or not (fault.half_open or fault.reset):
            return
        self._next_reset = now + RESET_EVERY_S
        for flow in self._dead:
            for way in (0, 1) if fault.reset else (0,):
                forged = self._flows.reset(flow, way)
                if forged:
                    self.counts["forged"] += 1
                    self._put(way, forged)

    def _put(self, way: int, packet: bytes) -> None:
        try:
            os.write(self._ends[1 - way], packet)
        except OSError:
            self.counts["refused by the kernel"] += 1  # spoilt beyond what the device takes: lost on the wire

    def _clear(self) -> None:
        for end in self._ends:
            os.close(end)
        self._ends.clear()
        for name in (self.box, self.line):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*argv: str) -> None:
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(argv)}: {done.stderr.strip()}")


def _end(namespace: str, host: str, peer: str) -> int:
    """A TUN device of this process, moved into the namespace, with its address; returns the file that carries it."""
    end = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
    device = namespace[-14:]
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
    _ip("link", "set", device, "netns", namespace)
    inside = ("-n", namespace)
    _ip(*inside, "addr", "add", host, "peer", peer, "dev", device)
    _ip(*inside, "link", "set", device, "mtu", str(MTU), "up")
    _ip(*inside, "link", "set", "lo", "up")
    return end
