"""The same recorded samples through advise and closed: the same decisions, bit for bit (R5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from control.signals import Mode
from edge.cycle import begin, prepare, think
from edge.line import Line
from edge.record.canonical import encode
from edge.signals import Acted, Request, Sample, Thought
from hil_sim.bench import ScriptedRecorder, compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


class Samples(ScriptedRecorder):
    """A recorder that keeps what was seen, and what was thought of it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Sample, Thought]] = []

    def cycle(self, sample: Sample, thought: Thought) -> None:
        self.seen.append((sample, thought))

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Part of the next sample."""

    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def line() -> Line:
    return compose_for(LINE_FILE, "mpc")


def recorded(line: Line, name: str) -> list[tuple[Sample, Thought]]:
    """A closed-loop run whose fault comes early, as it was recorded."""
    found = load_scenario(name)
    faults = tuple(fault.model_copy(update={"at_min": 6.0}) for fault in found.fault)
    kept = Samples()
    run_one(line, found.model_copy(update={"fault": faults}), 3, 0.35, recorder=kept)
    return kept.seen


def thought_again(line: Line, samples: list[Sample], mode: Mode, *, prepared: bool) -> list[Thought]:
    """The thoughts on recorded samples in one mode throughout; people's requests for another are left out."""
    loop, found = replace(begin(line), mode=mode), []
    for sample in samples:
        requests = tuple(r for r in sample.requests if r.action != "mode")
        thought, loop = think(line, loop, replace(sample, requests=requests))
        loop = prepare(line, loop, thought) if prepared else loop
        found.append(thought)
    return found


@pytest.mark.parametrize("name", ["hidden_loss", "bridge", "lost_connection", "probe_fouling"])
def test_advice_is_what_closed_loop_decides(line: Line, name: str) -> None:
    seen = recorded(line, name)
    samples = [sample for sample, _ in seen]
    closed = thought_again(line, samples, Mode.CLOSED, prepared=True)
    advised = thought_again(line, samples, Mode.ADVISE, prepared=False)
    assert len(closed) == len(advised) == len(samples) > 200
    for number, (ours, told) in enumerate(zip(closed, advised, strict=True)):
        assert encode(ours.decision) == encode(told.decision), number
        assert encode(ours.belief) == encode(told.belief), number
        assert encode(ours.track) == encode(told.track), number
        assert ours.command.recommended == told.command.recommended, number
        assert ours.command.holding == told.command.holding
        assert told.command.writes == {}
        assert told.command.divert is False
        if ours.command.writes:
            assert ours.command.writes == told.command.recommended
    assert any(t.command.writes for t in closed)
    assert len({encode(t.decision) for t in closed}) > 100, "the decisions differ from cycle to cycle"


def test_what_was_thought_in_the_loop_is_thought_again(line: Line) -> None:
    """Replay of the closed run itself, without what was prepared beforehand."""
    seen = recorded(line, "hidden_loss")
    loop = begin(line)
    for sample, thought in seen:
        again, loop = think(line, loop, sample)
        assert encode(again) == encode(thought), sample.cycle
