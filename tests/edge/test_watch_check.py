"""`patloop check` says where model, instrument and drop folder stand, and what to mend."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.acquire.verification import RecordFile
from edge.check import drop_folder
from edge.commands import check
from edge.record.canonical import encode
from edge.record.journal import Journal
from soft_sensors.watch.instrument import Figure, InstrumentRecord
from soft_sensors.watch.records import write_record

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "deploy" / "models" / "cdc_api_nir"
REGISTRY = ROOT / "deploy" / "models" / "registry"
LINE_TEXT = (ROOT / "deploy" / "lines" / "cdc_ref_1.toml").read_text()
GOVERNED = next(line for line in LINE_TEXT.splitlines() if line.startswith("registry_id"))
PASSED = InstrumentRecord("NIR-1", 0.0, 0.0, (Figure("axis at 1200", 0.2, -1.0, 1.0, "nm"),))


def told(folder: Path, analyser: str = "", sensor: str = f'bundle = "{BUNDLE}"') -> tuple[int, str]:
    (folder / "line.toml").write_text(
        '[line]\nname = "drop"\ncycle_s = 5\nmode_ceiling = "monitor"\nstart_mode = "monitor"\nstate_dir = "state"\n'
        f'[analyser]\nkind = "folder"\nfolder = "drop"\nmax_age_s = 60.0\n{analyser}\n[sensor]\n{sensor}\n'
    )
    done = CliRunner().invoke(check, [str(folder / "line.toml"), "--offline"])
    return done.exit_code, done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path


def test_a_line_that_is_ready_says_what_it_runs(folder: Path) -> None:
    code, said = told(folder, sensor=f'registry = "{REGISTRY}"\n{GOVERNED}\nmodel = "cdc_api_nir"')
    assert code == 0, said
    assert "ok  model cdc_api_nir, bundle " in said
    assert "effective since 20" in said
    assert "signed by Demo Approver (activate); expires 20" in said
    assert "ok  hint: no instrument verification" in said
    assert "files can be read and moved" in said
    assert [p.name for p in folder.joinpath("drop").iterdir()] == [], "nothing is left behind"


def test_an_ungoverned_model_of_a_watched_line_is_told_and_no_failure(folder: Path) -> None:
    code, said = told(folder)
    assert code == 0
    assert "ungoverned; advice at most: the model is not governed by a registry" in said


@pytest.mark.parametrize(
    ("record", "code", "word"),
    [
        (PASSED, 0, "ok  instrument NIR-1: verification passed, holds until"),
        (replace(PASSED, figures=(Figure("noise", 2.0, 0.0, 1.0, "AU"),)), 1, "failed its verification: noise 2 AU"),
        (None, 1, "no instrument verification at"),
    ],
)
def test_the_instruments_verification(folder: Path, record: InstrumentRecord | None, code: int, word: str) -> None:
    if record is not None:
        now_s = time.time()
        write_record(replace(record, time_s=now_s - 60.0, valid_until_s=now_s + 86400.0), folder / "nir.json")
    found, said = told(folder, 'verification = "nir.json"\nverification_every_h = 720')
    assert found == code
    assert word in said


def test_a_record_that_was_edited_while_the_service_was_down(folder: Path) -> None:
    now_s = time.time()
    record = replace(PASSED, time_s=now_s - 60.0, valid_until_s=now_s + 86400.0)
    failed = replace(record, figures=(Figure("noise", 2.0, 0.0, 1.0, "AU"),))
    write_record(failed, folder / "nir.json")
    seen = RecordFile(folder / "nir.json", None).acquire(now_s)
    (folder / "state").mkdir()
    body = {"sample": {"licence": None, "verification": seen}, "thought": {}}
    with Journal.open(folder / "state" / "journal.sqlite", "drop") as journal:
        journal.append("cycle", now_s, encode(body))
    write_record(record, folder / "nir.json")
    code, said = told(folder, 'verification = "nir.json"')
    assert code == 1
    assert "was changed after it was read" in said


def test_a_drop_folder_that_is_not_there(folder: Path) -> None:
    (folder / "drop").rmdir()
    code, said = told(folder)
    assert code == 1
    assert "does not exist; make it, or mend [analyser] folder" in said


def test_a_drop_folder_whose_place_for_done_files_is_a_file(folder: Path) -> None:
    (folder / "drop" / "done").write_text("")
    found = drop_folder(folder / "drop")
    assert not found.fine
    assert "Not a directory" in found.what
    assert [p.name for p in folder.joinpath("drop").iterdir()] == ["done"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_drop_folder_that_cannot_be_written(folder: Path) -> None:
    (folder / "drop").chmod(0o500)
    try:
        assert "read, write and rename" in drop_folder(folder / "drop").what
    finally:
        (folder / "drop").chmod(0o700)


def test_a_drop_folder_that_refuses_to_move_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    found = drop_folder(folder / "drop")
    assert not found.fine
    assert "Permission denied; give the account of the service the right to" in found.what
