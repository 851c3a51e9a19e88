"""python -m deploy.fuzz: every target in turns -> out/fuzz.json; findings become tests; exit 1 then."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from deploy.fuzz.hunt import Finding, hunt, store
from deploy.fuzz.lines import ROOT
from deploy.fuzz.target import Target
from deploy.fuzz.targets import targets

FINDINGS = ROOT / "tests" / "edge" / "fuzz_findings"
SPELL_S = 10.0


@dataclass
class Tally:
    """What one target came to over all its spells."""

    executions: int = 0
    spent_s: float = 0.0
    kept: tuple[bytes, ...] = ()
    reached: set[tuple[str, int, int]] = field(default_factory=set)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.05), default=60.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--only", multiple=True, help="names of targets (default: all)")
@click.option("--findings", type=click.Path(path_type=Path), default=FINDINGS, help="where findings are kept")
@click.option("--json", "out", type=click.Path(path_type=Path), default=Path("out/fuzz.json"), show_default=True)
def fuzz(minutes: float, seed: int, only: tuple[str, ...], findings: Path, out: Path) -> None:
    """Spoil what comes from outside, in every way that reaches new lines, and see what the parsers make of it.

    \b
    Example:
      python -m deploy.fuzz --minutes 60
      python -m deploy.fuzz --minutes 1 --only jcamp --only spc
    """
    chosen = [t for t in targets() if not only or t.name in only]
    unknown = sorted(set(only) - {t.name for t in chosen})
    if unknown:
        raise click.ClickException(f"no target {unknown[0]!r}; there are: {', '.join(t.name for t in targets())}")
    tallies = _play(chosen, minutes, seed, findings)
    _report(tallies, out)


def _play(chosen: list[Target], minutes: float, seed: int, findings: Path) -> dict[str, Tally]:
    tallies = {target.name: Tally() for target in chosen}
    spell_s = min(SPELL_S, 60 * minutes / len(chosen))
    began, turn = time.monotonic(), 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=60 * minutes)
        while turn < len(chosen) or time.monotonic() - began + spell_s / 2 < 60 * minutes:
            target = chosen[turn % len(chosen)]
            tally = tallies[target.name]
            found = sum(len(t.findings) for t in tallies.values())
            progress.update(task, completed=time.monotonic() - began, description=f"{target.name}, {found} found")
            done = hunt(target, spell_s, seed * 1_000_003 + turn, tally.kept)
            tally.executions, tally.spent_s = tally.executions + done.executions, tally.spent_s + done.spent_s
            tally.kept, tally.reached = done.kept, tally.reached | done.known
            for finding in done.findings:
                if finding.key not in tally.findings:
                    tally.findings[finding.key] = finding
                    store(finding, findings)
            turn += 1
    return tallies


def _report(tallies: dict[str, Tally], out: Path) -> None:
    told = {
        name: {
            "executions": tally.executions, "per_s": round(tally.executions / max(tally.spent_s, 1e-9), 1),
            "lines_reached": len(tally.reached), "kept": len(tally.kept),
            "findings": [{"what": f.what, "where": f.where, "bytes": len(f.raw), "story": f.story}
                         for f in tally.findings.values()],
        } for name, tally in tallies.items()
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    found = 0
    for name, tally in tallies.items():
        click.echo(f"{name:16} {tally.executions:8d} executions  {len(tally.reached):5d} pairs of lines  "
                   f"{len(tally.findings)} findings")  # fmt: skip
        for finding in tally.findings.values():
            found += 1
            click.echo(f"  FOUND {finding.where}: {finding.what}")
    click.echo(f"{out}: {sum(t.executions for t in tallies.values())} executions, {found} findings")
    if found:
        sys.exit(1)


if __name__ == "__main__":
    try:
        fuzz(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
