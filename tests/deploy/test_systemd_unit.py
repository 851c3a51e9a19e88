"""The unit files are clean to systemd itself, sandboxed, and say what the services rely on."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = UNITS / "patloop@.service"
BESIDE = sorted(path.name for path in UNITS.glob("patloop-*@.service"))
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


@pytest.fixture
def units(unit: Path) -> Path:
    """The folder with all units, whose executable and document exist here."""
    shutil.copytree(UNITS, unit.parent, dirs_exist_ok=True, ignore=shutil.ignore_patterns(UNIT.name))
    for path in [*unit.parent.glob("*.service"), *unit.parent.glob("*.d/*.conf")]:
        text = path.read_text().replace("/opt/patloop/venv/bin/patloop", "/bin/true")
        path.write_text(text.replace("/opt/patloop/README.md", str(unit.parent / "README.md")))
    return unit.parent


def analyze(*args: str, units: Path | None = None) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    where = {} if units is None else {"SYSTEMD_UNIT_PATH": f"{units}:"}
    env = {**os.environ, **where}
    return subprocess.run([ANALYZE, *args], capture_output=True, text=True, timeout=60, check=False, env=env)


def exposure(told: str) -> float:
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found, told
    return float(found[1])


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
    assert exposure(result.stdout + result.stderr) <= MOST_EXPOSURE


@needs_systemd
@pytest.mark.parametrize("name", BESIDE)
def test_the_services_beside_it_are_clean_and_as_little_exposed(units: Path, name: str) -> None:
    instance = name.replace("@", "@cdc_ref_1")
    shutil.copy(units / name, units / instance)
    result = analyze("verify", "--man=no", instance, units=units)
    assert (result.returncode, result.stderr) == (0, "")
    look = ("security", "--offline=true", "--no-pager", instance)
    result = analyze(*look, units=units)
    assert exposure(result.stdout + result.stderr) <= MOST_EXPOSURE
    (units / "patloop-.service.d" / "beside.conf").unlink()
    result = analyze(*look, units=units)
    assert exposure(result.stdout + result.stderr) > 9.0, "what they have in common is read for this unit"


def test_none_of_them_is_needed_by_the_loop_or_needs_it() -> None:
    assert len(BESIDE) == 6
    common = (UNITS / "patloop-.service.d" / "beside.conf").read_text()
    for text in (common, UNIT.read_text(), *((UNITS / name).read_text() for name in BESIDE)):
        assert not re.search(r"^(Requires|BindsTo|PartOf|Requisite|Upholds|OnFailure)=", text, flags=re.M)


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
