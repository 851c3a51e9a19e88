"""What the tests here share: the helpers beside them, and for the publishers a recorded shift and a real broker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from publish_hand import Cycles, Host, broker, free_port, recorded


@pytest.fixture(scope="session")
def cycles(tmp_path_factory: pytest.TempPathFactory) -> Cycles:
    """A short shift as the service records it."""
    return recorded(tmp_path_factory.mktemp("shift") / "journal.sqlite")


@pytest.fixture
def broker_port(tmp_path: Path) -> Iterator[int]:
    """A broker of this test's own, on this port."""
    number = free_port()
    with broker(tmp_path / "broker", number):
        yield number


@pytest.fixture
def host(broker_port: int) -> Iterator[Host]:
    """Who listens at that broker."""
    one = Host(broker_port)
    yield one
    one.close()
