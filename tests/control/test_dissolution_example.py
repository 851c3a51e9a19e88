"""The worked example of a learnt limit, run small: it beats the nulls it should, and the limit costs what it costs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime as ort
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "dissolution_surrogate.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dissolution_surrogate", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_limit_is_kept_and_hardness_pays(example: ModuleType, tmp_path: Path) -> None:
    figures = example.run(tmp_path, batches=15, seeds=2, minutes=30.0)
    network, kept, free = figures["network"], figures["with the limit"], figures["without"]
    assert network["skill_over_mean"] > 0.8
    assert network["skill_over_trend"] > 0.8
    assert network["rmse_network_pct"] < 1.2 * network["rmse_surface_pct"]
    assert kept["time_below_pct"] == 0.0
    assert free["time_below_pct"] > 20.0
    assert abs(free["hardness_given_up_n"]) < 1.0
    assert 5.0 < kept["hardness_given_up_n"] < 30.0
    assert json.loads((tmp_path / "figures.json").read_text()) == figures
    assert (tmp_path / "dissolution.png").read_bytes().startswith(b"\x89PNG")


def test_the_graph_is_the_network_that_was_learnt(example: ModuleType, tmp_path: Path) -> None:
    rows = example.simulate(4, samples=10, seed=2)
    learnt = example.learn(rows, np.ones(40, dtype=bool))
    example.to_onnx(learnt, tmp_path / "m.onnx")
    scaler, network, middle, spread = learnt
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    wanted = middle + spread * network.predict(scaler.transform(rows.X))
    found = [session.run(None, {"x": x[None]})[0].item() for x in rows.X]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)
