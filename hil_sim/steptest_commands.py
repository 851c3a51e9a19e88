"""`patloop control steptest`: a bounded step test of one feeder, played on the simulated line."""

from __future__ import annotations

import sys
from pathlib import Path

import click

WAYS = ("fopdt", "sopdt")


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--variable", required=True, help="feeder to test, as the line file names it")
@click.option("--amplitude", default=2.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="% of the feeder's ratio; cut to what its limits and the quality leave")
@click.option("--minutes", default=60.0, show_default=True, type=click.FloatRange(min=1), help="length of the test")
@click.option("--switch", "switch_s", default=400.0, show_default=True, type=click.FloatRange(min=10),
              help="s between possible switches")
@click.option("--limit", default=4.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="API may be this far from its target, %; the test aborts before")
@click.option("--shape", type=click.Choice(["prbs", "step"]), default="prbs", show_default=True)
@click.option("--order", type=click.Choice(WAYS), default="fopdt", show_default=True,
              help="one lag with dead time, or two equal ones")
@click.option("--simulate", is_flag=True, help="play it on the simulated line")
@click.option("--scenario", default="nominal", show_default=True, help="scenario name, or a .toml file")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the report")
def steptest(
    line_file: Path, variable: str, amplitude: float, minutes: float, switch_s: float, limit: float, shape: str,
    order: str, simulate: bool, scenario: str, seed: int, out: Path,
) -> None:  # fmt: skip
    """Excite one feeder within limits and read gain, lag and dead time from the API's answer.

    On a real line the same test is the controller 'steptest' with a table [controller.steptest] in the line file.
    Exit code 1: aborted, or the answer does not tell the gain from zero.

    \b
    Example:
      patloop control steptest deploy/lines/cdc_ref_1.toml --variable FeederApi --amplitude 2 --minutes 60 \\
        --simulate --out out/steptest
    """
    from rich.console import Console
    from rich.progress import Progress

    from control.settings import StepTestSettings
    from edge.commands import told
    from edge.errors import ConfigError
    from hil_sim.scenario import ScenarioError, load_scenario
    from hil_sim.steptest_run import compose_test, play, write_report

    with told():
        if not simulate:
            raise ConfigError(
                "a step test on a real line is a controller: set name = 'steptest' in [controller] and add "
                "[controller.steptest]; to play it on the simulated line add --simulate"
            )
        asked = StepTestSettings.model_validate({
            "variable": variable, "amplitude_pct": amplitude, "length_min": minutes, "switch_s": switch_s,
            "api_limit_lc_pct": limit, "shape": shape,
        })  # fmt: skip
        try:
            played = load_scenario(scenario)
        except ScenarioError as error:
            raise ConfigError(str(error)) from error
        line, made, target = compose_test(line_file, asked)
        if made.cut:
            click.echo(f"amplitude cut: {made.cut}", err=True)
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task("playing", total=1.0)
            outcome = play(line, made, target, asked, played, seed, "sopdt" if order == "sopdt" else "fopdt",
                           lambda share: progress.update(bar, completed=share))  # fmt: skip
        try:
            write_report(outcome, out, asked.model_dump())
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); choose another place") from error
    found = outcome.found
    if found is None:
        click.echo(outcome.not_found)
    else:
        for name, value, unit in (("gain", found.gain, "% w/w a kg/h"), ("time constant", found.time_constant_s, "s"),
                                  ("dead time", found.dead_time_s, "s")):  # fmt: skip
            click.echo(f"{name:14} {value.value:8.3g}  ({value.low:.3g} to {value.high:.3g}) {unit}")
        click.echo(f"{'true gain':14} {outcome.true_gain:8.3g}  (mass balance of the simulated feeders)")
    click.echo(f"API at most {outcome.largest_off_lc_pct:.2f} % off its target (limit {outcome.limit_lc_pct:g} %)")
    click.echo(f"report: {out / 'report.json'}, {out / 'report.png'}")
    if not outcome.good:
        sys.exit(1)
