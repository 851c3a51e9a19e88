"""The one command: every package's commands, found by entry points and loaded only when called."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points

import click

GROUP = "patloop.commands"


class LazyGroup(click.Group):
    """A click group whose commands are entry points, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted({point.name for point in entry_points(group=GROUP) if " " not in point.name})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        points = entry_points(group=GROUP)
        found = [point for point in points if point.name == cmd_name]
        if not found:
            return None
        command = _load(found[0])
        if isinstance(command, click.Group):
            _join(command, [point for point in points if point.name.startswith(f"{cmd_name} ")])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = self.get_command(ctx, name)
            except click.ClickException:
                continue  # an extra is not installed: the command is simply not there
            if command is not None:
                rows.append((name, command.get_short_help_str(90)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _join(group: click.Group, points: list[EntryPoint]) -> None:
    """Put in the commands that a higher package adds to a lower one's group: their names are paths, "group command"."""
    for point in points:
        group.add_command(_load(point), point.name.split(" ", 1)[1])


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        ours = {"soft_sensors", "control", "edge", "hil_sim", "deploy"}
        if error.name and error.name.split(".")[0] in ours:
            raise
        raise click.ClickException(
            f"'patloop {point.name}' needs the package '{error.name}', which is not installed on this machine"
        ) from error
    if not isinstance(command, click.Command):
        raise TypeError(f"entry point {point.name} is not a command")
    return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="patloop")
def patloop() -> None:
    """Closes the quality loop of a continuous pharmaceutical line.

    \b
    Example:
      patloop demo --out out/demo
    """


def main() -> None:
    """Run the command line; errors of the user are one line on stderr and exit code 2."""
    try:
        answer = patloop(standalone_mode=False)  # the code of an Exit raised inside a command comes back as a value
        sys.exit(answer if isinstance(answer, int) else 0)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.UsageError as error:
        where = f" (see: {error.ctx.command_path} --help)" if error.ctx is not None else ""
        click.echo(f"error: {error.format_message()}{where}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(error.exit_code if error.exit_code != 1 else 2)


if __name__ == "__main__":
    main()
