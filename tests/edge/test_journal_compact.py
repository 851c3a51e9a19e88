"""What is stored is smaller and comes back bit for bit; what is damaged is told."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.record.canonical import pack_spectrum, unpack_spectrum
from edge.record.compact import LEAST, REACH, Packing, unpack

BODY = b'{"readings":{"Feeder.PV":2.5}}' * 20


def test_spectra_of_the_first_release_are_read() -> None:
    values = np.array([0.1, -0.0, np.nan, np.inf, 5e-324])
    assert unpack_spectrum(zlib.compress(values.astype("<f8").tobytes(), 6)).tobytes() == values.tobytes()


def test_a_smooth_spectrum_takes_less_than_its_bytes_deflated() -> None:
    axis = np.linspace(0.0, 6.0, 700)
    smooth = np.round(0.3 + 0.1 * np.sin(axis) + 0.02 * axis, 6)  # as instruments write them: six decimals
    lines = np.round(np.random.default_rng(1).uniform(0, 4000, size=700))  # counts that have no neighbourhood
    for values in (smooth, lines):
        assert len(pack_spectrum(values)) < 0.8 * len(zlib.compress(values.tobytes(), 9))
    assert {pack_spectrum(v)[0] for v in (smooth, lines)} == {0, 2}, "the shorter of two forms is taken"


def test_a_spectrum_takes_the_form_of_the_one_before_it_even_where_the_other_is_shorter() -> None:
    smooth = np.round(0.3 + 0.1 * np.sin(np.linspace(0.0, 6.0, 700)), 6)
    counts = np.round(np.random.default_rng(1).uniform(0, 4000, size=700))
    for before, values in ((smooth, counts), (counts, smooth)):
        like = pack_spectrum(before)
        blob = pack_spectrum(values, like)
        assert blob[0] == like[0] != pack_spectrum(values)[0]
        assert unpack_spectrum(blob).tobytes() == values.tobytes()
    of_the_first_release = zlib.compress(smooth.tobytes(), 6)
    for unknown in (b"", b"\x07", of_the_first_release):
        assert pack_spectrum(smooth, unknown) == pack_spectrum(smooth), "both are tried"


@pytest.mark.parametrize(
    "blob", [b"", b"\x07x", b"\x00", b"\x02\xff\xff", b"x\x9c", b"\x00" + pack_spectrum(np.ones(9))[1:-1]]
)
def test_what_is_no_packed_spectrum_is_a_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError, match="not a packed spectrum"):
        unpack_spectrum(blob)


@given(st.lists(st.binary(min_size=0, max_size=900), max_size=12))
def test_bodies_come_back_whatever_they_are(bodies: list[bytes]) -> None:
    packing, stored = Packing(), {}
    for seq, body in enumerate(bodies, 2):
        stored[seq] = (*packing.pack(seq, "cycle", body), body)
        packing.written()

    def dictionary(seq: int) -> bytes:
        coding, packed, _ = stored[seq]
        assert coding == seq, "a dictionary needs no other record"
        return unpack(seq, coding, packed, dictionary)

    for seq, (coding, packed, body) in stored.items():
        assert unpack(seq, coding, packed, dictionary) == body
        assert len(packed) <= len(body)


def test_a_dictionary_is_renewed_in_time_and_when_asked() -> None:
    packing = Packing()

    def pack(seq: int) -> int:
        coding, _ = packing.pack(seq, "cycle", BODY)
        packing.written()
        return coding

    assert [pack(seq) for seq in (2, 3, 2 + REACH, 3 + REACH, 4 + REACH)] == [2, 2, 2, 3 + REACH, 3 + REACH]
    packing.begin_anew()
    assert pack(200) == 200
    assert packing.pack(201, "cycle", b"x" * (LEAST - 1)) == (0, b"x" * (LEAST - 1))
    assert packing.pack(202, "start", BODY)[0] == 202, "each kind has its own"


def test_what_was_not_written_is_no_dictionary() -> None:
    packing = Packing()
    assert packing.pack(2, "cycle", BODY)[0] == 2
    assert packing.pack(2, "cycle", BODY)[0] == 2  # the first one failed: nobody said that it is written
    packing.written()
    assert packing.pack(3, "cycle", BODY)[0] == 2


@pytest.mark.parametrize("coding", [-1, 7, 11, 10 - REACH - 1])
def test_a_coding_that_cannot_be_is_a_value_error(coding: int) -> None:
    with pytest.raises(ValueError):
        unpack(10, coding, b"\x00\x01", lambda _: BODY)


def test_a_damaged_body_is_a_value_error() -> None:
    _, stored = Packing().pack(2, "cycle", BODY)
    for damaged in (stored[:-1], stored + b"x", b"\xff" + stored[1:]):
        with pytest.raises(ValueError):
            unpack(2, 2, damaged, lambda _: b"")
