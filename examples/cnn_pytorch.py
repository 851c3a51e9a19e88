"""Train a small convolutional network in PyTorch, wrap it as a soft sensor, and hold it against PLS.

    pip install 'patloop[calibrate,torch]'
    python examples/cnn_pytorch.py --spectra S.csv --reference R.csv --target api_pct --group batch --out OUT_DIR

The groups are split three ways, whole and seeded: three fifths to train on (a quarter of these decides when to stop),
a fifth for `sensor wrap` to find interval and limits, a fifth for `sensor validate`. `sensor calibrate` then fits on
the network's training samples, and on these with the wrapping fifth, for which it has better use: it needs no samples
of its own for an interval. Nothing is chosen on the last fifth; with a few dozen samples in it, figures within ten per
cent of each other are equal.
Network: SNV, three convolutions, two dense layers; offset, tilt, gain and noise are varied while training (Bjerrum,
Glahder, Skov 2017, arXiv 1710.01927).
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from numpy.typing import NDArray
from torch import nn  # type: ignore[import-not-found,unused-ignore]

from soft_sensors.read import read_reference, read_spectra
from soft_sensors.read.join import join

FloatArray = NDArray[np.float64]
PATIENCE, BATCH, RATE, DECAY = 250, 16, 1e-3, 1e-3  # our choice, not tuned on either real set
MEMBERS = 3  # networks from different starts, averaged in one graph: one start alone is a throw of dice


@dataclass(frozen=True)
class Set:
    """Samples: spectra [n, channels], the value y [n] to learn (per unit of mass where there are masses), group [n]."""

    sample_ids: tuple[str, ...]
    axis: FloatArray
    spectra: FloatArray
    y: FloatArray
    group: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.bool_]) -> Set:
        """The chosen samples."""
        ids = tuple(s for s, c in zip(self.sample_ids, chosen, strict=True) if c)
        return Set(ids, self.axis, self.spectra[chosen], self.y[chosen], self.group[chosen])


class Cnn(nn.Module):  # type: ignore[misc,unused-ignore]
    """Spectrum [N, 1, channels] -> value [N, 1], scaling of both ends inside."""

    def __init__(self, train: Set) -> None:
        super().__init__()
        snv = _snv(torch.tensor(train.spectra[:, None, :], dtype=torch.float32))
        self.register_buffer("middle", snv.mean(dim=0, keepdim=True))
        self.register_buffer("spread", snv.std() * torch.ones(1))
        self.register_buffer("y_mean", torch.tensor([train.y.mean()], dtype=torch.float32))
        self.register_buffer("y_sd", torch.tensor([train.y.std()], dtype=torch.float32))
        self.convolve = nn.Sequential(
            nn.Conv1d(1, 8, 11, stride=2, padding=5), nn.ELU(), nn.Conv1d(8, 16, 7, stride=2, padding=3), nn.ELU(),
            nn.Conv1d(16, 16, 5, stride=2, padding=2), nn.ELU(), nn.Flatten())  # fmt: skip
        with torch.no_grad():
            size = self.convolve((snv[:1] - self.middle) / self.spread).shape[1]
        self.dense = nn.Sequential(nn.Linear(size, 32), nn.ELU(), nn.Linear(32, 1))

    def forward(self, x: Any) -> Any:
        """The value in the reference's unit."""
        standard = (_snv(x) - self.middle) / self.spread
        return self.y_mean + self.y_sd * self.dense(self.convolve(standard))


class Average(nn.Module):  # type: ignore[misc,unused-ignore]
    """The mean of several networks."""

    def __init__(self, members: Sequence[Cnn]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Any) -> Any:
        """The members' mean value."""
        return torch.stack([member(x) for member in self.members]).mean(dim=0)


@click.command()
@click.option("--spectra", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--reference", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--target", required=True, metavar="COL")
@click.option("--group", metavar="COL", help="Samples that belong together; without it each stands alone.")
@click.option("--mass", metavar="COL", help="Tablet mass, when the target is an amount per tablet.")
@click.option("--axis-unit", type=click.Choice(["nm", "cm-1"]), default="nm", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--epochs", type=int, default=1500, show_default=True, help="At most; it stops by itself before.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws splits, weights and variations.")
def main(
    spectra: Path, reference: Path, target: str, group: str | None, mass: str | None, axis_unit: str, out: Path,
    epochs: int, seed: int,
) -> None:
    """Train, export, wrap and compare; everything is written to --out."""
    out.mkdir(parents=True, exist_ok=True)
    everyone = _read(spectra, reference, target, group, mass)
    part = _split(everyone.group, (3, 1, 1), seed)
    parts = {name: everyone.rows(part == k) for k, name in enumerate(("train", "wrap", "test"))}
    parts["train_and_wrap"] = everyone.rows(part != 2)
    for name, chosen in parts.items():
        _write(out / f"{name}.csv", chosen)
    network = _train(parts["train"], epochs, seed)
    example = torch.tensor(parts["train"].spectra[:1, None, :], dtype=torch.float32)
    torch.onnx.export(network, (example,), str(out / "cnn.onnx"), input_names=["spectrum"], output_names=["value"],
                      dynamo=False, opset_version=17, dynamic_axes={"spectrum": {0: "N"}, "value": {0: "N"}})
    columns = ["--reference", str(reference), "--target", target, *(["--group", group] if group else []),
               *(["--mass", mass] if mass else [])]
    unit = ["--axis-unit", axis_unit]
    _sensor("wrap", str(out / "cnn.onnx"), "--spectra", str(out / "wrap.csv"), *columns, *unit,
            "--trained-on", str(out / "train.csv"), "--out", str(out / "cnn"))
    for name, of in (("pls", "train"), ("pls_all", "train_and_wrap")):
        _sensor("calibrate", "--spectra", str(out / f"{of}.csv"), *columns, *unit, "--out", str(out / name))
    sizes = {name: len(chosen.y) for name, chosen in parts.items()}
    click.echo(f"\n{sizes['train']} samples to train on, {sizes['wrap']} to wrap, {sizes['test']} to test; seed {seed}")
    for name, what in (("cnn", "network, wrapped"), ("pls", "PLS, same training samples"),
                       ("pls_all", "PLS, those of wrap too")):
        _sensor("validate", str(out / name), "--spectra", str(out / "test.csv"), *columns,
                "--json", str(out / f"{name}.json"))
        f = json.loads((out / f"{name}.json").read_text())
        click.echo(f"{what:28} RMSEP {f['rmsep']:.4g}  bias {f['bias']:+.3g}  covers {100 * f['coverage_90']:.0f} %  "
                   f"bad {f['n_bad']}")


def _read(spectra: Path, reference: Path, target: str, group: str | None, mass: str | None) -> Set:
    table, references = read_spectra(spectra), read_reference(reference)
    rows = join(table, references)
    y = references.numbers(target)[rows.reference_rows]
    if mass is not None:
        y = y / references.numbers(mass)[rows.reference_rows]
    ids = [table.sample_ids[k] for k in rows.spectrum_rows]
    labels = ids if group is None else [references.labels(group)[k] for k in rows.reference_rows]
    values = table.values[rows.spectrum_rows]
    whole = Set(tuple(ids), table.axis, values, y, np.array(labels))
    return whole.rows(np.isfinite(y) & np.isfinite(values).all(axis=1))


def _split(group: NDArray[np.str_], shares: Sequence[int], seed: int) -> NDArray[np.int64]:
    """The part [n] each sample goes to, groups whole, in proportion to the shares."""
    names, place = np.unique(group, return_inverse=True)
    parts = np.repeat(np.arange(len(shares)), shares)
    drawn = np.empty(names.size, dtype=np.int64)
    drawn[np.random.default_rng(seed).permutation(names.size)] = parts[np.arange(names.size) % parts.size]
    return drawn[place]


def _train(train: Set, epochs: int, seed: int) -> Average:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    network = Average([_member(train, epochs, seed + 1000 * k) for k in range(MEMBERS)])
    network.eval()
    return network


def _member(train: Set, epochs: int, seed: int) -> Cnn:
    """One network: Adam with weight decay, stopped where the inner validation groups were predicted best."""
    torch.manual_seed(seed)
    inner = _split(train.group, (3, 1), seed)
    fit, stop = train.rows(inner == 0), train.rows(inner == 1)
    network = Cnn(fit)
    x, y = _tensor(fit.spectra[:, None, :]), _tensor(fit.y[:, None])
    x_stop, y_stop = _tensor(stop.spectra[:, None, :]), _tensor(stop.y[:, None])
    learner = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    best, kept, since = float("inf"), network.state_dict(), 0
    for _ in range(epochs):
        network.train()
        for rows in torch.randperm(len(y)).split(BATCH):
            learner.zero_grad()
            loss = (((network(_varied(x[rows])) - y[rows]) / network.y_sd) ** 2).mean()
            loss.backward()
            learner.step()
        network.eval()
        with torch.no_grad():
            error = float(((network(x_stop) - y_stop) ** 2).mean())
        if error < best:
            best, since = error, 0
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        elif (since := since + 1) > PATIENCE:
            break
    network.load_state_dict(kept)
    return network


def _tensor(values: FloatArray) -> Any:
    return torch.tensor(values, dtype=torch.float32)


def _snv(x: Any) -> Any:
    centred = x - x.mean(dim=2, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(dim=2, keepdim=True))


def _varied(x: Any) -> Any:
    """The spectra with a random offset, tilt, gain and noise, in proportion to how far a spectrum ranges."""
    size = x.std(dim=2, keepdim=True)
    place = torch.linspace(-1.0, 1.0, x.shape[2])
    offset, tilt, gain = (torch.randn(len(x), 1, 1) * s for s in (0.05, 0.02, 0.02))
    return x * (1.0 + gain) + size * (offset + tilt * place) + size * 0.001 * torch.randn_like(x)


def _write(path: Path, chosen: Set) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", *(f"{place:.10g}" for place in chosen.axis)])
        for sample_id, row in zip(chosen.sample_ids, chosen.spectra, strict=True):
            writer.writerow([sample_id, *(repr(float(value)) for value in row)])


def _sensor(*arguments: str) -> None:
    """`patloop sensor ...`, as anybody would call it; its own table is left out of what is shown here."""
    call = "import sys; from soft_sensors.commands import sensor; sensor(prog_name='patloop sensor')"
    click.echo(f"patloop sensor {' '.join(arguments)}")
    done = subprocess.run([sys.executable, "-c", call, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stderr.strip())


if __name__ == "__main__":
    main()
