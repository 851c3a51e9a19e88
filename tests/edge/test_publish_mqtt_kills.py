"""The publisher to MQTT dies at the worst moments: no record is lost, none comes twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from publish_hand import Cycles, Host, go_on, killed, numbers, publisher, settled

from edge.errors import LinkLost
from edge.publish.mqtt_commands import mqtt as command
from edge.record.journal import Journal


def test_what_came_round_before_the_cursor_was_kept_comes_round_again(
    tmp_path: Path, broker_port: int, host: Host, cycles: Cycles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Dead between hearing and keeping: the narrowest moment, and a whole window of 50 would come twice."""
    file, path = settled(tmp_path, broker_port, "window = 50\n"), tmp_path / "journal.sqlite"
    go_on(path, cycles, 120)
    first = publisher(file)

    def dead(cursor: object) -> None:
        time.sleep(0.5)  # all of the window has come round by now
        raise LinkLost("killed")

    monkeypatch.setattr(first, "_keep", dead)
    with Journal.open_reader(path) as journal:
        with pytest.raises(LinkLost, match="killed"):
            first.turn(journal)
        second = publisher(file)
        assert second.cursor.seq == 0, "nothing was kept"
        assert second.turn(journal) == 121
    second.close()
    assert host.until(121) == numbers(path)


@pytest.mark.slow
def test_killed_in_mid_flight_it_goes_on_without_a_double(
    tmp_path: Path, broker_port: int, host: Host, cycles: Cycles
) -> None:
    file, path = settled(tmp_path, broker_port, "window = 50\n"), tmp_path / "journal.sqlite"
    go_on(path, cycles, 2400)
    for kill in range(4):
        with killed("mqtt", str(file)):
            host.until(300 * (kill + 1))
    done = CliRunner().invoke(command, [str(file), "--once"])
    assert done.exit_code == 0, done.output
    assert host.until(2401) == numbers(path)
