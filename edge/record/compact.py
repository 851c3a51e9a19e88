"""body, spectrum -> fewer bytes, and back bit for bit: what keeps 30 days of a line on a small disk."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from soft_sensors.signals import FloatArray

Words = NDArray[np.uint64]

AS_IT_IS = 0  # the coding of a body that is stored unpacked
REACH = 128  # records: a dictionary lies at most so far back, so that old records can go without their followers
LEAST = 256  # bytes: below this a body is stored as it is, and needs no other record to be read
_LEVEL, _WINDOW, _MEMORY = 6, -zlib.MAX_WBITS, 9  # raw deflate: the chain's hash is check enough
_LONGEST = 1 << 28  # bytes a packed body may grow to: a damaged or forged one cannot fill the memory
_PLAIN, _CURVED = 0, 2  # first byte of a packed spectrum: how often neighbours were subtracted
_ZLIB = 0x78  # first byte of a spectrum as release 0.1 packed it


class Packing:
    """What one writer packs bodies with: the newest dictionary of each kind among the records it wrote itself."""

    def __init__(self) -> None:
        self._dictionaries: dict[str, tuple[int, bytes]] = {}
        self._pending: tuple[str, int, bytes] | None = None

    def pack(self, seq: int, kind: str, body: bytes) -> tuple[int, bytes]:
        """The coding and the stored form of the body of record seq: see unpack."""
        self._pending = None
        if len(body) < LEAST:
            return AS_IT_IS, body
        coding, dictionary = self._dictionaries.get(kind, (seq, b""))
        if not seq - REACH <= coding < seq:
            coding, dictionary = seq, b""
        stored = _deflate(body, dictionary)
        if len(stored) >= len(body):
            return AS_IT_IS, body
        if coding == seq:
            self._pending = (kind, seq, body)
        return coding, stored

    def begin_anew(self) -> None:
        """No body is packed with one that is written already from now on: what is before can go."""
        self._dictionaries.clear()

    def written(self) -> None:
        """The record that was packed last is on the disk: only now may it serve as a dictionary."""
        if self._pending is not None:
            kind, seq, body = self._pending
            self._dictionaries[kind] = (seq, body)


def unpack(seq: int, coding: int, stored: bytes, dictionary: Callable[[int], bytes]) -> bytes:
    """The body of record seq.

    coding 0: stored as it is; seq itself: raw deflate; the number of an earlier record: raw deflate with the body of
    that record, which dictionary gives, as preset dictionary. Raises ValueError when it cannot be unpacked.
    """
    if not isinstance(coding, int) or not isinstance(stored, bytes):  # a damaged file may hold anything
        raise ValueError("its coding or its body has a wrong type")
    if coding == AS_IT_IS:
        return stored
    if not seq - REACH <= coding <= seq:
        raise ValueError(f"its coding names record {coding}")
    return _inflate(stored, b"" if coding == seq else dictionary(coding))


def pack_spectrum(values: FloatArray, like: bytes = b"") -> bytes:
    """The blob of a cycle record: the float64 values without loss.

    Taken as 64-bit integers, twice neighbour from neighbour (a spectrum is smooth; left out where that is longer, as
    for Raman lines), byte planes together (exponents repeat, noise does not), raw deflate. like: the blob of another
    spectrum of the instrument, whose form is taken: only without one both are tried.
    """
    words = np.ascontiguousarray(values, dtype="<f8").view("<u8").ravel()
    forms = (like[0],) if like[:1] in (bytes([_PLAIN]), bytes([_CURVED])) else (_CURVED, _PLAIN)
    return min((bytes([form]) + _planes(_curved(words) if form == _CURVED else words) for form in forms), key=len)


def unpack_spectrum(blob: bytes) -> FloatArray:
    """The values [n] in a blob that pack_spectrum made, of any release. Raises ValueError when it is not one."""
    order = blob[0] if blob else -1
    try:
        if order == _ZLIB:
            return np.frombuffer(zlib.decompress(blob), dtype="<f8").astype(np.float64)
        if order not in (_PLAIN, _CURVED):
            raise ValueError("unknown form")
        planes = np.frombuffer(_inflate(blob[1:], b""), dtype=np.uint8).reshape(8, -1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"not a packed spectrum: {error}") from error
    words = np.ascontiguousarray(planes.T).view("<u8").ravel()
    if order == _CURVED:
        words = np.cumsum(np.cumsum(_unfolded(words), dtype=np.uint64), dtype=np.uint64)
    return words.view("<f8").astype(np.float64)


def _planes(words: Words) -> bytes:
    return _deflate(np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8).T.tobytes(), b"")


def _curved(words: Words) -> Words:
    """Second differences; before the first there are zeros."""
    before = np.zeros(len(words) + 2, "<u8")
    before[2:] = words
    first = before[1:] - before[:-1]
    return _folded(first[1:] - first[:-1])


def _folded(words: Words) -> Words:
    """Differences with their sign in the lowest bit: small ones, of either sign, have zeros in front."""
    signed = words.view("<i8")
    return ((signed << 1) ^ (signed >> 63)).view("<u8")


def _unfolded(words: Words) -> Words:
    return (words >> np.uint64(1)) ^ (np.uint64(0) - (words & np.uint64(1)))


def _deflate(content: bytes, dictionary: bytes) -> bytes:
    form = (_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY)
    packer = zlib.compressobj(*form, dictionary) if dictionary else zlib.compressobj(*form)
    return packer.compress(content) + packer.flush()


def _inflate(stored: bytes, dictionary: bytes) -> bytes:
    opener = zlib.decompressobj(_WINDOW, zdict=dictionary) if dictionary else zlib.decompressobj(_WINDOW)
    try:
        content = opener.decompress(stored, _LONGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not opener.eof or opener.unused_data:
        raise ValueError("it does not end where it should")
    return content
