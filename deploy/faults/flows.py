"""IPv4 packets -> TCP connections: who talks to whom, and where their sequence numbers are (RFC 9293, RFC 5961)."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

import numpy as np

RST, FIN, SYN, ACK = 0x04, 0x01, 0x02, 0x10
Flow = tuple[bytes, int, bytes, int]
"""Box address, box port, line address, line port."""


@dataclass
class Flows:
    """The connections that were seen; next_seq: the sequence number that each end expects next, by way to it."""

    known: dict[Flow, dict[int, int]] = field(default_factory=dict)

    def note(self, way: int, packet: bytes) -> Flow | None:
        """Learn from one packet (way 0: from the box); its connection, None where it is not TCP over IPv4."""
        if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return None
        start = 4 * (packet[0] & 15)
        if len(packet) < start + 20:
            return None
        source, target, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, start)
        flow = (packet[12:16], source, packet[16:20], target)
        if way == 1:
            flow = (flow[2], flow[3], flow[0], flow[1])
        if flags & RST:
            self.known.pop(flow, None)
            return flow
        length = int.from_bytes(packet[2:4], "big") - start - 4 * (offset >> 4)
        expected = self.known.setdefault(flow, {})
        after: int = (seq + length + bool(flags & SYN) + bool(flags & FIN)) % 2**32
        if way not in expected or (after - expected[way]) % 2**32 < 2**31:
            expected[way] = after
        if flags & ACK and 1 - way not in expected:
            expected[1 - way] = ack
        return flow

    def reset(self, flow: Flow, way: int) -> bytes:
        """A reset in this connection as if the other end had sent it; empty when its numbers are not known."""
        seq = self.known.get(flow, {}).get(way)
        if seq is None:
            return b""
        (a, a_port, b, b_port) = flow if way == 0 else (flow[2], flow[3], flow[0], flow[1])
        tcp = struct.pack("!HHIIBBHHH", a_port, b_port, seq, 0, 5 << 4, RST, 0, 0, 0)
        pseudo = a + b + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, socket.IPPROTO_TCP, 0, a, b)
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + tcp


def checksum(content: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = content + b"\0" * (len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def spoilt(packet: bytes, random: np.random.Generator) -> bytes:
    """The packet with one bit turned, anywhere behind its first two bytes (version and length of the header)."""
    at = int(random.integers(2, len(packet)))
    return packet[:at] + bytes((packet[at] ^ (1 << int(random.integers(8))),)) + packet[at + 1 :]


__all__ = ["Flow", "Flows", "checksum", "spoilt"]
