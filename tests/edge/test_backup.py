"""A running line is backed up, the copy is held to its manifest, and brought back it is the same record."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.config import read_config
from edge.errors import ConfigError, RecorderError
from edge.people.accounts import Accounts, Role
from edge.record.backup import make_backup
from edge.record.backup_commands import backup
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.restore import check_backup, restore_backup
from edge.record.verify import verify

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
BUNDLE = LINE_FILE.parents[1] / "models" / "cdc_api_nir"
LINE = """
[line]
name = "SMALL"
cycle_s = 5.0
mode_ceiling = "monitor"
start_mode = "monitor"
state_dir = "state"   # where it keeps its record

[analyser]
kind = "replay"
spectra = "spectra.csv"
max_age_s = 12.0

[sensor]
bundle = "model"

[record]
archive = "archive"
keep_days = 30.0
"""


def silent(_done: int, _total: int) -> None:
    return


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """A line file with a state folder: a journal of 300 records, a person, certificates and secrets."""
    folder = tmp_path / "site"
    state = folder / "state"
    (state / "pki").mkdir(parents=True)
    (folder / "line.toml").write_text(LINE)
    shutil.copytree(BUNDLE, folder / "model")
    with Journal.open(state / "journal.sqlite", "SMALL", now=lambda: 0.0) as journal:
        journal._connection.execute("PRAGMA synchronous=OFF")
        for i in range(300):
            journal.append("cycle", 5.0 * i, encode({"cycle": i, "values": [i / 3] * 40}), os.urandom(600))
        accounts = Accounts(state / "people.db", journal, now=lambda: 0.0)
        accounts.add("ann", Role.QA, "root")
        accounts.close()
    for name, mode in {"pki/edge_cert.der": 0o644, "pki/edge_key.pem": 0o600, "pki/password": 0o600}.items():
        (state / name).write_text(name)
        (state / name).chmod(mode)
    (state / "token").write_text("secret elsewhere")
    (state / "token").chmod(0o600)
    (state / "picked.log").write_text("1\n")
    (state / "journal.sqlite.reserve").write_bytes(bytes(5000))
    return folder / "line.toml"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(backup, [str(argument) for argument in arguments])


def test_a_backup_holds_what_a_line_needs_and_no_secret(line: Path, tmp_path: Path) -> None:
    made = make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    held = {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert {"line.toml", "state/journal.sqlite", "state/people.db", "state/pki/edge_cert.der"} <= held
    assert {f"parts/sensor_bundle/{name}" for name in ("graph.onnx", "card.toml", "golden.npz")} <= held
    assert "state/picked.log" in held
    assert "state/journal.sqlite.reserve" not in held, "room, not data"
    assert set(made.left_out) == {"pki/edge_key.pem", "pki/password", "token"}
    assert held == {*made.files, "manifest.json"}
    assert not any(b"secret" in (tmp_path / "copy" / name).read_bytes() for name in held)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert check_backup(tmp_path / "copy").wrong == ()


def test_secrets_are_taken_along_when_asked_for_and_stay_private(line: Path, tmp_path: Path) -> None:
    made = make_backup(line, None, tmp_path / "copy", silent, secrets=True)
    assert made.left_out == ()
    restore_backup(tmp_path / "copy", tmp_path / "again", force=False)
    key = tmp_path / "again" / "state" / "pki" / "edge_key.pem"
    assert key.read_text() == "pki/edge_key.pem"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_restored_line_has_the_same_record_and_finds_its_parts(line: Path, tmp_path: Path) -> None:
    with Journal.open_reader(line.parent / "state" / "journal.sqlite") as journal:
        before = list(journal.rows())
    make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    restore_backup(tmp_path / "copy", tmp_path / "again", force=False, now=lambda: 7.0)
    shutil.rmtree(line.parent)
    config, _ = read_config(tmp_path / "again" / "line.toml")
    assert config.line.state_dir == tmp_path / "again" / "state"
    assert config.sensor.bundle == tmp_path / "again" / "parts" / "sensor_bundle"
    assert config.record is not None
    assert config.record.archive == tmp_path / "again" / "archive"
    text = (tmp_path / "again" / "line.toml").read_text()
    assert 'name = "SMALL"' in text
    assert (tmp_path / "again" / "line.as_backed_up.toml").read_text() == LINE
    journal_file = config.line.state_dir / "journal.sqlite"
    with Journal.open_existing(journal_file) as journal:
        rows = list(journal.rows())
        assert rows[:-1] == before
        assert (rows[-1].kind, rows[-1].content()["seq"]) == ("restore", before[-1].seq)
        accounts = Accounts(config.line.state_dir / "people.db", journal)
        assert [account.name for account in accounts.all()] == ["ann"]
        accounts.close()
    assert verify(journal_file).ok


def test_a_backup_is_made_while_others_write(line: Path, tmp_path: Path) -> None:
    """One instant of the journal is copied; the writer's records go on meanwhile, none of them lost."""
    path, stop, written = line.parent / "state" / "journal.sqlite", threading.Event(), []

    def write() -> None:
        with Journal.open(path, "SMALL") as journal:
            journal._connection.execute("PRAGMA synchronous=OFF")
            while not stop.is_set():
                written.append(journal.append("cycle", 0.0, encode({"values": [1.5] * 50}), os.urandom(500)).seq)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not written:
            stop.wait(0.01)
        first = len(written)
        steps: list[int] = []
        made = make_backup(line, None, tmp_path / "copy", lambda done, _: steps.append(len(written)), secrets=False)
        last = len(written)
    finally:
        stop.set()
        writer.join()
    assert last > first, "the writer went on"
    assert written[first - 1] <= made.seq <= written[last - 1]
    assert check_backup(tmp_path / "copy").wrong == ()
    assert verify(path).ok


@pytest.mark.parametrize(
    ("name", "harm", "wrong"),
    [
        ("state/journal.sqlite", "alter", "state/journal.sqlite was altered"),
        ("parts/sensor_bundle/card.toml", "alter", "parts/sensor_bundle/card.toml was altered"),
        ("state/people.db", "remove", "state/people.db is missing"),
        ("state/extra", "add", "state/extra is not of this backup"),
    ],
)
def test_a_backup_that_was_changed_is_told_and_not_restored(
    line: Path, tmp_path: Path, name: str, harm: str, wrong: str
) -> None:
    make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    file = tmp_path / "copy" / name
    if harm == "remove":
        file.unlink()
    else:
        file.write_bytes((file.read_bytes() if file.exists() else b"") + b"x")
    assert check_backup(tmp_path / "copy").wrong == (wrong,)
    checked = invoke("check", tmp_path / "copy")
    assert checked.exit_code == 1
    assert wrong in checked.output
    refused = invoke("restore", tmp_path / "copy", "--to", tmp_path / "again")
    assert refused.exit_code == 1
    assert "not restored" in refused.output
    assert not (tmp_path / "again").exists()


def test_no_backup_is_made_of_a_record_that_is_not_sound(line: Path, tmp_path: Path) -> None:
    path = line.parent / "state" / "journal.sqlite"
    raw = path.read_bytes()
    with Journal.open_reader(path) as journal:
        stored = journal._connection.execute("SELECT body FROM records WHERE seq = 150").fetchone()[0]
    path.write_bytes(raw.replace(stored, bytes([stored[0] ^ 1]) + stored[1:]))
    with pytest.raises(RecorderError, match="not sound, so no backup"):
        make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["site"], "nothing is left behind"


def test_nothing_is_overwritten(line: Path, tmp_path: Path) -> None:
    make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    with pytest.raises(ConfigError, match="something already"):
        make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine").write_text("mine")
    with pytest.raises(ConfigError, match="--force to move it aside"):
        restore_backup(tmp_path / "copy", tmp_path / "again", force=False)
    restore_backup(tmp_path / "copy", tmp_path / "again", force=True, now=lambda: 0.0)
    assert (tmp_path / "again.before_19700101T000000Z" / "mine").read_text() == "mine"
    assert (tmp_path / "again" / "line.toml").exists()


def test_what_is_no_backup_is_one_line(line: Path, tmp_path: Path) -> None:
    make_backup(line, None, tmp_path / "copy", silent, secrets=False)
    manifest = tmp_path / "copy" / "manifest.json"
    told = json.loads(manifest.read_text())
    held = next(iter(told["files"].values()))
    for text, word in {
        "{": "not the manifest", "[]": "not the manifest", json.dumps({**told, "format": 9}): "format 9",
        json.dumps({**told, "files": {"../../etc/passwd": held}}): "outside the backup",
    }.items():  # fmt: skip
        manifest.write_text(text)
        said = invoke("check", tmp_path / "copy")
        assert (said.exit_code, word in said.output, "\n" in said.output.strip()) == (2, True, False), said.output
    assert invoke("check", tmp_path).exit_code == 2
    assert invoke("make", line, "--to", tmp_path / "copy").exit_code == 2


def test_the_commands_do_all_of_it(line: Path, tmp_path: Path) -> None:
    made = invoke("make", line, "--to", tmp_path / "copy")
    assert made.exit_code == 0, made.output
    assert "left out, for they are secret: pki/edge_key.pem, pki/password, token" in made.output
    checked = invoke("check", tmp_path / "copy")
    assert (checked.exit_code, "as it was made: SMALL" in checked.output) == (0, True), checked.output
    restored = invoke("restore", tmp_path / "copy", "--to", tmp_path / "again")
    assert restored.exit_code == 0, restored.output
    assert "patloop check" in restored.output
