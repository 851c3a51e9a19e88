"""spoilt journals -> is all of it found, and do both verifiers say the same? (`make tampering`)"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from deploy.tamper.journals import Case, cases, read_back
from deploy.tamper.ways import WAYS, Way, flip
from edge.errors import RecorderError
from edge.record.standalone_verifier import judge
from edge.record.verify import verify

FLIP = "flip a byte"


@dataclass
class Tally:
    """How often something was done; found: verify tells; changed_nothing: it does not, and every record reads as it did
    (space that holds no record: a digest of the closed file would tell that, too); missed: all else."""

    tried: int = 0
    found: int = 0
    changed_nothing: int = 0
    missed: int = 0


@dataclass
class Tampering:
    """What a campaign found.

    disagree: trials that only one of the two verifiers found; elsewhere: both found it, and where several things were
    wrong at once they named another one first.
    """

    seed: int
    trials: int = 0
    found: int = 0
    changed_nothing: int = 0
    missed: list[str] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    ways: dict[str, Tally] = field(default_factory=dict)


def campaign(flips: int, others: int, seed: int, tell: Callable[[int, int], None]) -> Tampering:
    """Do each of the other ways so often, then flip bytes until so many flips were not in empty space, on every kind of
    journal in turn; tell is called with how much is done and how much there is."""
    plan = [found for found in WAYS.items() for _ in range(others)]
    result, total = Tampering(seed), len(plan) + flips
    with tempfile.TemporaryDirectory() as scratch:
        made, now = cases(Path(scratch)), Path(scratch) / "now"
        for number, (name, way) in enumerate(plan):
            _try(result, name, way, made[number % len(made)], now)
            tell(number + 1, total)
        hits = 0
        while hits < flips:
            hits += _try(result, FLIP, flip, made[result.trials % len(made)], now)
            tell(len(plan) + hits, total)
    return result


def _try(result: Tampering, name: str, way: Way, case: Case, folder: Path) -> bool:
    """One trial; whether it changed anything that a reader or a verifier can see."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(case.folder, folder)
    path, tally = folder / case.file, result.ways.setdefault(name, Tally())
    way(case, path, random.Random(f"{result.seed} {result.trials}"))
    ours = verify(path, None, [case.anchor], case.key)
    theirs = judge(path, [case.anchor], [] if case.key is None else [case.key])
    trial = f"{name}, trial {result.trials} ({case.name})"
    result.trials += 1
    tally.tried += 1
    same_place = ours.first_bad_seq == theirs.bad_seq or ours.first_bad_seq is None or theirs.bad_seq is None
    told = f"{trial}: {ours.reason or 'sound'} / {theirs.reason or 'sound'}"
    if ours.ok == bool(theirs.reason):
        result.disagree.append(told)
    elif not same_place:
        result.elsewhere.append(told)
    if not ours.ok:
        tally.found += 1
        result.found += 1
    elif _reads_as_before(path, case):
        tally.changed_nothing += 1
        result.changed_nothing += 1
    else:
        tally.missed += 1
        result.missed.append(trial)
        return True
    return not ours.ok


def _reads_as_before(path: Path, case: Case) -> bool:
    try:
        return read_back(path) == case.records
    except RecorderError:
        return False


@click.command()
@click.option(
    "--flips", default=10_000, show_default=True, type=click.IntRange(0), help="Bytes flipped that hold something."
)
@click.option("--others", default=200, show_default=True, type=click.IntRange(0), help="Each other way so often.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="out/tampering.json", show_default=True)
def main(flips: int, others: int, seed: int, out: Path) -> None:
    """Spoil journals and see that verify finds it, with one anchor kept elsewhere (exit 1: something was missed).

    \b
    Example:
      python -m deploy.tamper.campaign --flips 1000 --others 20
    """
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("tampering", total=None)
        found = campaign(flips, others, seed, lambda done, total: bar.update(task, completed=done, total=total))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    for name, tally in found.ways.items():
        click.echo(f"{name}: {tally.found} of {tally.tried} found, {tally.changed_nothing} changed no record")
    click.echo(
        f"{found.trials} trials: {found.found} found, {found.changed_nothing} changed no record, "
        f"{len(found.missed)} missed; the stand-alone verifier judged {len(found.disagree)} otherwise and named "
        f"another damage first in {len(found.elsewhere)} -> {out}"
    )
    if found.missed or found.disagree:
        click.echo("\n".join([*found.missed, *found.disagree][:20]), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
