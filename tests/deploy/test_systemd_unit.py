"""The unit file is clean to systemd itself, sandboxed, and says what the service relies on."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "patloop@.service"
ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on this machine")
MOST_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with an executable that exists here, and the one other file it names."""
    text = UNIT.read_text().replace("/opt/patloop/venv/bin/patloop", "/bin/true")
    (tmp_path / "README.md").write_text("")
    path = tmp_path / UNIT.name
    path.write_text(text.replace("/opt/patloop/README.md", str(tmp_path / "README.md")))
    return path


def analyze(*args: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *args], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    result = analyze("verify", "--man=no", str(unit.with_name("patloop@cdc_ref_1.service").resolve()))
    assert (result.returncode, result.stderr) == (0, "")


@needs_systemd
def test_an_unknown_key_would_be_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    result = analyze("verify", "--man=no", str(unit.with_name("patloop@cdc_ref_1.service").resolve()))
    assert "WatchdogSecs" in result.stderr


@needs_systemd
def test_the_sandbox_leaves_little_exposed(unit: Path) -> None:
    result = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= MOST_EXPOSURE


def test_the_unit_says_what_the_service_relies_on() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    service = dict(parser["Service"])
    expected = {
        "Type": "notify",
        "NotifyAccess": "main",
        "Restart": "always",
        "User": "patloop",
        "ExecStart": "/opt/patloop/venv/bin/patloop run /etc/patloop/%i.toml --state /var/lib/patloop/%i",
        "StateDirectory": "patloop/%i",
    }
    assert {key: service[key] for key in expected} == expected
    assert float(service["WatchdogSec"].removesuffix("s")) >= 10
    assert "ORT_DISABLE_TELEMETRY=1" in service["Environment"].split()
    assert "ProcSubset" not in service  # it hides boot_id and cpuinfo, which onnxruntime reads
    assert parser["Unit"]["StartLimitIntervalSec"] == "0"
