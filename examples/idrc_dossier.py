"""The public tablets of the 2002 IDRC shoot-out -> tables and a plan, from which a dossier is built.

python examples/idrc_dossier.py idrc2002_tablets_dev_cal_val.npz out/idrc

The measurements are real; what the plan says of site, instrument, laboratory and people is an illustration. The
commands to run next are printed.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

TEST, SEED, TRAY = 35, 7, 31  # tablets drawn for the test, before any model is made
NEXT = """
patloop sensor calibrate --spectra {out}/cal_spectra.csv --reference {out}/cal_reference.csv --target assay_mg \\
  --mass weight_mg --unit mg --accept 190 210 --test {out}/test_spectra.csv --out {out}/idrc
patloop sensor challenge {out}/idrc --spectra {out}/test_spectra.csv --reference {out}/test_reference.csv \\
  --target assay_mg --mass weight_mg --accept 10 --json {out}/faults.json
patloop sensor dossier {out}/idrc --plan {out}/plan.toml --spectra {out}/test_spectra.csv \\
  --reference {out}/test_reference.csv --target assay_mg --mass weight_mg --group tray \\
  --faults {out}/faults.json --out {out}/dossier
"""


def main(source: Path, out: Path) -> None:
    """Write cal and test tables and plan.toml into out, and print what to run."""
    with np.load(source, allow_pickle=False) as stored:
        rows = np.flatnonzero(stored["split"] == "cal")
        spectra, axis = stored["X_inst1"][rows], stored["wavelength_nm"]
        number = stored["row_in_split"][rows]
        columns = [stored[name][rows] for name in ("assay_mg", "weight_mg", "hardness")]
    drawn = np.random.default_rng(SEED).permutation(len(rows))
    out.mkdir(parents=True, exist_ok=True)
    for name, picked in (("test", np.sort(drawn[:TEST])), ("cal", np.sort(drawn[TEST:]))):
        ids = [f"t{number[k]}" for k in picked]
        places, values = [f"{place:g}" for place in axis], spectra[picked].astype(float).tolist()
        write(out / f"{name}_spectra.csv", places, ids, values)
        facts = [[*(column[k] for column in columns), f"tray {(number[k] - 1) // TRAY + 1}"] for k in picked]
        write(out / f"{name}_reference.csv", ["assay_mg", "weight_mg", "hardness", "tray"], ids, facts)
    (out / "plan.toml").write_bytes((Path(__file__).parent / "idrc_plan.toml").read_bytes())
    sys.stdout.write(NEXT.format(out=out))


def write(path: Path, header: Sequence[str], ids: Iterable[str], rows: Iterable[Sequence[object]]) -> None:
    """Write one table in the product's form."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["sample_id", *header])
        writer.writerows([sample_id, *row] for sample_id, row in zip(ids, rows, strict=True))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/idrc_dossier.py DATA.npz OUT")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
