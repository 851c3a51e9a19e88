"""What fuzzing once found stays mended: every kept input ends as its parser declares, in time."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.fuzz.hunt import replay
from deploy.fuzz.target import Once, Target
from deploy.fuzz.targets import targets

FINDINGS = Path(__file__).parent / "fuzz_findings"
BY_NAME = {target.name: target for target in targets()}
KEPT = sorted(file for file in FINDINGS.glob("*/*") if file.is_file())


@pytest.fixture(scope="module")
def ready() -> dict[str, Once]:
    """Parsers that were made ready, by target: each once."""
    return {}


@pytest.mark.parametrize("file", KEPT, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_what_was_found_is_mended(file: Path, ready: dict[str, Once], tmp_path_factory: pytest.TempPathFactory) -> None:
    target: Target = BY_NAME[file.parent.name]
    if target.name not in ready:
        ready[target.name] = target.prepare(tmp_path_factory.mktemp(target.name))
    found = replay(target, file.read_bytes(), ready[target.name])
    assert found is None, f"{found.what} at {found.where}\n{found.story}"


def test_there_are_findings_and_each_has_its_target() -> None:
    assert KEPT
    assert {file.parent.name for file in KEPT} <= set(BY_NAME)
