"""The service itself on a drop folder: files come while it runs, it is stopped by SIGTERM and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edge.config import read_config
from edge.record.journal import Journal
from edge.record.verify import verify
from soft_sensors.bundle import load_bundle

BUNDLE = Path(__file__).parents[2] / "deploy" / "models" / "cdc_api_nir"


def spectra() -> tuple[np.ndarray, np.ndarray]:
    """Axis and spectra that the model knows."""
    with np.load(BUNDLE / "golden.npz", allow_pickle=False) as golden:
        return load_bundle(BUNDLE).card.axis, golden["spectra"]


def put(folder: Path, name: str, axis: np.ndarray, values: np.ndarray) -> None:
    """Write beside, then rename into place."""
    text = "sample_id," + ",".join(map(repr, axis.tolist())) + "\ns," + ",".join(map(repr, values.tolist())) + "\n"
    (folder / f".{name}").write_text(text)
    (folder / f".{name}").rename(folder / name)


def counters(state: Path) -> list[int]:
    """Counters of the recorded spectra, in order, of a journal that verifies."""
    assert verify(state / "journal.sqlite").ok
    with Journal.open_reader(state / "journal.sqlite") as journal:
        found = [row.content()["sample"]["spectrum"] for row in journal.rows(kind="cycle")]
    return [spectrum["counter"] for spectrum in found if spectrum]


def test_the_service_on_a_drop_folder_stopped_and_started_again(tmp_path: Path) -> None:
    file, drop = tmp_path / "line.toml", tmp_path / "drop"
    drop.mkdir()
    file.write_text(
        '[line]\nname = "drop"\ncycle_s = 0.05\nmode_ceiling = "monitor"\nstart_mode = "monitor"\nstate_dir = "state"\n'
        '[analyser]\nkind = "folder"\nfolder = "drop"\nsettle_s = 0.1\nmax_age_s = 60.0\n'
        f'[sensor]\nbundle = "{BUNDLE}"\n'
    )
    assert read_config(file)[0].analyser.folder == drop.resolve()
    axis, rows = spectra()
    for turn in range(2):
        code = "from deploy.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "run", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as service:
            try:
                assert service.stdout is not None
                assert "watching" in service.stdout.readline()
                for k in range(2):
                    put(drop, f"{turn}{k}.csv", axis, rows[(2 * turn + k) % len(rows)] + 1e-6 * (2 * turn + k))
                (drop / f"{turn}2.csv").write_text("sample_id,1\n")
                until = time.monotonic() + 60
                while time.monotonic() < until and len(list((drop / "refused").glob("*.why.txt"))) <= turn:
                    time.sleep(0.05)
                service.send_signal(signal.SIGTERM)
                said, _ = service.communicate(timeout=30)
            finally:
                service.kill()
        assert service.returncode == 0, said
        assert "stopped in good order" in said
        assert counters(tmp_path / "state") == [1, 2, 4, 5][: 2 * turn + 2]
    assert sorted(p.name for p in (drop / "done").iterdir()) == ["00.csv", "01.csv", "10.csv", "11.csv"]
    assert sorted(p.name for p in drop.iterdir() if p.is_file()) == []
