"""A press with handles of its own in closed loop: weight and hardness apart, advice alike, held in doubt, replayed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from control.blocks import Bounds
from control.press import PressSeen
from control.press_explain import explained
from control.signals import Mode, PressMove, Quality
from edge.cycle import begin, think
from edge.line import Line
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body
from edge.signals import Request, Sample, Thought
from hil_sim.bench import Run, compose_for, run_one
from hil_sim.scenario import RecipeStep, Scenario, load_scenario

LINES = Path(__file__).parents[2] / "deploy" / "lines"
HANDLES = ("FillDepth", "Thickness", "TurretSpeed")
LIGHTER_MIN = 8.0
Seen = list[tuple[Sample, Thought]]


class Kept(JournalRecorder):
    """A journal recorder that also keeps samples and thoughts; what is asked comes from the bench's script."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(journal)
        self.seen: Seen = []

    def requests(self) -> tuple[Request, ...]:
        return ()

    def cycle(self, sample: Sample, thought: Thought) -> None:
        self.seen.append((sample, thought))
        super().cycle(sample, thought)


def lighter() -> Scenario:
    """Tablets of 245 mg instead of 250, a laboratory result every three minutes."""
    steps = (RecipeStep(at_min=LIGHTER_MIN, tablet_weight_mg=245.0),)
    return load_scenario("nominal").model_copy(update={"recipe": steps, "lab_every_min": 3.0, "judged_from_min": 2.0})


def played(name: str, recorder: Any = None) -> Run:
    return run_one(compose_for(LINES / f"{name}.toml", "mpc"), lighter(), 1, 0.3, recorder=recorder)


@pytest.fixture(scope="module")
def line() -> Line:
    return compose_for(LINES / "cdc_press_1.toml", "mpc")


@pytest.fixture(scope="module")
def shift(line: Line, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Seen, Path]:
    path = tmp_path_factory.mktemp("press") / "journal.sqlite"
    with Journal.open(path, line.config.line.name) as journal:
        recorder = Kept(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        run = run_one(line, lighter(), 1, 0.3, recorder=recorder)
    return run, recorder.seen, path


def after_change(values: np.ndarray, run: Run, from_min: float) -> np.ndarray:
    return values[np.asarray(run.trace.time_s) >= 60 * (LIGHTER_MIN + from_min)]


def test_lighter_tablets_are_as_hard_as_before(shift: tuple[Run, Seen, Path]) -> None:
    run, plain = shift[0], played("cdc_ref_1")
    weight, hardness = (after_change(np.asarray(v), run, 1.5) for v in (run.trace.weight_mg, run.trace.hardness_n))
    assert abs(weight.mean() - 245.0) < 1.0
    assert abs(hardness.mean() - 86.0) < 4.0
    without = after_change(np.asarray(plain.trace.hardness_n), plain, 1.5)
    assert without.mean() < 79.0, "by the force alone lighter tablets come out softer"


def test_the_press_moves_only_its_handles_and_the_force_loop_stands_by(shift: tuple[Run, Seen, Path]) -> None:
    _, seen, _ = shift
    moves = [thought.command.writes for _, thought in seen if thought.command.writes]
    assert len(moves) > 150
    assert all(set(HANDLES) < set(writes) for writes in moves)
    assert {writes["MainForce"] for writes in moves} == {9.55}, "nothing is asked of a loop that stands by"
    for sample, thought in seen:
        for name, value in thought.command.writes.items():
            if name in HANDLES:
                step = {"FillDepth": 0.1, "Thickness": 0.05, "TurretSpeed": 1.0}[name] * 5.0
                assert abs(value - sample.scan.readings[f"{name}.SP_Working"].value) <= step + 1e-9
    assert not any(alarm.name == "press_holds" for _, thought in seen for alarm in thought.alarms)
    limits = [a.name for _, thought in seen if thought.decision is not None for a in thought.decision.active]
    assert not any(name.startswith("MainForce") for name in limits), "nor does it limit anything"


def test_the_belief_of_the_weight_is_the_press_s_own(shift: tuple[Run, Seen, Path]) -> None:
    run, seen, _ = shift
    told = [thought.belief.tablet_weight_mg for _, thought in seen if thought.belief is not None][-30:]
    assert abs(np.mean(told) - np.asarray(run.trace.weight_mg)[-150:].mean()) < 1.0
    figures = seen[-1][1].decision.figures if seen[-1][1].decision is not None else {}
    assert figures["press_hardness_n"] == pytest.approx(86.0, abs=6.0)


def test_advice_is_what_closed_loop_decides(line: Line, shift: tuple[Run, Seen, Path]) -> None:
    for mode in (Mode.ADVISE, Mode.CLOSED):
        loop = replace(begin(line), mode=mode)
        for number, (sample, thought) in enumerate(shift[1]):
            told, loop = think(line, loop, replace(sample, requests=()))
            assert encode(told.decision) == encode(thought.decision), f"cycle {number} in {mode}"
            assert mode is Mode.CLOSED or not told.command.writes


def test_a_lost_reading_holds_the_handles_and_not_the_feeders(line: Line, shift: tuple[Run, Seen, Path]) -> None:
    loop, moved = replace(begin(line), mode=Mode.CLOSED), []
    for number, (sample, _) in enumerate(shift[1][:160]):
        readings = dict(sample.scan.readings)
        if 100 <= number < 130:
            level = readings["Press.HopperLevelPct"]
            readings["Press.HopperLevelPct"] = replace(level, quality=Quality.BAD, reason="sensor failure")
        told, loop = think(line, loop, replace(sample, requests=(), scan=replace(sample.scan, readings=readings)))
        if 100 <= number < 130:
            now = {name: readings[f"{name}.SP_Working"].value for name in HANDLES}
            assert {name: told.command.writes[name] for name in HANDLES} == now
            assert not told.command.holding
            moved.append(told)
    alarm = next(a for a in moved[-1].alarms if a.name == "press_holds")
    assert "Press.HopperLevelPct: sensor failure" in alarm.text
    assert not any(a.name == "press_holds" for a in told.alarms), "and it goes on by itself"


def test_a_handle_the_plc_keeps_stays_and_the_others_go_on(line: Line, shift: tuple[Run, Seen, Path]) -> None:
    loop, depths = replace(begin(line), mode=Mode.CLOSED), set()
    for sample, _ in shift[1][:160]:
        readings = dict(sample.scan.readings)
        readings["Thickness.Available"] = replace(readings["Thickness.Available"], value=0.0)
        told, loop = think(line, loop, replace(sample, requests=(), scan=replace(sample.scan, readings=readings)))
        if told.command.writes:
            assert told.command.writes["Thickness"] == readings["Thickness.SP_Working"].value
            depths.add(told.command.writes["FillDepth"])
    assert len(depths) > 5


def test_the_record_computes_the_same_again(shift: tuple[Run, Seen, Path]) -> None:
    found = replay_journal(shift[2], None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.identical


def test_each_move_says_why_and_what_else_would_happen(shift: tuple[Run, Seen, Path]) -> None:
    run, seen, _ = shift
    moves = [thought.decision.press for _, thought in seen if thought.decision is not None]
    told = [move for move in moves if move is not None]
    assert len(told) > 200
    assert max(len(move.reason) for move in told) <= 140
    wanted_mg = [sample.scan.readings["Recipe.TabletWeightMg"].value for sample, _ in seen]
    change = wanted_mg.index(245.0)
    move = moves[change]
    assert move is not None
    with_it, held = (move.predicted[f"weight_mg_{what}"] for what in ("with_move", "held"))
    assert abs(with_it[-1] - 245.0) < 1.0, "where the move leads"
    assert abs(held[-1] - 250.0) < 2.0, "and where it stays without"
    assert abs(move.predicted["hardness_n_with_move"][-1] - 86.0) < 2.0
    assert "depth 7." in move.reason
    assert "held: 2" in move.reason
    # What was predicted is what comes: half a minute on the true weight is nearer the prediction than what was held.
    later = np.asarray(run.trace.weight_mg)[np.asarray(run.trace.time_s) > 60 * LIGHTER_MIN + 40][:30].mean()
    assert abs(later - with_it[0]) < abs(later - held[0])


def test_the_multipliers_are_what_a_little_more_room_brings(line: Line) -> None:
    control = line.control
    assert control is not None
    assert control.press is not None
    controller, bundle = control.press.controller, control.press.bundle
    aim = {"target_weight_mg": 262.0, "target_hardness_n": 86.0, "feed_kg_h": 20.0}
    look = PressSeen(0.0, 9.55, 50.0, 7.86, 2.911, 37.0)
    own = Bounds.of(bundle.card)
    high = own.high.copy()
    high[0] = 7.95

    def solved(limit: float) -> tuple[float, float, PressMove]:
        """Cost of the plan with so much room for the fill depth, what more room is worth, and the explanation."""
        top = high.copy()
        top[0] = limit
        room = replace(own, high=top)
        _, memory = controller.decide(look, aim, None, room)
        assert memory.move is not None
        assert memory.plan is not None
        P = np.repeat(np.array([aim[name] for name in bundle.card.parameters])[:, None], 31, axis=1)
        before = np.array([7.86, 2.911, 37.0])
        plan = memory.plan
        for _ in range(20):  # to the optimum, so that cost and multiplier are of the same point
            found = controller._solver.step(plan, memory.mean, before, P, room)
            plan = found.plan
        told = explained(bundle, memory.mean, memory.cov, before, P[:, 0], found, plan, plan)
        total = sum(m.value for m in found.multipliers if (m.name, m.side) == ("asked_depth_mm", "high"))
        return controller._solver.cost(plan, before, P, room), total, told

    cost, total, told = solved(7.95)
    assert told.active[0].name == "asked_depth_mm"
    assert "limit depth" in told.reason
    step = 1e-4
    fall = (solved(7.95 - step)[0] - solved(7.95 + step)[0]) / (2 * step)
    assert total == pytest.approx(fall, rel=0.01)
    assert cost > 0.0
