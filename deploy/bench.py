"""python -m deploy.bench: every side-by-side comparison -> out/bench.json, facts of the service beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from control.errors import ControlError
from deploy import control_bench, cycle_bench, record_bench, sensor_bench, service_facts
from deploy.service_facts import Fact
from deploy.side_by_side import Row
from edge.errors import PatloopError


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/bench.json"), show_default=True)
@click.option("--model", type=click.Path(path_type=Path), help="only control and estimation, on your own model file")
def bench(out: Path, model: Path | None) -> None:
    """Measure ours and peers in turns and write the rows; facts of the service go to bench_facts.json beside them.

    \b
    Example:
      python -m deploy.bench --out out/bench.json
      python -m deploy.bench --model examples/control_model.py --out out/mine.json
    """
    found: list[Fact] = []
    with Console(stderr=True).status("starting") as status:
        try:
            rows = [] if model else list(sensor_bench.rows(status.update))
            rows += control_bench.rows(status.update, model)
            if not model:
                whole = cycle_bench.compared(status.update)
                rows.append(whole.row)
                told = list(record_bench.rows(status.update))
                rows += [row for row in told if isinstance(row, Row)]
                found += [fact for fact in told if isinstance(fact, Fact)]
                found += [*service_facts.facts(status.update), whole.fact()]
        except (ControlError, PatloopError) as error:
            raise click.ClickException(str(error)) from error
    _write(out, rows)
    Console().print(_table(rows))
    click.echo(f"{out}: {len(rows)} rows")
    if found:
        beside = out.with_name("bench_facts.json")
        _write(beside, found)
        for fact in found:
            click.echo(f"{fact.name}: {fact.value:.3g} {fact.unit} (at most {fact.budget:g})")
        click.echo(f"{beside}: {len(found)} facts")


def _write(out: Path, rows: Sequence[Row | Fact]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")


def _table(rows: list[Row]) -> Table:
    table = Table("what", "peer", "ours µs p50 / p99", "peer µs p50 / p99", "ratio p50 / p99", "equal result")
    for r in rows:
        table.add_row(r.name, r.peer, f"{1e3 * r.ours_ms_p50:.1f} / {1e3 * r.ours_ms_p99:.1f}",
                      f"{1e3 * r.peer_ms_p50:.1f} / {1e3 * r.peer_ms_p99:.1f}",
                      f"{r.ratio_p50:.2f} / {r.ratio_p99:.2f}", r.equal_result)  # fmt: skip
    return table


if __name__ == "__main__":
    try:
        bench(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
