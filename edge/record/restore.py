"""a backup -> checked, and a line that runs again elsewhere: its files as they were, its line file pointing at them."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config import parse_config
from edge.errors import ConfigError, PatloopError
from edge.record.backup import (
    FORMAT,
    JOURNAL,
    LINE,
    MANIFEST,
    PARTS,
    STATE,
    Held,
    Manifest,
    clean,
    copy_file,
    digest_of,
    part_name,
    parts_of,
    sync_folder,
    walk,
)
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.verify import verify

ARCHIVE, AS_MADE = "archive", "line.as_backed_up.toml"


@dataclass(frozen=True)
class Checked:
    """What a check found: the manifest, and all that does not fit it (empty: the backup is as it was made)."""

    manifest: Manifest
    wrong: tuple[str, ...]


def check_backup(folder: Path) -> Checked:
    """Compare every file with the manifest, and verify the journal. Raises ConfigError when this is no backup."""
    manifest = read_manifest(folder)
    there = {path.relative_to(folder).as_posix(): path for path in walk(folder)}
    wrong = [f"{name} is missing" for name in sorted(manifest.files.keys() - there.keys())]
    wrong += [f"{name} is not of this backup" for name in sorted(there.keys() - manifest.files.keys() - {MANIFEST})]
    for name in sorted(manifest.files.keys() & there.keys()):
        if digest_of(there[name]) != manifest.files[name].sha256:
            wrong.append(f"{name} was altered")
    if not wrong:
        wrong += _record_wrong(folder / STATE / JOURNAL, manifest)
    return Checked(manifest, tuple(wrong))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises ConfigError when there is none that can be read."""
    path = folder / MANIFEST
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if told.get("format") != FORMAT:
            raise ConfigError(f"{path}: format {told.get('format')!r} is not known to this release; use a newer one")
        files = {str(name): Held(**held) for name, held in told.pop("files").items()}
        for name in files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ConfigError(f"{path}: names a file outside the backup: {name!r}")
        return Manifest(files=files, **{**told, "left_out": tuple(told["left_out"])})
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the folder of a backup") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{path}: not the manifest of a backup: {error}") from error


def restore_backup(folder: Path, to: Path, *, force: bool, now: Callable[[], float] = time.time) -> Manifest:
    """Bring a backup back into the new folder `to`: state/, parts/, and a line.toml that names them.

    The line file as it was made stays beside it. The journal gets a "restore" record: from here on it goes its own
    way. With force what is at `to` is moved aside, never deleted. Raises ConfigError when the backup does not check,
    or `to` is taken or cannot be written.
    """
    checked = check_backup(folder)
    if checked.wrong:
        raise ConfigError(f"{folder}: {checked.wrong[0]}; restore another backup")
    taken = to.exists() and (not to.is_dir() or any(to.iterdir()))
    if taken and not force:
        raise ConfigError(f"--to {to}: there is something already; name a new folder, or --force to move it aside")
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        try:
            _bring_back(folder, checked.manifest, draft, now())
            if taken:
                to.rename(_aside(to, now()))
            draft.replace(to)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(to.parent)
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written ({error.strerror or error})") from error
    return checked.manifest


def _record_wrong(path: Path, manifest: Manifest) -> list[str]:
    held = path.read_bytes()
    try:
        found = verify(path)
        if not found.ok:
            return [f"the journal is not sound: {found.reason}"]
        with Journal.open_reader(path) as journal:
            newest = journal.last()
        if newest is None or (newest.seq, newest.hash.hex()) != (manifest.seq, manifest.hash):
            return ["the journal does not end with the record that the manifest names"]
    except PatloopError as error:
        return [str(error)]
    finally:
        with suppress(OSError):  # a medium that cannot be written was not written to
            clean(path)
    return [] if path.read_bytes() == held else ["the journal changed while it was read"]


def _bring_back(folder: Path, manifest: Manifest, draft: Path, now_s: float) -> None:
    draft.mkdir(parents=True, mode=0o700)
    for name, held in manifest.files.items():
        target = draft / (AS_MADE if name == LINE else name)
        copy_file(folder / name, target)
        target.chmod(held.mode)
    text = (folder / LINE).read_text(encoding="utf-8")
    config = parse_config(tomllib.loads(text), folder / LINE)
    moved = {key: f"{PARTS}/{part_name(key)}" for key in parts_of(config)}
    for key, path in parts_of(config).items():
        if (folder / PARTS / part_name(key) / path.name).is_file():  # a single file lies in a folder of its own
            moved[key] += f"/{path.name}"
    if config.record is not None:
        moved[("record", "archive")] = ARCHIVE  # two lines may not retire into one folder
    text = _repoint(text, {("line", "state_dir"): STATE, **moved})
    (draft / LINE).write_text(text, encoding="utf-8")
    with Journal.open(draft / STATE / JOURNAL, manifest.line, now=lambda: now_s) as journal:
        body = {"made_s": manifest.made_s, "seq": manifest.seq, "manifest_sha256": digest_of(folder / MANIFEST)}
        journal.append("restore", now_s, encode(body))
    for parent in {path.parent for path in walk(draft)}:
        sync_folder(parent)


def _repoint(text: str, paths: Mapping[tuple[str, str], str]) -> str:
    """The line file with other paths and all else, comments too, as it was. Raises ConfigError when it is not that."""
    wanted = tomllib.loads(text)
    for (table, key), path in paths.items():
        wanted[table][key] = path
    lines, table = [], ""
    for line in text.splitlines():
        if header := re.match(r"\s*\[\s*([A-Za-z_]+)\s*\]", line):
            table = header[1]
        value = re.match(r"(\s*([A-Za-z_]+)\s*=\s*)", line)
        named = (table, value[2]) if value else ("", "")
        lines.append(f"{value[1]}{json.dumps(paths[named])}" if value and named in paths else line)
    found = "\n".join(lines) + "\n"
    if tomllib.loads(found) != wanted:
        text = "its paths stand in a form that cannot be changed; write one key a line below its table"
        raise ConfigError(f"{LINE}: {text}")
    return found


def _aside(to: Path, now_s: float) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    aside = to.with_name(f"{to.name}.before_{stamp}")
    if aside.exists():
        raise ConfigError(f"{aside}: there is something already; move it away")
    return aside
