"""controller bundle -> functions: what the service loads instead of do-mpc.

A bundle is a folder: `card.toml` (names, settings hash, file hashes), `<function>.casadi` (serialised CasADi
functions) and `golden.npz` (inputs and outputs that every function must reproduce at load).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from control.errors import ControlError
from control.settings import ControlSettings
from soft_sensors.signals import FloatArray

FUNCTIONS = ("predict", "measure", "rollout", "linearise", "stage")
GOLDEN_RTOL = 1e-9


@dataclass(frozen=True)
class ControllerBundle:
    """A checked controller bundle.

    predict(x, u, p) -> x_next, A; measure(x, u, p) -> y, C; rollout(x0, U, P) -> X; linearise(x0, U, P) -> X, A, B
    side by side; stage(X, U, P) -> R, dR/dx, dR/du, S, dS/dx, side by side. One step is cycle_s seconds.
    """

    states: tuple[str, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    measurements: tuple[str, ...]
    cycle_s: float
    horizon_steps: int
    bundle_hash: str
    functions: dict[str, Kernel]

    def state(self, name: str) -> int:
        """Position of a state by name."""
        return self.states.index(name)

    def call(self, name: str, *arguments: FloatArray) -> tuple[FloatArray, ...]:
        """Evaluate one of the functions on arrays; results are arrays, one an output, always two-dimensional."""
        return self.functions[name].evaluate(arguments)


class Kernel:
    """A CasADi function behind fixed buffers: several times faster than passing its own matrix type back and forth.

    The buffers are overwritten at every call and copied out; nothing is carried from one call to the next.
    """

    def __init__(self, function: Any) -> None:
        self._buffer, self._evaluate = function.buffer()
        self._arguments = [np.zeros(function.nnz_in(i)) for i in range(function.n_in())]
        self._results = [np.zeros(function.nnz_out(i)) for i in range(function.n_out())]
        self._shapes = [function.size_out(i) for i in range(function.n_out())]
        for i, argument in enumerate(self._arguments):
            self._buffer.set_arg(i, memoryview(argument))  # type: ignore[arg-type]
        for i, result in enumerate(self._results):
            self._buffer.set_res(i, memoryview(result))  # type: ignore[arg-type]

    def evaluate(self, arguments: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
        """Results as fresh arrays [rows, columns]; arguments in any shape with the right number of entries."""
        for held, given in zip(self._arguments, arguments, strict=True):
            held[:] = given.ravel(order="F")
        self._evaluate()
        return tuple(r.reshape(s, order="F").copy() for r, s in zip(self._results, self._shapes, strict=True))


def settings_hash(settings: ControlSettings) -> str:
    """SHA-256 of every setting that is baked into a bundle (not: which controller, PID tuning, where the bundle is)."""
    baked = settings.model_dump(mode="json", exclude={"controller": {"name", "bundle", "pid"}})
    return hashlib.sha256(json.dumps(baked, sort_keys=True).encode()).hexdigest()


def load_controller(settings: ControlSettings, path: Path) -> ControllerBundle:
    """Read, check and return the bundle at `path`; ControlError names what disagrees and how to mend it."""
    mend = "build it again: patloop control build LINE.toml --out BUNDLE"
    try:
        raw = (path / "card.toml").read_bytes()
        card = tomllib.loads(raw.decode())
    except (OSError, ValueError) as error:
        raise ControlError(f"controller bundle {path}: card.toml cannot be read ({error}); {mend}") from error
    whole = hashlib.sha256(raw)
    for name, expected in sorted(card["hashes"].items()):
        try:
            content = (path / name).read_bytes()
        except OSError as error:
            raise ControlError(f"controller bundle {path}: {name} is missing; {mend}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ControlError(f"controller bundle {path}: {name} was altered after it was built; {mend}")
        whole.update(content)
    if card["settings_hash"] != settings_hash(settings):
        raise ControlError(f"controller bundle {path}: built for other settings than this line file's; {mend}")
    if card["casadi"] != ca.CasadiMeta.version():
        raise ControlError(
            f"controller bundle {path}: built with casadi {card['casadi']}, here {ca.CasadiMeta.version()}; {mend}"
        )
    functions = {n: Kernel(ca.Function.deserialize((path / f"{n}.casadi").read_text())) for n in FUNCTIONS}
    bundle = ControllerBundle(
        states=tuple(card["states"]),
        inputs=tuple(card["inputs"]),
        parameters=tuple(card["parameters"]),
        measurements=tuple(card["measurements"]),
        cycle_s=float(card["cycle_s"]),
        horizon_steps=int(card["horizon_steps"]),
        bundle_hash=whole.hexdigest(),
        functions=functions,
    )
    _check_golden(bundle, path)
    return bundle


def _check_golden(bundle: ControllerBundle, path: Path) -> None:
    with np.load(path / "golden.npz") as golden:
        for name in FUNCTIONS:
            arguments = [golden[f"{name}_in{i}"] for i in range(3)]
            for i, result in enumerate(bundle.call(name, *arguments)):
                expected = golden[f"{name}_out{i}"]
                if not np.allclose(result, expected, rtol=GOLDEN_RTOL, atol=1e-12):
                    raise ControlError(f"controller bundle {path}: golden vector of '{name}' is not reproduced here")
