"""What scale and soak are judged by: missed cycles, what limits, memory's slope; a line of its own cycle."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from deploy.faults.judge import Seen
from deploy.faults.line_end import busy, extra_tags
from deploy.faults.stage import BUNDLE, stage_line
from deploy.scale import Level, _limit, _missed, scale
from deploy.soak import _slope
from edge.config import read_config
from edge.errors import PatloopError
from edge.line import compose

CALM = Seen(0.0, True, 1, 7, "remote", True, {}, False, "good", "", 0.0)


def test_due_times_without_a_cycle_are_counted() -> None:
    cycles = [replace(CALM, time_s=t + 0.02) for t in range(20) if t not in (5, 11, 12)]
    assert _missed(cycles, 1.0, 20.0) == 3
    assert _missed(cycles[:5], 1.0, 5.0) == 0
    assert _missed([], 1.0, 20.0) == 20, "a service that says nothing misses all"


def test_what_limits_is_said_only_where_something_was_missed() -> None:
    quick, slow = np.full(50, 20.0), np.full(50, 600.0)
    assert _limit(0, 1.0, slow, 1.0) == ""
    assert "processors" in _limit(1, 0.99, quick, 1.0)
    assert "look" in _limit(1, 0.5, slow, 1.0)
    assert "disk" in _limit(1, 0.5, quick, 1.0)


def test_memory_that_grows_has_its_slope_once_what_is_remembered_is_full() -> None:
    rows = [{"wall_s": 50.0 + s, "rss_mb": 100 + 20 * min(s, 1800) / 1800 + 3.0 * s / 3600} for s in range(0, 3600, 10)]
    assert _slope(rows) == pytest.approx(3.0, rel=1e-3)
    assert _slope(rows[:185]) == 0.0, "too few after half an hour"


def test_a_line_of_another_cycle_composes_with_a_bundle_built_for_it(tmp_path: Path) -> None:
    first = stage_line(tmp_path / "a", "opc.tcp://10.77.0.2:48400", 1.0, follow_tag=False, channel_s=60.0)
    config, _ = read_config(first.line_file)
    assert config.opcua is not None
    assert (config.line.cycle_s, config.opcua.url) == (1.0, "opc.tcp://10.77.0.2:48400")
    assert (config.opcua.timeout_s, config.opcua.clock_tag) == (0.4, None)
    assert config.opcua.secure_channel_timeout_s == 60.0
    assert compose(first.line_file).control is not None
    bundle = (tmp_path / "a" / BUNDLE).resolve()
    second = stage_line(tmp_path / "b", "opc.tcp://127.0.0.1:5000", 1.0, follow_tag=True, bundle=bundle)
    assert compose(second.line_file).control is not None
    assert not (tmp_path / "b" / BUNDLE).exists(), "built once for many lines"


def test_bundles_for_wires_side_by_side_are_built_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CasADi in two threads at once ends the process with a double free, now and then."""
    inside: list[int] = []
    most = 0

    def build(_settings: object, _out: Path) -> None:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        time.sleep(0.2)
        inside.pop()

    monkeypatch.setattr("deploy.faults.stage.build_bundle", build)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: stage_line(tmp_path / n, "opc.tcp://a:1", 1.0, follow_tag=False), ("a", "b")))
    assert most == 1


def test_people_of_a_long_run_are_the_same_for_the_same_seed() -> None:
    one = busy(3, 2.0)
    assert busy(3, 2.0) == one
    assert len(one.recipe) > 5
    acts = [act.action for act in one.operator]
    assert acts.count("disable") > 3
    assert acts.count("enable") == acts.count("disable") + 1
    assert len(set(extra_tags(300))) == 300


def test_levels_are_whole_numbers() -> None:
    result = CliRunner().invoke(scale, ["--lines", "1,zwei"])
    assert result.exit_code == 2
    assert "whole numbers" in result.output


def test_levels_that_were_measured_are_kept_when_a_later_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(what: str, n: int, cycle_s: float, extra: int, seconds: float) -> Level:
        if n > 2:
            raise PatloopError(f"{n} lines did not come to run")
        return Level(what, cycle_s, n, int(seconds), 0, 0, 5.0, 9.0, 12.0, 160.0, 0.1, 0.2, 900.0, "")

    monkeypatch.setattr("deploy.scale.measured", measured)
    out = tmp_path / "scale.json"
    done = CliRunner().invoke(scale, ["--lines", "1,2,3", "--tags", "0", "--cycle", "1", "--json", str(out)])
    told = json.loads(out.read_text())
    assert done.exit_code == 1
    assert "3 lines did not come to run; the levels before it are in" in done.output
    assert [level["n"] for level in told["levels"]] == [1, 2]
    assert told["ended"] == "3 lines did not come to run"
