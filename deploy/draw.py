"""`patloop draw`: the loop as it is configured, on the terminal or as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.loop_parts import HEADINGS, Loop, Part


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="picture to write: .svg or .png")
def draw(line_file: Path, out: Path | None) -> None:
    """Draw the loop as configured: analyser, soft sensor, controller, limits, modes, tags; without --out as text.

    \b
    Example:
      patloop draw deploy/lines/cdc_ref_1.toml --out out/loop.svg
    """
    from deploy.loop_parts import parts_of
    from edge.commands import told
    from edge.config import read_config
    from edge.errors import ConfigError

    with told():
        if out is not None and out.suffix not in (".svg", ".png"):
            raise ConfigError(f"--out {out}: a picture is .svg or .png; change the name")
        config, _ = read_config(line_file)
        loop = parts_of(config, line_file.name)
        if out is None:
            show(loop)
            return
        from deploy.loop_picture import write_picture

        try:
            write_picture(loop, out)
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); choose another place") from error
    click.echo(f"wrote {out}")


def show(loop: Loop) -> None:
    """Print the loop as a tree, with every tag and number."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.tree import Tree

    def grow(tree: Tree, part: Part) -> None:
        branch = tree.add(f"[bold]{part.verb}[/bold]: {escape(part.title)}")
        for line in part.lines:
            branch.add(escape(line))
        if part.missing:
            branch.add(f"[bold red]not readable:[/bold red] {escape(part.missing)}")
        if part.details:
            leaf = branch.add("in detail", style="dim")
            for line in part.details:
                leaf.add(escape(line))

    console = Console()
    tree = Tree(f"[bold]{escape(loop.name)}[/bold] ({escape(loop.source)})")
    for part in (*loop.steps, *loop.beside):
        grow(tree, part)
    console.print(tree)
    if loop.setpoints:
        table = Table(*HEADINGS, box=None, padding=(0, 1, 0, 0))
        for row in loop.setpoints:
            table.add_row(*row)
        console.print(table)
