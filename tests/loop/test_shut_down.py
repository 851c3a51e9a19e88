"""A shut-down in closed loop: down in ratio, said when ready, nothing diverted; in advise nothing moves; replayed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from control.signals import Mode
from edge.line import Line
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body
from edge.signals import Request, Thought
from hil_sim.bench import Run, compose_for, run_one
from hil_sim.rig import Truth
from hil_sim.scenario import OperatorAct, load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
ENABLE = OperatorAct(at_min=0.5, action="enable")
ASK, STOP_MIN = 10.0, 12.0
Seen = list[tuple[Truth, Thought]]


class Kept(JournalRecorder):
    """A journal recorder; what is asked comes from the bench's script."""

    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def line() -> Line:
    return compose_for(LINE_FILE, "mpc")


def played(line: Line, acts: tuple[OperatorAct, ...], hours: float, recorder: Any = None) -> tuple[Run, Seen]:
    seen: Seen = []
    scenario = load_scenario("shut_down").model_copy(update={"operator": acts, "judged_from_min": ASK})
    run = run_one(line, scenario, 1, hours, watch=lambda t, th: seen.append((t, th)), recorder=recorder)
    return run, seen


def minute(truth: Truth) -> float:
    return (truth.time_s - 1_760_000_000.0) / 60


def total(truth: Truth) -> float:
    return sum(value for name, value in truth.setpoints.items() if name != "MainForce")


def alarms(thought: Thought) -> dict[str, str]:
    return {alarm.name: alarm.text for alarm in thought.alarms}


@pytest.fixture(scope="module")
def shut_down(line: Line, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Seen, Path]:
    path = tmp_path_factory.mktemp("shut_down") / "journal.sqlite"
    asked = OperatorAct(at_min=ASK, action="run_down")
    with Journal.open(path, line.config.line.name) as journal:
        recorder = Kept(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        acts = (ENABLE, asked, OperatorAct(at_min=STOP_MIN, action="stop_feeders"))
        run, seen = played(line, acts, 0.3, recorder)
    return run, seen, path


def test_it_goes_down_in_ratio_and_says_when_to_stop(shut_down: tuple[Run, Seen, Path]) -> None:
    _, seen, _ = shut_down
    down = [(t, th) for t, th in seen if ASK < minute(t) <= STOP_MIN]
    shares = [100 * truth.setpoints["FeederApi"] / total(truth) for truth, _ in down]
    assert np.allclose(shares, 10.0, atol=0.3), "in ratio all the way, but for the trim"
    assert total(down[-1][0]) < 10.0
    assert alarms(down[1][1])["run_down"].startswith("running down in ratio")
    assert alarms(down[-1][1])["ready_to_stop"] == "ready to stop: stop the feeders together"
    assert all(th.command.writes for _, th in down)


def test_what_is_in_the_line_comes_out_conforming(shut_down: tuple[Run, Seen, Path]) -> None:
    run, seen, _ = shut_down
    assert run.row["diverted_kg"] == 0.0
    pressed = [t for t, _ in seen if minute(t) > ASK and t.throughput_kg_h > 0.1]
    assert max(abs(t.api_lc_pct - 100) for t in pressed) < 3.0
    assert seen[-1][0].throughput_kg_h < 0.1, "the line ran empty as far as it does"
    after = [th for t, th in seen if minute(t) > STOP_MIN + 1]
    assert all(th.command.holding and not th.command.writes for th in after), "setpoints of stopped feeders stay"
    assert "the feeders are stopped" in " ".join(after[0].command.reasons)


def test_the_record_computes_the_same_again(shut_down: tuple[Run, Seen, Path]) -> None:
    *_, path = shut_down
    with Journal.open_reader(path) as journal:
        cycles = [decode(row.body) for row in journal.rows(kind="cycle")]
    asked = [r["action"] for body in cycles for r in body["sample"]["requests"]]
    assert asked == ["mode", "run_down"]
    found = replay_journal(path, None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.identical


def test_called_off_it_comes_back_to_the_recipe_without_a_bump(line: Line) -> None:
    acts = (ENABLE, OperatorAct(at_min=ASK, action="run_down"), OperatorAct(at_min=10.25, action="cancel_run_down"))
    _, seen = played(line, acts, 0.22)
    flows = [total(t) for t, _ in seen if minute(t) > ASK]
    assert min(flows) < 17.0
    assert max(abs(b - a) for a, b in pairwise(flows)) < 2.5
    assert flows[-1] == pytest.approx(20.0, rel=0.02)
    assert max(abs(t.api_lc_pct - 100) for t, _ in seen if minute(t) > ASK) < 3.0
    assert "run_down" not in alarms(seen[-1][1])


def test_in_advise_it_recommends_and_writes_nothing(line: Line) -> None:
    config = line.config.line.model_copy(update={"mode_ceiling": Mode.ADVISE})
    advising = Line(**{**line.__dict__, "config": line.config.model_copy(update={"line": config})})
    _, seen = played(advising, (ENABLE, OperatorAct(at_min=2.0, action="run_down")), 0.2)
    after = [(t, th) for t, th in seen if minute(t) > 2.1]
    assert all(not th.command.writes for _, th in after)
    assert all(total(t) == pytest.approx(20.0) for t, _ in after), "nobody followed"
    wanted = [sum(v for n, v in th.command.recommended.items() if n != "MainForce") for _, th in after]
    assert max(wanted) < 19.0
    assert min(wanted) > 17.0, "one step: the pace at which it may be followed"
    assert not any("ready_to_stop" in alarms(th) for _, th in after)
