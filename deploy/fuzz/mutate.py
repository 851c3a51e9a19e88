"""seed bytes -> spoilt bytes: bits, numbers, pieces cut, doubled, moved, and taken from other inputs."""

from __future__ import annotations

import random as randoms
import re
from collections.abc import Sequence

NUMBERS = (b"0", b"-1", b"1e999", b"-1e308", b"nan", b"NaN", b"inf", b"-Infinity", b"1e-320", b"9" * 30, b"0x10",
           b"1_0", b"2147483648", b"18446744073709551616", b"0.1", b"true", b"null", b'""', b"[]", b"{}",
           b"1,5", b"")  # fmt: skip
PIECES = (b"\0", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"'", b'"', b"\\", b"{{", b"..", b"/", b"%s",
          b"\xed\xa0\x80", "\u202e\U0001f600é".encode(), b" " * 40, b"A" * 300, b"(" * 200, b"[" * 3000)  # fmt: skip
INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def mutate(raw: bytes, others: Sequence[bytes], words: Sequence[bytes], random: randoms.Random, most: int) -> bytes:
    """One to eight changes, chosen at random; at most `most` bytes come out."""
    found = bytearray(raw)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        change = random.choice(CHANGES)
        change(found, others, words, random)
    return bytes(found[:most])


def _at(found: bytearray, random: randoms.Random) -> int:
    return random.randrange(len(found) + 1)


def _span(found: bytearray, random: randoms.Random) -> tuple[int, int]:
    start = _at(found, random)
    return start, min(len(found), start + random.choice((1, 2, 4, 8, 16, 64, 256, 1024)))


def _flip(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    if found:
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)


def _set(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    if found:
        found[random.randrange(len(found))] = random.choice((0, 1, 32, 48, 127, 128, 254, 255, random.randrange(256)))


def _integer(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    width, order = random.choice((2, 4, 4, 8)), random.choice(("little", "little", "big"))
    at, value = _at(found, random), random.choice(INTEGERS) & (2 ** (8 * width) - 1)
    found[at : at + width] = value.to_bytes(width, order)


def _number(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    there = list(NUMBER.finditer(found[:20000]))
    if there:
        match = random.choice(there)
        found[match.start() : match.end()] = random.choice(NUMBERS)


def _cut(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    start, end = _span(found, random)
    del found[start:end]


def _end(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    del found[_at(found, random) :]


def _double(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    start, end = _span(found, random)
    at = _at(found, random)
    found[at:at] = found[start:end] * random.choice((1, 1, 2, 30))


def _line(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    """Lines of a text: one gone, doubled, or two exchanged."""
    lines = bytes(found).split(b"\n")
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            del lines[a]
        case 1:
            lines.insert(b, lines[a])
        case _:
            lines[a], lines[b] = lines[b], lines[a]
    found[:] = b"\n".join(lines)


def _piece(found: bytearray, _o: Sequence[bytes], words: Sequence[bytes], random: randoms.Random) -> None:
    piece = random.choice(words) if words and random.random() < 0.7 else random.choice(PIECES)
    at = _at(found, random)
    found[at : at + random.choice((0, len(piece)))] = piece


def _splice(found: bytearray, others: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    other = random.choice(others)
    start = random.randrange(len(other) + 1)
    at, length = _at(found, random), random.choice((4, 16, 64, 512, 65536))
    found[at : at + random.choice((0, length))] = other[start : start + length]


def _noise(found: bytearray, _o: Sequence[bytes], _w: Sequence[bytes], random: randoms.Random) -> None:
    start, end = _span(found, random)
    found[start:end] = random.randbytes(end - start)


CHANGES = (
    _flip, _flip, _set, _set, _integer, _number, _number, _cut, _end, _double, _line, _piece, _piece, _splice, _noise,
)  # fmt: skip
