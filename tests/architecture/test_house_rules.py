"""The rules of the house as tests: layers, names, locks, sizes, and no traces of a particular machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from edge.identity import OURS, foreign_owners

ROOT = Path(__file__).parents[2]
PACKAGES = ("soft_sensors", "control", "edge", "hil_sim", "deploy")
SOURCES = sorted(p for name in (*PACKAGES, "tests", "examples") for p in (ROOT / name).rglob("*.py"))
MAX_LINES = 300


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_top_level_name_belongs_to_anybody_else() -> None:
    assert foreign_owners() == {}
    assert {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} == set(OURS)


def test_the_service_loads_no_offline_tool() -> None:
    code = (
        "import sys, edge.commands, edge.service, edge.line, edge.acquire.opcua, edge.actuate.opcua\n"
        "import edge.record.recorder\n"
        "print(','.join(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.strip().split(","))
    assert not loaded & {"do_mpc", "sklearn", "pandas", "matplotlib", "chemotools", "onnx", "hil_sim", "deploy"}


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/requirements-box.lock"])
def test_locks_name_no_index_or_host_and_pin_every_hash(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"https?://|file://|--(extra-)?index-url|--find-links", text)
    pins = re.findall(r"^[A-Za-z0-9_.\-\[\]]+==", text, flags=re.M)
    assert len(pins) > 20
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)


def test_the_box_carries_no_calibration_or_simulation_packages() -> None:
    text = (ROOT / "deploy" / "requirements-box.lock").read_text()
    for name in ("scikit-learn", "do-mpc", "matplotlib", "pandas", "onnx", "chemotools", "pytest"):
        assert not re.search(rf"^{name}==", text, flags=re.M), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_one_idea(path: Path) -> None:
    text = path.read_text()
    lines = text.count("\n")
    named = (ROOT / "DECISIONS.md").read_text()
    assert lines <= MAX_LINES or str(path.relative_to(ROOT)) in named, f"{lines} lines: split it or say why"
    assert ast.get_docstring(ast.parse(text)) or not text.strip(), "a module says what it is"


def test_nothing_in_the_repository_points_to_a_particular_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".npz", ".onnx", ".casadi"}:
            continue
        text = path.read_text(errors="ignore")
        assert not re.search(r"(?<![\w.])/(home|root|work|farm)/\w", text), name
        assert "BEGIN " + "PRIVATE KEY" not in text, name


def test_every_command_is_there_with_an_example() -> None:
    points = {p.name: p for p in entry_points(group="patloop.commands")}
    assert {"demo", "run", "check", "sensor", "control", "hil", "bench", "journal", "replay", "hmi", "user"} <= set(
        points
    )
    for name, point in points.items():
        command = point.load()
        subs = getattr(command, "commands", {}) or {name: command}
        for sub in subs.values():
            assert sub.help, f"{name} {sub.name} has no help"
            assert "Example" in (sub.help or "") or "Example" in (command.help or ""), f"{name} {sub.name}: no example"
