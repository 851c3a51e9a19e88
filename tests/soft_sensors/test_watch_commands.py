"""patloop sensor watch on files: what it writes, when it says no, how it says what is wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from soft_sensors.commands import sensor
from soft_sensors.errors import TableError
from soft_sensors.watch.tables import seconds

HEADER = "sample_id,time,value,lower,upper,t2,q,quality,reason"


def stream(folder: Path, drift: float) -> tuple[Path, Path]:
    """600 predictions a minute apart, a result for every twentieth two hours late; drift from the middle on."""
    random = np.random.default_rng(3)
    rows, lab = [HEADER], ["sample_id,time,api_pct,received"]
    for k in range(600):
        time_s, truth = 1.7e9 + 60.0 * k, 10.0 + 0.2 * random.normal()
        value = truth + 0.1 * random.normal() + (drift if k >= 300 else 0.0)
        stamp = datetime.fromtimestamp(time_s, UTC).isoformat()
        rows.append(f"s{k},{stamp},{value},{value - 0.17},{value + 0.17},{random.chisquare(4)},1.0,good,")
        if k % 20 == 0:
            lab.append(f"s{k},,{truth},{time_s + 7200}" if k % 40 else f",{time_s + 3},{truth},{time_s + 7200}")
    predictions, results = folder / "P.csv", folder / "L.csv"
    predictions.write_text("\n".join(rows) + "\n")
    results.write_text("\n".join(lab) + "\n")
    return predictions, results


def run(predictions: Path, results: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(sensor, ["watch", "--predictions", str(predictions), "--lab", str(results), "--target",
                                       "api_pct", "--bound", "0.3", "--out", str(out), *more])


def test_a_sound_sensor_has_no_alarm(tmp_path: Path) -> None:
    done = run(*stream(tmp_path, 0.0), tmp_path / "out", "--sigma", "0.1")
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "out" / "watch.json").read_text())
    assert made["n"] == 30
    assert made["alarms"] == []
    assert made["bias_update"] is None
    assert made["coverage_90"]["as_issued"]["coverage"] > 0.75


def test_a_shifted_sensor_is_found_and_its_update_suggested(tmp_path: Path) -> None:
    done = run(*stream(tmp_path, 0.2), tmp_path / "out", "--sigma", "0.1", "--unit", "% w/w")
    assert done.exit_code == 1, done.output
    made = json.loads((tmp_path / "out" / "watch.json").read_text())
    assert any(text.startswith("EWMA") for text in made["alarms"])
    assert made["bias_update"]["add"] == pytest.approx(-0.2, abs=0.06)
    page = (tmp_path / "out" / "chart.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page
    assert (tmp_path / "out" / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (HEADER, HEADER.replace("time", "when"), "no column 'time'"),
        ("s5,", "s5,x", "no time"),
        ("s5,2023-11-14T22:18:20+00:00", "s5,", "no time"),
        (",good,", "x,good,", "not a number"),
    ],
)
def test_a_wrong_predictions_file_is_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    predictions, results = stream(tmp_path, 0.0)
    predictions.write_text(predictions.read_text().replace(old, new, 1))
    done = run(predictions, results, tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample_id,x\na,1\n", "no column 'api_pct'"),
        ("api_pct\n1\n", "neither sample_id nor time"),
        ("sample_id,api_pct\nnobody,1\n", "no result meets"),
        ("sample_id,api_pct\ns0,10\n", "give --sigma"),
        ("sample_id,api_pct\ns0,ten\n", "not a number"),
        ("", "no column"),
        ("sample_id,api_pct\n", "no rows"),
    ],
)
def test_wrong_results_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    predictions, results = stream(tmp_path, 0.0)
    results.write_text(text)
    done = run(predictions, results, tmp_path / "out")
    assert done.exit_code == 2
    assert said in done.output


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path / "nowhere.csv", tmp_path / "L.csv", tmp_path / "out")
    assert done.exit_code == 2
    assert "no such file" in done.output


def test_times() -> None:
    assert seconds("2023-11-14T22:13:20Z", "x") == seconds("2023-11-14T22:13:20", "x") == seconds("1.7e9", "x") == 1.7e9
    assert seconds("2023-11-14T23:13:20+01:00", "x") == 1.7e9
    with pytest.raises(TableError, match="no time"):
        seconds("yesterday", "x")
