"""`patloop control steptest` on the simulated line: the truth's gain, limits kept, aborted when they might not be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import patloop

ROOT = Path(__file__).parents[2]
LINE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
LOSING = """
name = "losing"
description = "API is lost soon"
hours = 2.0
[[fault]]
kind = "hidden_loss"
at_min = 12.0
gain = 0.94
"""


def run(*words: object) -> Result:
    result = CliRunner().invoke(patloop, ["control", "steptest", str(LINE), *(str(word) for word in words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_the_gain_is_the_truths_and_no_limit_is_crossed(tmp_path: Path) -> None:
    result = run("--variable", "FeederApi", "--simulate", "--seed", 4, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    told = json.loads((tmp_path / "report.json").read_text())
    gain = told["identified"]["gain"]
    assert told["true_gain"] == 4.5
    assert gain["value"] == pytest.approx(4.5, rel=0.1)
    assert gain["low"] < 4.5 < gain["high"]
    assert 60 < told["identified"]["dead_time_s"]["value"] + told["identified"]["time_constant_s"]["value"] < 300
    assert told["largest_true_off_lc_pct"] < told["limit_lc_pct"] == 4.0
    assert told["aborted"] == ""
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_it_aborts_when_the_api_leaves_and_says_no(tmp_path: Path) -> None:
    (tmp_path / "losing.toml").write_text(LOSING)
    result = run("--variable", "FeederApi", "--shape", "step", "--minutes", 30, "--simulate", "--scenario",
                 tmp_path / "losing.toml", "--out", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 1
    assert "step test aborted, plain ratio: API -" in result.stdout
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["identified"] is None
    assert told["good"] is False


def test_one_line_for_what_is_wrong(tmp_path: Path) -> None:
    out = ("--out", tmp_path / "o")
    for words, options in {
        "is not a feeder; take one of": ("--variable", "MainForce", "--simulate", *out),
        "is a controller: set name = 'steptest'": ("--variable", "FeederApi", *out),
        "at least 4 are needed": ("--variable", "FeederApi", "--minutes", 5, "--simulate", *out),
        "scenario 'none' not found": ("--variable", "FeederApi", "--simulate", "--scenario", "none", *out),
    }.items():
        result = run(*options)
        assert result.exit_code == 2, options
        assert words in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "o").exists()


def test_it_is_a_command_of_its_group() -> None:
    told = CliRunner().invoke(patloop, ["control", "--help"]).stdout
    assert "steptest" in told
    assert "build" in told
    assert "control steptest" not in CliRunner().invoke(patloop, ["--help"]).stdout
