"""python -m deploy.bench: every side-by-side comparison -> out/bench.json."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from deploy import sensor_bench
from deploy.side_by_side import Row


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/bench.json"), show_default=True)
def bench(out: Path) -> None:
    """Measure ours and peers in turns and write the rows.

    \b
    Example:
      python -m deploy.bench --out out/bench.json
    """
    with Console(stderr=True).status("starting") as status:
        rows = list(sensor_bench.rows(status.update))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    Console().print(_table(rows))
    click.echo(f"{out}: {len(rows)} rows")


def _table(rows: list[Row]) -> Table:
    table = Table("what", "peer", "ours µs p50 / p99", "peer µs p50 / p99", "ratio p50")
    for r in rows:
        table.add_row(r.name, r.peer, f"{1e3 * r.ours_ms_p50:.1f} / {1e3 * r.ours_ms_p99:.1f}",
                      f"{1e3 * r.peer_ms_p50:.1f} / {1e3 * r.peer_ms_p99:.1f}", f"{r.ratio_p50:.2f}")
    return table


if __name__ == "__main__":
    bench()
