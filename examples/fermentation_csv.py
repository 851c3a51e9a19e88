"""Write the real fermentation spectra that ship inside chemotools in the form that `patloop sensor` reads.

    python examples/fermentation_csv.py OUT_DIR

train_*: 21 mixtures made in the laboratory (ATR mid-infrared, 428-1833 cm-1) with their glucose (g/L);
stream_*: 1629 spectra of one ethanol fermentation, 1.25 min apart, with 34 HPLC values at the nearest spectrum.
The broth is no laboratory mixture: ethanol and others that the mixtures lack shift the estimate (matrix effect), so
expect a bias on the stream and T2 and Q far above their limits; that is the truth, and what the flags are for.
Source: Cabaneros Lopez et al., Biotechnol. Bioeng. 2021 (chemotools, MIT licence).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from chemotools.datasets import load_fermentation_test, load_fermentation_train

INTERVAL_H = 1.25 / 60


def main(out: Path) -> None:
    """Write the four files into out."""
    out.mkdir(parents=True, exist_ok=True)
    mixtures, glucose = load_fermentation_train()
    stream, hplc = load_fermentation_test()
    axis = [f"{wavenumber:g}" for wavenumber in mixtures.columns]
    ids = [f"mixture-{k + 1:02d}" for k in range(len(mixtures))]
    live = [f"stream-{k + 1:04d}" for k in range(len(stream))]
    nearest = np.rint(hplc["time"].to_numpy() / INTERVAL_H).astype(int)
    _write(out / "train_spectra.csv", axis, ids, mixtures.to_numpy())
    _write(out / "train_reference.csv", ["glucose"], ids, glucose.to_numpy())
    _write(out / "stream_spectra.csv", axis, live, stream.to_numpy())
    _write(out / "stream_reference.csv", list(hplc.columns), [live[k] for k in nearest], hplc.to_numpy())


def _write(path: Path, names: Sequence[str], ids: Sequence[str], rows: Iterable[Sequence[float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", *names])
        for sample_id, row in zip(ids, rows, strict=True):
            writer.writerow([sample_id, *(f"{value:.7g}" for value in row)])


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/fermentation_csv.py OUT_DIR")
    main(Path(sys.argv[1]))
