"""`patloop control certify`: moves on a journal against the full problem, from the very same states, off the loop."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from control.bundle import ControllerBundle, load_controller
from control.certificate import Certificate, Gap, Judge, Made
from control.decide import Controller
from control.decide.room import factors, room
from control.governed import bundle_folder
from control.signals import Decision, Situation
from edge.commands import told
from edge.errors import ConfigError
from edge.line import Line
from edge.record.canonical import encode
from edge.record.inputs import progress
from edge.record.journal import Journal
from edge.record.replay import replay_journal


@click.command()
@click.argument("journal", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--every", type=click.IntRange(min=1), default=60, show_default=True, help="judge every so many moves")
@click.option("--limit", type=click.FloatRange(min=0), help="exit 1 when the 95 % gap is above so many per cent")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="write certificate and gaps")
@click.option("--record", is_flag=True, help="append the certificate to the journal itself")
def certify(journal: Path, every: int, limit: float | None, json_file: Path | None, *, record: bool) -> None:
    """How far the moves on JOURNAL were from the best: the full problem is solved by IPOPT from the same states.

    The journal is thought through again first (it holds bundles, settings and samples), so a gap belongs to the very
    move that was made; the gap is what that first move costs more, the rest of the plan being the best possible.

    \b
    Example:
      patloop control certify out/demo/journal.sqlite --every 60 --json out/certificate.json

    Beside a running line, as a timer's daily job: certify JOURNAL --every 600 --record
    """
    with told():
        witness = Witness(every)
        with progress("thinking again") as step:
            replayed = replay_journal(journal, None, None, step, witness.around)
        if not replayed.identical:
            click.echo(f"NOT IDENTICAL on replay, no certificate: {replayed.first_difference}")
            sys.exit(1)
        gaps = _judged(witness)
        found = Certificate.of(gaps)
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(_told(found, witness, gaps), indent=2) + "\n", encoding="utf-8")
        if record:
            _record(journal, found, witness, gaps)
    _say(found, witness, limit)


def _judged(witness: Witness) -> list[Gap]:
    if witness.bundle is None or not witness.made:
        raise ConfigError("the journal holds no move that a solver made: there is nothing to certify")
    judge, gaps = Judge(witness.bundle), []
    with progress("solving in full") as step:
        for made in witness.made:
            gaps.append(judge.gap(made))
            step(len(gaps), len(witness.made))
    return gaps


def _record(journal: Path, found: Certificate, witness: Witness, gaps: list[Gap]) -> None:
    """Put the certificate on the record: of which moves, by which bundle, how far from the best."""
    assert witness.bundle is not None, "gaps were judged with it"
    judged = {"from_s": gaps[0].time_s, "to_s": gaps[-1].time_s, "bundle": witness.bundle.bundle_hash}
    with Journal.open_existing(journal) as line:
        body = {**asdict(found), **judged, "moves": witness.seen, "fallbacks": witness.fallbacks}
        line.append("certificate", time.time(), encode(body))


def _say(found: Certificate, witness: Witness, limit: float | None) -> None:
    click.echo(
        f"{found.judged} of {witness.seen} moves judged: gap to the optimum {found.p50_pct:.3g} % (median), "
        f"{found.p95_pct:.3g} % (95 %), {found.max_pct:.3g} % (largest); {found.unsolved} not solved, "
        f"{witness.fallbacks} decisions were not the solver's"
    )
    if found.judged == 0 or (limit is not None and found.p95_pct > limit):
        sys.exit(1)


def _told(found: Certificate, witness: Witness, gaps: list[Gap]) -> dict[str, Any]:
    rows = [{**asdict(gap), "percent": gap.percent} for gap in gaps]
    return {**asdict(found), "moves": witness.seen, "fallbacks": witness.fallbacks, "gaps": rows}


@dataclass
class Witness:
    """A controller that is looked over the shoulder: it decides as it would alone, and what from is kept.

    every: which decisions are kept; those that the ladder made, not the solver, are counted only.
    """

    every: int
    bundle: ControllerBundle | None = None
    controller: Controller | None = None
    made: list[Made] = field(default_factory=list)
    seen: int = 0
    fallbacks: int = 0

    def around(self, line: Line) -> Line:
        """The line with its controller watched. Raises ConfigError for a line that is not controlled."""
        if line.control is None:
            raise ConfigError("this journal's line has no controller: there is nothing to certify")
        self.controller, settings = line.control.controller, line.control.settings
        # The bundle as it is stored: what the line runs may be machine code, which has no derivatives.
        self.bundle = load_controller(settings, bundle_folder(settings.controller))
        return replace(line, control=replace(line.control, controller=self))

    def decide(self, situation: Situation, memory: Any) -> tuple[Decision, Any]:
        """As the controller itself."""
        assert self.controller is not None, "a witness stands beside a controller"
        assert self.bundle is not None, "it knows the bundle as well"
        decision, after = self.controller.decide(situation, memory)
        if decision.status != "ok":
            self.fallbacks += 1
        elif self.seen % self.every == 0:
            self.made.append(_made(self.bundle, situation, decision))
        self.seen += decision.status == "ok"
        return decision, after

    def prepare(self, memory: Any) -> Any:
        """As the controller itself."""
        assert self.controller is not None, "a witness stands beside a controller"
        return self.controller.prepare(memory)


def _made(bundle: ControllerBundle, situation: Situation, decision: Decision) -> Made:
    scale = factors(bundle, situation)
    return Made(
        time_s=situation.time_s,
        x0=np.array(situation.belief.state),
        before=np.array([situation.working[name] for name in bundle.inputs]) / scale,
        P=bundle.targets(situation.target, bundle.horizon_steps + 1, situation.hasty_s),
        bounds=room(bundle, situation),
        move=np.array([decision.setpoints[name] for name in bundle.inputs]) / scale,
    )
