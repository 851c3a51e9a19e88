"""`patloop demo`: the whole product in one command, on one machine."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from deploy.demo import Shift, Stage
    from hil_sim.bench import Run
    from hil_sim.rig import Rig
    from hil_sim.scenario import Scenario

RIVALS = ("ratio", "pid", "mpc")


@click.command()
@click.option("--scenario", default="hidden_loss", show_default=True, help="scenario name or .toml file")
@click.option("--hours", type=click.FloatRange(min=0.3), default=2.0, show_default=True, help="length of the shift")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("out/demo"), show_default=True)
@click.option("--speed", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="line s per wall s")
@click.option("--serve", is_flag=True, help="show the operator's page while it runs, and afterwards until Ctrl-C")
def demo(scenario: str, hours: float, seed: int, out: Path, speed: float, serve: bool) -> None:
    """Play a shift on a simulated line over a real, encrypted wire, and compare ratio control, PID and MPC.

    \b
    Example:
      patloop demo --scenario nir_drift --out out/drift
    """
    from edge.commands import told
    from edge.errors import ConfigError
    from hil_sim.scenario import ScenarioError, load_scenario

    with told():
        try:
            played = load_scenario(scenario).model_copy(update={"hours": hours})
        except ScenarioError as error:
            raise ConfigError(str(error)) from error
        _demo(Console(), played, seed, out, speed, serve=serve)


def _demo(console: Console, played: Scenario, seed: int, out: Path, speed: float, *, serve: bool) -> None:
    from deploy.demo import play, prepare

    port = free_port()
    console.print(f"[bold]patloop demo[/bold]: scenario [bold]{played.name}[/bold], {played.hours:g} h, seed {seed}")
    console.print(played.description)
    stage = prepare(out, port)
    console.print(f"certificates for both ends, accounts and line file are in {out}")
    page = start_page(console, stage) if serve else None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_polite) as rivals:
        waiting = [rivals.submit(rival, stage.line_file, name, played, seed) for name in RIVALS]
        try:
            with Live(console=console, refresh_per_second=4, transient=False) as live:
                shift = asyncio.run(
                    play(stage, port, played, seed, speed, lambda s, r, body: live.update(screen(s, r, body, waiting)))
                )
            with console.status("the rivals' shifts in lock-step: ratio control, PID, MPC"):
                runs = {name: job.result() for name, job in zip(RIVALS, waiting, strict=True)}
        except BaseException:
            rivals.shutdown(wait=False, cancel_futures=True)
            for worker in active_children():  # nobody waits for a shift that nobody will look at
                worker.terminate()
            raise
    report(console, stage, played, seed, shift, runs)
    if page is not None:
        console.print("the page stays up until Ctrl-C")
        try:
            page.wait()
        finally:
            page.terminate()


def _polite() -> None:
    import os

    os.nice(10)  # the wire comes first


def rival(line_file: Path, name: str, played: Scenario, seed: int) -> Run:
    """One controller's shift in lock-step, on the same seed."""
    from hil_sim.bench import compose_for, run_one

    return run_one(compose_for(line_file, name), played, seed)


def screen(shift: Shift, rig: Rig, body: dict[str, Any], waiting: list[Future[Run]]) -> Table:
    """The live picture of the shift as the journal tells it."""
    thought, sample = body["thought"], body["sample"]
    estimate, belief, command, target = (thought[k] for k in ("estimate", "belief", "command", "target"))
    grid = Table(show_header=False, box=None, padding=(0, 2))
    done = 100 * rig.elapsed_s / (3600 * rig.scenario.hours)
    minutes = (sample["time_s"] - rig.start_time_s) / 60
    compared = sum(job.done() for job in waiting)
    grid.add_row("line time", f"{minutes:6.1f} min of {60 * rig.scenario.hours:.0f}  ({done:.0f} %)")
    grid.add_row("link, mode", f"{sample['link']}, {thought['mode']}, handshake {thought['handshake']}")
    if target is not None and estimate is not None:
        nominal = 100 / target["api_pct"]
        low, value, high = (nominal * estimate[k] for k in ("lower", "value", "upper"))
        grid.add_row("NIR estimate", f"{value:6.1f} % LC  [{low:.1f} .. {high:.1f}]  {estimate['quality']}")
    if target is not None and belief is not None:
        nominal = 100 / target["api_pct"]
        half = 1.645 * nominal * belief["api_sigma_pct"]
        grid.add_row("belief", f"{nominal * belief['api_pct']:6.1f} % LC ± {half:.1f}")
    grid.add_row(
        "true API", f"{shift.truths[-1].api_lc_pct:6.1f} % LC  (only the simulator knows)" if shift.truths else "-"
    )
    for name, value in command["recommended"].items():
        now = sample["readings"].get(f"{name}.SP_Working", {}).get("value", float("nan"))
        grid.add_row(name, f"{now:8.3f} -> {value:8.3f}")
    reason = "" if thought["decision"] is None else thought["decision"]["reason"]
    grid.add_row("reason", "; ".join([reason, *command["reasons"]])[:160])
    alarms = "; ".join(a["text"] for a in thought["alarms"][:3])
    grid.add_row("alarms", alarms or "none", style="bold red" if alarms else "")
    grid.add_row("comparison", f"{compared} of {len(waiting)} lock-step shifts done")
    return grid


def report(console: Console, stage: Stage, played: Scenario, seed: int, shift: Shift, runs: dict[str, Run]) -> None:
    """Write table, figure and page, and say where everything is."""
    import json

    from deploy.figure import draw, page
    from edge.record.verify import verify
    from hil_sim.bench import loss_at_s
    from hil_sim.bench_commands import show
    from hil_sim.kpi import Trace, kpis
    from hil_sim.summary import markdown, table

    figures = kpis(Trace.of(shift.truths), 60 * played.judged_from_min, loss_at_s(played))
    wired = {"scenario": played.name, "controller": "mpc on the wire", "seed": seed, **figures}
    rows = [run.row for run in runs.values()] + [wired]
    lines = table(rows)
    (stage.out / "kpi.md").write_text(markdown(lines) + "\n")
    (stage.out / "kpi.json").write_text(json.dumps(rows, indent=1))
    title = f"{played.name}: {played.description}"
    png = stage.out / "shift.png"
    with console.status("drawing the figure"):
        draw(shift, {name: run.trace for name, run in runs.items()}, title, png)
        checked = verify(stage.journal)
    facts = [
        f"{len(shift.cycles)} cycles over OPC UA (Basic256Sha256, SignAndEncrypt) in {shift.wall_s:.0f} s of wall time",
        f"journal: {checked.n} records, hash chain {'intact' if checked.ok else 'BROKEN: ' + checked.reason}",
        f"lock-step runs on seed {seed}; command: patloop demo --scenario {played.name} --seed {seed}",
    ]
    page(png, lines, title, facts, stage.out / "report.html")
    show(lines)
    for fact in facts:
        console.print(fact)
    for name in ("journal.sqlite", "kpi.md", "shift.png", "report.html"):
        console.print(f"  {stage.out / name}")
    console.print(f"next: patloop replay {stage.journal}   (compute every decision again)")


def start_page(console: Console, stage: Stage) -> subprocess.Popen[bytes]:
    """The operator's page in a process of its own; its one-time password is printed by it."""
    port = free_port()
    argv = [sys.executable, "-m", "deploy.cli", "hmi", str(stage.line_file), "--port", str(port)]
    console.print(f"operator's page: http://127.0.0.1:{port}")
    return subprocess.Popen(argv)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found
