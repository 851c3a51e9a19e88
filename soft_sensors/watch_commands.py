"""patloop sensor watch and patloop sensor instrument: may sensor and instrument still be trusted?"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from soft_sensors.console import FILE, InputError, one_line, progress
from soft_sensors.read import read_spectra
from soft_sensors.watch.instrument import InstrumentRecord, VerificationError
from soft_sensors.watch.plan import Standards, read_plan, verify
from soft_sensors.watch.records import write_record
from soft_sensors.watch.run import Watched
from soft_sensors.watch.run import watch as watch_stream
from soft_sensors.watch.tables import read_results, read_stream, seconds

Positive = click.FloatRange(min=0.0, min_open=True)


@click.command("watch")
@click.option("--predictions", type=FILE, required=True, metavar="P.csv", help="Predictions with a time column.")
@click.option("--lab", type=FILE, required=True, metavar="L.csv", help="Results with sample_id or time of sampling.")
@click.option("--target", metavar="COL", default="value", show_default=True, help="Column of the results.")
@click.option("--out", type=FILE, required=True, metavar="FOLDER", help="Folder for chart.html, chart.png, watch.json.")
@click.option("--bound", type=Positive, required=True, help="Largest bias update that was declared beforehand.")
@click.option("--sigma", type=Positive, help="SD of one difference; by default from the first twenty.")
@click.option("--since", metavar="TIME", default="", help="Last bias update; differences before it do not count.")
@click.option("--tolerance", type=Positive, default=30.0, show_default=True, help="Seconds, for joining by time.")
@click.option("--unit", default="", help="Unit of the target, for the chart.")
@one_line
def watch_command(
    predictions: Path, lab: Path, target: str, out: Path, bound: float, sigma: float | None, since: str,
    tolerance: float, unit: str,
) -> None:
    """Chart a soft sensor against the laboratory; exit 1 when an alarm stands.

    \b
    Example:
      patloop sensor watch --predictions P.csv --lab L.csv --target api_pct --bound 0.3 --out out/watch
    """
    stream, results = read_stream(predictions), read_results(lab, target)
    since_s = seconds(since, "--since") if since else -math.inf
    with progress(f"watching {len(stream)} predictions") as say:
        watched = watch_stream(stream, results, tolerance, bound, sigma, since_s)
        if not watched.paired.points:
            raise InputError(f"{lab}: no result meets a prediction, by sample_id or within {tolerance:g} s")
        if not watched.chart.sigma > 0:
            raise InputError(f"{lab}: too few differing results to find sigma; give --sigma")
        say("drawing")
        from soft_sensors.watch.report import write_chart

        write_chart(watched, unit, f"{target}: soft sensor against laboratory", out)
    (out / "watch.json").write_text(json.dumps(_figures(watched), indent=2) + "\n", encoding="utf-8")
    click.echo(f"{out / 'chart.html'}: {len(watched.paired.points)} paired results, "
               f"{len(watched.alarms)} alarm(s) standing")
    for text in watched.alarms:
        click.echo(f"alarm: {text}", err=True)
    if watched.alarms:
        sys.exit(1)


def _figures(watched: Watched) -> dict[str, object]:
    chart, paired = watched.chart, watched.paired
    covered = {name: {k: v if math.isfinite(v) else None for k, v in asdict(report).items()}
               for name, report in (("as_issued", watched.as_issued), ("adapted", watched.adapted))}
    return {
        "n": len(paired.points), "mean_difference": float(chart.differences.mean()), "sigma": chart.sigma,
        "ewma": float(chart.ewma[-1]), "alarms": list(watched.alarms),
        "flags": [{"sample_id": paired.points[f.index].sample_id, "rule": f.rule} for f in chart.flags],
        "bias_update": None if chart.update is None else asdict(chart.update), "coverage_90": covered,
        "drift_learning": watched.learning, "unmatched": list(paired.unmatched), "missing": list(paired.missing),
        "corrected": list(paired.corrected),
    }


@click.command("instrument")
@click.option("--plan", type=FILE, required=True, metavar="PLAN.toml", help="What is tested, and the certified values.")
@click.option("--spectra", type=FILE, required=True, multiple=True, help="Spectra of the standards; may be repeated.")
@click.option("--time", "when", required=True, metavar="TIME", help="When they were measured, ISO 8601 or seconds.")
@click.option("--json", "json_file", type=FILE, metavar="F", help="Write the record to this file.")
@one_line
def instrument_command(plan: Path, spectra: tuple[Path, ...], when: str, json_file: Path | None) -> None:
    """Verify an instrument with spectra of standards; exit 1 when a figure is outside its limits.

    \b
    A plan names the instrument, axis_unit, valid_days, and tests: [[axis]], [[linearity]], [[noise]].
    Example:
      patloop sensor instrument --plan nir_1.toml --spectra standards.csv --time 2026-05-04T08:00:00Z --json record.json
    """
    asked = read_plan(plan)
    time_s = seconds(when, "--time")
    if not math.isfinite(time_s):
        raise click.UsageError("--time is empty: when were the standards measured?")
    record = verify(asked, _standards(spectra, asked.axis_unit), time_s)
    _show(record)
    if json_file is not None:
        write_record(record, json_file)
    if not record.passed:
        sys.exit(1)


def _standards(paths: tuple[Path, ...], axis_unit: str) -> Standards:
    tables = [read_spectra(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if table.axis_unit not in ("", axis_unit):
            raise VerificationError(f"{path}: its axis is in {table.axis_unit}, the plan's in {axis_unit}")
        if table.axis.shape != tables[0].axis.shape or (table.axis != tables[0].axis).any():
            raise VerificationError(f"{path}: its axis is not that of {paths[0]}; one instrument has one axis")
    return Standards(tables[0].axis, {s: row for t in tables for s, row in zip(t.sample_ids, t.values, strict=True)})


def _show(record: InstrumentRecord) -> None:
    table = Table("figure", "value", "limits", "")
    for f in record.figures:
        table.add_row(f.name, f"{f.value:.4g} {f.unit}".strip(), f"{f.low:g} to {f.high:g}",
                      "passed" if f.passed else "FAILED")
    Console().print(table)
    until = datetime.fromtimestamp(record.valid_until_s, UTC).date().isoformat()
    click.echo(f"{record.instrument}: " + (f"passed, valid until {until}" if record.passed else "failed"))
