"""What the inspector's page tells: who did what, every move, gaps, alarms, models, periods."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from inspect_hand import T0, facts_of, shift

from edge.record.canonical import encode
from edge.record.inspect_moves import by_minute
from edge.record.journal import Journal
from edge.record.moves import OUTSIDE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Eight cycles of a shift."""
    return shift(tmp_path / "journal.sqlite")


def test_who_did_what_is_told_with_name_meaning_and_change(path: Path) -> None:
    told = {(e.who, e.what): (e.before, e.after, e.why) for e in facts_of(path).events}
    why = "settled <script>alert(1)</script>"
    assert told[("ann", "entered with their own password")] == ("", "", "")
    assert told[("ann", "asked the service to run in this mode (shown: record 4)")] == ("", "closed", why)
    assert told[("ann", "mode of the service changed")] == ("advise", "closed", why)
    assert told[(OUTSIDE, "set-point FeederApi changed at the PLC")][:2] == ("2.2", "2.5")
    starts = [e.after for e in facts_of(path).events if e.kind == "start"]
    assert starts == ["", "sensor.bias: 0 -> 1"], "a changed setting shows old and new"


def test_every_move_says_before_sent_taken_and_for_whom(path: Path) -> None:
    moves = facts_of(path).moves
    ours = [(m.before, m.sent, m.took, m.outcome, m.by) for m in moves if m.by != OUTSIDE]
    assert ours == [(2.0, 2.1, 2.1, "good", "mpc in closed mode"), (2.1, 2.3, 2.2, "good", "mpc in closed mode")]
    assert {m.asked_by for m in moves if m.by != OUTSIDE} == {"ann: settled <script>alert(1)</script>"}
    (foreign,) = (m for m in moves if m.by == OUTSIDE)
    assert (foreign.before, foreign.took, foreign.time_s) == (2.2, 2.5, T0 + 30)
    minutes = {m.by: m for m in by_minute(moves)}
    assert (minutes["mpc in closed mode"].writes, minutes["mpc in closed mode"].not_as_sent) == (2, 1)
    assert minutes[OUTSIDE].foreign


def test_gaps_alarms_models_and_laboratory_are_told(path: Path) -> None:
    found = facts_of(path)
    gaps = [(g.kind, g.from_s - T0, g.to_s - T0, g.why) for g in found.gaps]
    assert gaps == [
        ("held", 15, 15, "FeederApi.PV: stale"), ("line not seen", 20, 25, "no answer"),
        ("no cycles", 30, 150, "no cycle on the record"),
    ]  # fmt: skip
    (alarm,) = found.alarms
    assert (alarm.name, alarm.from_s, alarm.to_s) == ("nir_drift", T0 + 10, T0 + 20)
    standings = [m.standing.split(";")[0] for m in found.models if m.kind == "soft sensor"]
    assert standings == ["effective", "retired", "effective"]
    assert [m.lab for m in found.minutes if math.isfinite(m.lab)] == [9.95]
    assert found.minutes[0].t2 == pytest.approx(1 / 3)
    assert (found.cycles, found.batches) == (8, ("B-7",))


def test_a_period_leaves_out_what_is_not_in_it_but_knows_what_was_before(path: Path) -> None:
    found = facts_of(path, T0 + 10, T0 + 22)
    assert (found.cycles, found.from_s, found.to_s) == (3, T0 + 10, T0 + 20)
    assert [(m.before, m.sent, m.took) for m in found.moves] == [(2.1, 2.3, 2.2)]
    assert found.moves[0].asked_by.startswith("ann: ")
    assert [e.kind for e in found.events] == []


def test_results_batches_and_tokens_are_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    result = {
        "sample_id": "S-17",
        "status": "refused",
        "why": "no such unit",
        "assay_pct": 9.9,
        "hardness_n": math.nan,
        "source": "rest:lims",
    }
    making = {"batch": "B-7", "product": "T 10", "lots": {"FeederApi": "A-2", "FeederMcc": ""}, "source": "tags"}
    making["before"] = {"batch": "B-6", "product": "T 10", "lots": {}}
    token = {"event": "made", "id": "t1", "name": "historian", "role": "reader", "by": "ann", "expires_s": 1.0}
    silence = {"from_s": T0 - 60, "to_s": T0, "seconds": 60.0, "after": 1, "why": "no orderly stop"}
    retired = {"what": "rows", "archive": "a.journal", "reason": "older than 30 days", "ranges": []}
    drill = {"seconds": 4.2, "ok": True}
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        bodies = {
            "lab_result": result, "batch": making, "token": token, "gap": silence, "retired": retired, "drill": drill,
        }  # fmt: skip
        for kind, body in bodies.items():
            journal.append(kind, T0, encode(body))
    told = {e.kind: (e.who, e.what, e.why, e.after) for e in facts_of(path).events}
    assert told["lab_result"] == ("rest:lims", "laboratory result S-17 (refused)", "no such unit", "assay_pct 9.9")
    assert told["batch"] == ("tags", "what is being made changed", "", "batch B-7, product T 10, lots FeederApi A-2")
    (batch,) = (e for e in facts_of(path).events if e.kind == "batch")
    assert batch.before == "batch B-6, product T 10"
    assert told["token"][:2] == ("ann", "API token made: historian (reader)")
    assert told["gap"][1:3] == ("no cycles for 60 s before this start", "no orderly stop")
    assert told["retired"][1:3] == ("rows of the record went to the archive a.journal", "older than 30 days")
    assert told["drill"] == ("the service", "drill", "", "ok True, seconds 4.2")
