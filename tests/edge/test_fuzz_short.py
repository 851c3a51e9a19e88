"""The short form of `make fuzz`: every target for a moment; and a hunt that finds what is there to be found."""

from __future__ import annotations

import random as randoms
from pathlib import Path

import pytest

from deploy.fuzz.hunt import hunt, replay, store
from deploy.fuzz.lines import Lines
from deploy.fuzz.mutate import mutate
from deploy.fuzz.target import Once, Target
from deploy.fuzz.targets import targets

MOMENT_S = 0.6


@pytest.mark.timeout(120)
@pytest.mark.parametrize("target", targets(), ids=lambda t: t.name)
def test_a_moment_of_fuzzing_finds_nothing(target: Target) -> None:
    found = hunt(target, MOMENT_S, 20261123)
    assert found.executions >= 1
    assert not found.findings, "\n".join(f"{f.what} at {f.where}\n{f.story}" for f in found.findings)


def picky(_folder: Path) -> Once:
    """A parser that minds one word, and loops on another."""

    def once(raw: bytes) -> object:
        if raw.startswith(b"ok") and b"!" in raw:
            if b"?" in raw:
                raise KeyError("both")
            if b"loop" in raw:
                while True:
                    pass
        if not raw:
            raise ValueError("empty")
        return None

    return once


PICKY = Target("picky", lambda: (b"ok, said the cat",), picky, (ValueError,), (__file__,), (b"?", b"!"))


def test_a_hunt_finds_makes_smaller_and_keeps(tmp_path: Path) -> None:
    found = hunt(PICKY, 4.0, 3)
    assert [f.what.partition(":")[0] for f in found.findings] == ["KeyError"]
    assert found.reached > 3
    finding = found.findings[0]
    assert len(finding.raw) <= 4, "cut down to the words that matter"
    file = store(finding, tmp_path)
    assert file.parent.name == "picky"
    assert replay(PICKY, file.read_bytes(), picky(tmp_path)) is not None
    assert replay(PICKY, b"", picky(tmp_path)) is None, "declared"


def test_a_hang_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.fuzz.hunt.HANG_S", 0.3)
    found = replay(PICKY, b"ok! loop", picky(tmp_path))
    assert found is not None
    assert found.what.startswith("Hang")


def dies(_folder: Path) -> Once:
    """A parser that takes the whole process with it."""

    def once(raw: bytes) -> object:
        import os

        if raw.count(b"x") > 3:
            os._exit(17)
        return None

    return once


def test_a_process_that_dies_is_a_finding_with_its_input() -> None:
    found = hunt(Target("dies", lambda: (b"xxx",), dies, (), (__file__,), (b"x",)), 20.0, 1)
    assert [f.what for f in found.findings] == ["the process ended with 17"]
    assert found.findings[0].raw.count(b"x") > 3


def test_a_target_no_seed_of_which_comes_through_is_no_target() -> None:
    found = hunt(Target("deaf", lambda: (b"",), picky, (ValueError,), (__file__,)), 1.0, 1)
    assert found.findings, "what is fuzzed would not be the parser"


def test_mutations_are_the_same_for_the_same_seed_and_bounded() -> None:
    def some(seed: int) -> list[bytes]:
        random = randoms.Random(seed)
        return [mutate(b"a,1.5\nb,2.5\n" * 20, [b"other"], [b"word"], random, 200) for _ in range(300)]

    assert some(4) == some(4)
    assert some(4) != some(5)
    assert max(map(len, some(4))) <= 200
    assert len(set(some(4))) > 250


def test_lines_count_only_what_is_watched() -> None:
    here, elsewhere = Lines((__file__,)), Lines(("control/guard.py",))
    once = picky(Path())

    def call() -> object:
        return once(b"ok!")

    assert here.run(call) > 0
    assert here.run(call) == 0, "nothing new"
    assert elsewhere.run(call) == 0
