"""`patloop hil ...`: the simulated line on the wire, and calibration blends."""

from __future__ import annotations

from pathlib import Path

import click

from hil_sim.rig import PlcKind
from hil_sim.trial_command import trials
from hil_sim.upset_command import upsets


class WrongInput(click.ClickException):
    """Input or configuration is wrong: one line, exit code 2."""

    exit_code = 2


@click.group()
def hil() -> None:
    """The simulated line: serve it over OPC UA, or make calibration blends with its probe.

    \b
    Example:
      patloop hil serve deploy/lines/cdc_ref_1.toml --scenario hidden_loss --speed 10
    """


@hil.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option("--scenario", default="nominal", show_default=True, help="Scenario name, or a .toml file.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(min=0.01), help="Line s per wall s.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Seed of all randomness.")
@click.option("--state", default=Path("out/hil"), show_default=True, type=click.Path(path_type=Path, file_okay=False),
              help="Folder for certificates and accounts (made on first run).")
@click.option("--await-controller", default=0.0, show_default=True, type=click.FloatRange(min=0),
              help="Wall seconds that line time stands still for a first controller heartbeat.")
@click.option("--hours", default=None, type=click.FloatRange(min=0, min_open=True), help="Stop after these line hours.")
@click.option("--plc", default="full", show_default=True, type=click.Choice(["full", "plain"]),
              help="Handshake of its PLC; plain: only request, permit, heartbeat and setpoints.")
def serve(
    line_file: Path, scenario: str, speed: float, seed: int, state: Path, await_controller: float, hours: float | None,
    plc: PlcKind,
) -> None:
    """Serve the simulated line of LINE.toml over OPC UA until interrupted or the scenario's hours are over.

    \b
    Example:
      patloop hil serve deploy/lines/cdc_ref_1.toml --scenario bridge --speed 20 --state out/hil
    Put the client's certificate (*.der) into STATE/trusted; STATE/server.der is the server's.
    """
    from hil_sim.console import serve_with_progress
    from hil_sim.endpoint import EndpointError, load_endpoint
    from hil_sim.line.parameters import ParameterError
    from hil_sim.scenario import ScenarioError, load_scenario

    try:
        endpoint = load_endpoint(line_file)
        played = load_scenario(scenario)
        if hours is not None:
            played = played.model_copy(update={"hours": hours})
        serve_with_progress(
            endpoint, played, seed=seed, speed=speed, state=state, await_controller_s=await_controller,
            plc=plc,
        )
    except (EndpointError, ScenarioError, ParameterError) as error:
        raise WrongInput(str(error)) from error


@hil.command()
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the CSVs.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Seed of design and noise.")
def blends(out: Path, seed: int) -> None:
    """Make designed calibration blends: spectra.csv and reference.csv (group column: blend).

    \b
    Example:
      patloop hil blends --out out/blends
    """
    from hil_sim.blends import designed_blends, write_blends

    made = designed_blends(seed)
    try:
        spectra, reference = write_blends(made, out)
    except OSError as error:
        raise WrongInput(f"{out}: cannot be written: {error.strerror}: choose another --out") from error
    click.echo(f"{len(made.sample_ids)} spectra of {len({row[-1] for row in made.reference})} blends: "
               f"{spectra}, {reference}")


hil.add_command(upsets)
hil.add_command(trials)
