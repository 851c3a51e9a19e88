"""What the wire did is on the record, and can be thought again bit for bit: refusals by step, verdicts, protections."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from opcua_hand import Stand, standing

from edge.line import Line
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body

API = "FeederApi"


def rows(journal: Path, kind: str) -> list[dict[str, Any]]:
    with Journal.open_reader(journal) as reader:
        return [decode(row.body) for row in reader.rows(kind=kind)]


async def eventful(stand: Stand) -> None:
    """A shift with one of everything: a refused write, a foreign setpoint, a lost link, a new handshake."""
    await stand.close_loop()
    put = stand.rig.write
    stand.rig.write = lambda tag, value, *, user: (  # type: ignore[method-assign]
        "bad_user_access" if tag == f"{API}.SP_Remote" else put(tag, value, user=user)
    )
    await stand.turn()
    stand.rig.write = put  # type: ignore[method-assign]
    await stand.turn(2)
    stand.rig.write(f"{API}.SP_Remote", 2.4, user="edge")
    await stand.tick()
    await stand.turn(3)
    stand.server.link.cut()
    await stand.turn()
    stand.server.link.mend()
    await stand.online()
    await stand.turn(6)
    await stand.until(stand.moving)
    await stand.turn(2)


def test_an_eventful_shift_on_a_plain_plc_is_recorded_and_replays(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    path = tmp_path / "journal.sqlite"

    async def story() -> None:
        opcua = {"handshake": ["SP_Working"], "timeout_s": 0.5}
        async with standing(tmp_path, reference_line, secrets, plc="plain", opcua=opcua) as stand:
            with Journal.open(path, stand.line.config.line.name) as journal:
                recorder = JournalRecorder(journal)
                recorder.start(stand.now_s(), start_body(stand.line), stand.line.artefacts())
                stand.recorder.inner = recorder
                await eventful(stand)

    asyncio.run(asyncio.wait_for(story(), 100))
    (start,) = rows(path, "start")
    assert any(told.startswith("without SP_SeqEcho a late write cannot be told") for told in start["unprotected"])
    refused = [a for a in rows(path, "act") if a["result"] == "refused"]
    assert [(a["step"], a["codes"]) for a in refused] == [("accept", {f"{API}.SP_Remote": "BadUserAccessDenied"})]
    cycles = rows(path, "cycle")
    verdicts = [c["sample"]["acted"]["read_back"] for c in cycles]
    assert "foreign" in verdicts
    alarms = {a["name"] for c in cycles for a in c["thought"]["alarms"]}
    assert {"unprotected", "write_read_back"} <= alarms
    found = replay_journal(path, None, None, lambda *_: None)
    assert found.identical, found.first_difference
    assert found.n_cycles == len(cycles) >= 18
    assert {c["sample"]["link"] for c in cycles} == {"online", "lost"}
    assert {c["sample"]["epoch"] for c in cycles} >= {1, 2}


def test_check_says_in_plain_words_which_protections_are_missing(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        opcua = {"handshake": ["SP_Working"]}
        async with standing(tmp_path, reference_line, secrets, plc="plain", opcua=opcua) as stand:
            file = tmp_path / "line.toml"
            url, told = f'url = "{stand.server.url}"', file.read_text().splitlines()
            lines = [url if text.startswith("url =") else text for text in told]
            file.write_text("\n".join(lines).replace("[analyser]", 'handshake = ["SP_Working"]\n\n[analyser]'))
            asked = [sys.executable, "-m", "deploy.cli", "check", str(file)]
            process = await asyncio.create_subprocess_exec(
                *asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said = (await process.communicate())[0].decode()
            assert process.returncode == 0, said
            assert "without SP_SeqEcho a late write cannot be told from a fresh one" in said
            assert "without SessionId" in said
            assert "125 channels in nm" in said
            file.write_text(file.read_text().replace('handshake = ["SP_Working"]', 'handshake = ["SP_Wroking"]'))
            process = await asyncio.create_subprocess_exec(
                *asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            said = (await process.communicate())[0].decode()
            assert process.returncode == 2
            assert "'SP_Wroking' is no optional tag of the handshake" in said
            assert len(said.strip().splitlines()) == 1

    asyncio.run(asyncio.wait_for(story(), 100))
