"""Random upsets and their scores: made the same every time, judged by hand-made traces."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hil_sim.campaign import Row
from hil_sim.commands import hil
from hil_sim.kpi import Trace
from hil_sim.upset_runs import RESULTS, run_upsets
from hil_sim.upsets import HOURS, JUDGED_FROM_S, KINDS, ONSET_MIN, score, totals, upper_limit, upset

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
RATE_KG_S = 20.0 / 3600.0


def trace(outside: list[tuple[int, int]], diverted: list[tuple[int, int]], seconds: int = 1000) -> Trace:
    """One sample a second; API 10 % off in the stretches of `outside`, the gate diverting in those of `diverted`."""
    time_s = np.arange(seconds, dtype=np.float64)
    api, gate = np.full(seconds, 100.0), np.zeros(seconds, dtype=bool)
    for first, last in outside:
        api[first : last + 1] = 90.0
    for first, last in diverted:
        gate[first : last + 1] = True
    same = np.full(seconds, 1.0)
    return Trace(
        time_s=time_s, api_lc_pct=api, target_api_pct=10 * same, weight_mg=250 * same, target_weight_mg=250 * same,
        hardness_n=86 * same, throughput_kg_h=20 * same, diverted=gate, setpoints={},
    )  # fmt: skip


def test_a_number_is_always_the_same_upset_and_kinds_take_turns() -> None:
    assert upset(7) == upset(7)
    assert {upset(n).kind for n in range(len(KINDS))} == set(KINDS)
    sizes = {upset(n).scenario.fault[0].model_dump_json() for n in range(0, 90, 9)}
    assert len(sizes) == 10


@pytest.mark.parametrize("number", range(27))
def test_upsets_begin_after_the_line_is_known_and_leave_room_to_end(number: int) -> None:
    made = upset(number).scenario
    assert made.hours == HOURS
    first = min(fault.at_min for fault in made.fault if fault.kind != "nir_drift")
    assert first >= ONSET_MIN[0] - 2.0
    assert 60.0 * first > JUDGED_FROM_S
    assert max(fault.at_min for fault in made.fault) < 60.0 * made.hours - 5.0


def test_a_release_of_material_that_is_outside_is_counted_by_the_second() -> None:
    found = score(trace([(500, 599)], [(503, 620)]), 5.0)
    assert found.released_oos_kg == pytest.approx(3 * RATE_KG_S)
    assert found.diverted_kg == pytest.approx(118 * RATE_KG_S)
    assert found.oos_kg == pytest.approx(100 * RATE_KG_S)


def test_the_ideal_window_reaches_to_the_decisions_around_it() -> None:
    found = score(trace([(502, 598)], []), 5.0)
    assert found.ideal_kg == pytest.approx((600 - 500 + 1) * RATE_KG_S)


def test_windows_close_together_are_one_and_far_apart_are_two() -> None:
    near, far = (score(trace([(500, 549), (at, at + 50)], []), 5.0).ideal_kg for at in (600, 650))
    assert near == pytest.approx((650 - 500 + 1) * RATE_KG_S)
    assert far == pytest.approx(((550 - 500 + 1) + (700 - 650 + 1)) * RATE_KG_S)


def test_nothing_is_judged_before_the_line_is_known() -> None:
    found = score(trace([(10, 100)], [(0, 350)]), 5.0)
    assert (found.released_oos_kg, found.diverted_kg, found.oos_kg) == (0.0, 0.0, 0.0)


def test_confidence_by_hand() -> None:
    assert upper_limit(0, 1000) == pytest.approx(1 - 0.05 ** (1 / 1000))
    assert upper_limit(0, 1000) == pytest.approx(3.0 / 1000, rel=0.01)
    assert upper_limit(2, 2) == 1.0
    assert upper_limit(1, 100) == pytest.approx(0.0466, abs=1e-4)  # Clopper and Pearson's own kind of table


def test_sums_count_upsets_that_released_anything() -> None:
    row = {"released_oos_kg": 0.0, "diverted_kg": 2.0, "oos_kg": 1.5, "ideal_kg": 1.6}
    found = totals([row, {**row, "released_oos_kg": 0.1}])
    assert (found["upsets"], found["released_any"]) == (2, 1)
    assert found["diverted_over_ideal"] == pytest.approx(4.0 / 3.2)


def test_the_command_plays_an_upset_in_closed_loop_and_keeps_its_row(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path), "--json", str(tmp_path / "f.json")]
    argv = ["upsets", str(LINE_FILE), "--n", "1", "--first", "9", *out]
    done = CliRunner().invoke(hil, argv)
    assert done.exit_code in (0, 1), done.output
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["totals"]["upsets"] == 1
    (row,) = [json.loads(line) for line in (tmp_path / RESULTS).read_text().splitlines()]
    assert row["kind"] == upset(9).kind == "loss_step"
    assert row["oos_kg"] > 0.0, "a step of more than the trim cap leaves the limits"
    assert row["released_oos_kg"] < 0.02 * row["oos_kg"]
    assert "with 95 % confidence" in done.output


def test_what_is_there_is_not_played_again_but_for_what_other_code_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[int] = []

    def run(_line: Path, _controller: str, number: int) -> Row:
        played.append(number)
        return {"number": number, "kind": "loss_step", "released_oos_kg": 0.0, "diverted_kg": float(number),
                "oos_kg": 1.0, "ideal_kg": 1.0}  # fmt: skip

    monkeypatch.setattr("hil_sim.upset_runs.run_upset", run)
    told: list[Row] = []

    def upsets(numbers: range, *, resume: bool) -> list[Row]:
        return run_upsets(LINE_FILE, "mpc", numbers, 1, tmp_path, told.append, resume=resume)

    first = upsets(range(3), resume=False)
    with (tmp_path / RESULTS).open("a") as file:
        file.write('{"number": 3, "kind": "cut o')
    assert upsets(range(5), resume=True)[:3] == first
    assert played == [0, 1, 2, 3, 4]
    assert [row["number"] for row in told] == [0, 1, 2, 0, 1, 2, 3, 4]
    assert len((tmp_path / RESULTS).read_text().splitlines()) == 5
    monkeypatch.setattr("hil_sim.campaign._code", lambda: "another release")
    upsets(range(2), resume=True)
    assert played[5:] == [0, 1]
    upsets(range(1), resume=False)
    assert played[7:] == [0]


def test_a_wrong_line_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    done = CliRunner().invoke(hil, ["upsets", "nothing.toml", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "cannot be read" in done.output
    assert "Traceback" not in done.output
