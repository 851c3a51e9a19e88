"""What a start must not pay for: libraries that the service has no use for, and searches for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from edge.memory import unswept


def test_the_service_starts_without_the_libraries_that_only_others_need() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, edge.service, edge.line, edge.acquire.opcua, edge.actuate.opcua, edge.logs;"
         "print(*{name.split('.')[0] for name in sys.modules})"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert not {"scipy", "do_mpc", "pandas", "matplotlib", "fastapi", "pyarrow"} & set(told.stdout.split())
    assert {"casadi", "onnxruntime", "asyncua"} <= set(told.stdout.split())


def test_garbage_is_looked_for_again_after_a_start_even_one_that_failed() -> None:
    with pytest.raises(RuntimeError, match="no such line, collector off"), unswept():
        raise RuntimeError(f"no such line, collector {'on' if gc.isenabled() else 'off'}")
    assert gc.isenabled()
