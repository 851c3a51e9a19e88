"""Records of earlier releases are sound, and are computed again by this one, which says what it could not do."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.record.commands import journal as journal_command
from edge.record.compare import STAGES
from edge.record.replay_commands import replay

HERE = Path(__file__).parent
LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
RECORDS = {
    "first": HERE / "first_release" / "journal.sqlite.gz",
    "1304cba": HERE / "later_releases" / "1304cba.sqlite.gz",
    "d5e947f": HERE / "later_releases" / "d5e947f.sqlite.gz",
}
UNTIL = {"first": ("--to", "2026-11-23T10:14:00"), "1304cba": (), "d5e947f": ()}  # a part of it is enough for a test
NOISE = 1e-6  # relative: what the golden vectors allow processors to differ by
Replay = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("releases")
    for name, packed in RECORDS.items():
        path = folder / f"{name}.sqlite"
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        shutil.copy(packed.with_suffix("").with_name(packed.name.removesuffix(".gz") + ".head"), f"{path}.head")
    return {name: folder / f"{name}.sqlite" for name in RECORDS}


@pytest.fixture
def again(unpacked: dict[str, Path], tmp_path: Path) -> Replay:
    def run(name: str, *args: object) -> tuple[int, str, dict[str, Any]]:
        out = tmp_path / "replay.json"
        told = [str(arg) for arg in (unpacked[name], *args, "--json", out)]
        done = CliRunner().invoke(replay, told)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, done.output, json.loads(out.read_text())

    return run


def stage(report: dict[str, Any], name: str, part: str = "stages") -> dict[str, Any]:
    return next(s for s in report[part] if s["stage"] == name)


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_is_sound(unpacked: dict[str, Path], name: str) -> None:
    done = CliRunner().invoke(journal_command, ["verify", str(unpacked[name])])
    assert done.exit_code == 0, done.output
    assert "sound" in done.output


@pytest.mark.parametrize("name", RECORDS)
def test_the_same_estimates_come_from_the_recorded_sensor_and_spectra(again: Replay, name: str) -> None:
    _, _, report = again(name, *UNTIL[name])
    found = stage(report, "estimate")
    assert found["compared"] > 20
    sizes = [field["largest_relative"] for field in found["fields"]]
    assert all(size is not None and size < NOISE for size in sizes), found["fields"]


def test_the_first_release_is_told_what_could_not_be_computed(again: Replay) -> None:
    code, said, report = again("first", *UNTIL["first"])
    assert code == 1
    assert report["verdict"] == "incomplete"
    assert not report["identical"]
    assert report["written_differs"] is None
    assert [s["stage"] for s in report["stages"]] == ["estimate"]
    refused = " ".join(report["remarks"]["refused"])
    assert "controller bundle 2b784b096b20 is refused by this version" in refused
    assert "soft-sensor bundle 7fae6a31c8cf is of an earlier format" in refused
    assert "controller.mpc.api_band_weight = 20.0" in report["remarks"]["unknown"]
    assert "estimate.distance" in stage(report, "estimate")["not_recorded_then"]
    assert any("licence" in line for line in report["remarks"]["inputs"])
    assert said.strip().startswith("NOT IDENTICAL: only estimates could be computed again")
    assert "give --controller" in said
    assert said.count("not computed") == len(STAGES) - 1


@pytest.mark.parametrize("name", ["first", "1304cba"])
def test_a_substitute_is_named_and_never_called_identical(again: Replay, name: str) -> None:
    code, said, report = again(name, "--controller", LINE_FILE, *UNTIL[name])
    assert code == 1
    assert report["verdict"] == "differs"
    assert "with the control settings of cdc_ref_1.toml" in report["remarks"]["substitutes"][0]
    assert [s["stage"] for s in report["stages"]] == list(STAGES)
    assert any(line.startswith("observer.gain_rw: 0.002 -> ") for line in report["remarks"]["changed"])
    assert stage(report, "asked")["differing"] == 0, "modes and targets are the recorded ones"
    assert stage(report, "belief", "own")["differing"] > 0, "another observer, whatever it is given"
    assert report["written_differs"] > 0
    assert "Written: other values would have gone to the line in" in said


def test_a_line_file_of_another_line_is_no_substitute(unpacked: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    text = LINE_FILE.read_text().replace('name = "CDC-REF-1"', 'name = "OTHER"')
    other.write_text(text.replace("../models", str(LINE_FILE.parents[1] / "models")))
    done = CliRunner().invoke(replay, [str(unpacked["first"]), "--controller", str(other)])
    assert done.exit_code == 2
    assert "is of line 'OTHER', the record of 'CDC-REF-1'" in done.output
    assert done.output.strip().count("\n") == 0


def test_a_folder_that_is_no_controller_bundle_is_refused_in_one_line(
    unpacked: dict[str, Path], tmp_path: Path
) -> None:
    done = CliRunner().invoke(replay, [str(unpacked["first"]), "--controller", str(tmp_path)])
    assert done.exit_code == 2
    assert "--controller" in done.output
    assert "Traceback" not in done.output


def test_a_record_whose_controller_still_runs_is_compared_stage_by_stage(again: Replay) -> None:
    code, said, report = again("d5e947f")
    assert report["remarks"]["substitutes"] == []
    assert report["verdict"] == ("identical" if code == 0 else "differs")
    assert code == 0 or "first record" in said
    if code == 1:  # then every difference is told with its size, or is none of numbers
        fields = [field for s in report["stages"] for field in s["fields"]]
        assert fields
        assert all(field["first_before"] != field["first_after"] for field in fields)
        assert [s["stage"] for s in report["own"]] == list(STAGES)
