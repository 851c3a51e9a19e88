"""Ten minutes of the loop with a laboratory's system beside it: wrong, corrected, and computed again."""

from __future__ import annotations

from pathlib import Path

import pytest

import hil_sim.bench
from edge.acquire.told import WithRecord
from edge.lab.intake import Intake, Origin
from edge.lab.result import Told
from edge.lab.settings import LabTable
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body
from edge.signals import Scan
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
WRONG_AT, RIGHT_AT, MADE_AT = 100, 125, 60  # cycles
RigLine = hil_sim.bench.RigLine


def test_what_others_tell_is_used_once_corrected_and_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = compose_for(LINE_FILE, "mpc")
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, line.config.line.name, now=lambda: 1_760_000_000.0) as journal:
        silent = line.config.model_copy(update={"context": None})  # this line does not tell its batch itself
        intake = Intake(journal, LabTable(), line.config.line.cycle_s)

        class Beside(RigLine):  # type: ignore[valid-type, misc]
            """The bench's line; now and then another system tells something."""

            looks, sampled_s = 0, 0.0

            async def scan(self) -> Scan:
                if not hasattr(self, "record"):
                    self.record = WithRecord(_Bare(super().scan), journal, silent)
                self.looks += 1
                scan = await self.record.scan()
                if self.looks == WRONG_AT - 20:
                    Beside.sampled_s = scan.time_s
                values = {WRONG_AT: (9.0, ""), RIGHT_AT: (10.02, "wrong dilution"), WRONG_AT + 5: (9.0, "")}
                if self.looks in values:
                    assay, reason = values[self.looks]
                    told = Told("S1", Beside.sampled_s, None, {"assay": (assay, "%{w/w}")}, reason=reason)
                    intake.enter(told, "", Origin("test"), scan.time_s)
                if self.looks == MADE_AT:
                    body = {"batch": "B-1", "product": "P", "lots": {}, "reason": "", "source": "rest:mes"}
                    journal.append("context", scan.time_s, encode(body))
                return scan

        monkeypatch.setattr(hil_sim.bench, "RigLine", Beside)
        recorder = JournalRecorder(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        run_one(line, load_scenario("nominal"), 1, 0.18, recorder=recorder)
        cycles = [decode(row.body) for row in journal.rows(kind="cycle")]
        states = [row.content()["status"] for row in journal.rows(kind="lab_result")]
    assert states == ["new", "duplicate", "correction"]
    assert [c["sample"]["cycle"] for c in cycles if c["sample"]["lims"]] == [WRONG_AT, RIGHT_AT]
    made = [c["sample"]["context"] for c in cycles]
    assert made[MADE_AT - 1] is None
    assert made[MADE_AT]["batch"] == made[-1]["batch"] == "B-1"
    bias = [c["thought"]["belief"]["nir_bias_pct"] for c in cycles]
    before, misled, mended = bias[WRONG_AT - 1], bias[RIGHT_AT - 1], bias[RIGHT_AT]
    assert abs(misled - before) > 0.2, "the wrong result moved the belief"
    assert abs(mended - before) < 0.3 * abs(misled - before), "its correction took that back"
    notes = " ".join(cycles[RIGHT_AT]["thought"]["belief"]["notes"])
    assert "laboratory sample S1 is corrected" in notes
    found = replay_journal(path, None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.identical


class _Bare:
    """A source that is one function."""

    def __init__(self, scan: object) -> None:
        self.scan = scan
