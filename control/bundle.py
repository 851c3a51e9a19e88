"""controller bundle -> compiled problem: what the service loads instead of do-mpc.

A bundle is a folder: `card.toml` (the problem's card, settings hash, file hashes), `<function>.casadi` (serialised
CasADi functions) and `golden.npz` (inputs and outputs that every function must reproduce at load).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from control.compiled import FUNCTIONS, Card, Compiled
from control.errors import ControlError
from control.kernel import Kernel
from control.settings import ControlSettings
from control.signals import Target
from soft_sensors.npz import NPZ_ERRORS
from soft_sensors.signals import FloatArray

GOLDEN_RTOL = 1e-9
CALM_FEED = 1.0  # weight on feeding at the target, and in a transition, where the material on its way counts more
HASTY_FEED = 0.1


@dataclass(frozen=True)
class ControllerBundle(Compiled):
    """A checked controller bundle: a compiled problem and the hash of everything it is made of."""

    bundle_hash: str

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states, in order."""
        return self.card.states

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return self.card.inputs

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the time-varying parameters, in order."""
        return self.card.parameters

    @property
    def measurements(self) -> tuple[str, ...]:
        """Names of the measurements, in order."""
        return self.card.measurements

    @property
    def cycle_s(self) -> float:
        """Seconds a step."""
        return self.card.step_s

    @property
    def horizon_steps(self) -> int:
        """Steps of the horizon."""
        return self.card.horizon_steps

    def state(self, name: str) -> int:
        """Position of a state by name."""
        return self.card.states.index(name)

    def targets(self, target: Target, columns: int = 1, transition_s: float = 0.0) -> FloatArray:
        """The time-varying parameters [n_p, columns] for a target; transition_s: how long a change is on its way.

        The same array, which cannot be written to, for the same target.
        """
        hasty = int(np.count_nonzero(np.arange(columns) * self.cycle_s < transition_s)) if transition_s > 0 else 0
        return _targets(self.parameters, target, columns, hasty)


@lru_cache(maxsize=64)
def _targets(names: tuple[str, ...], target: Target, columns: int, hasty: int) -> FloatArray:
    """Of so many columns the first `hasty` are on their way."""
    known = {
        "target_api_pct": np.full(columns, target.api_pct),
        "target_throughput_kg_h": np.full(columns, target.throughput_kg_h),
        "target_weight_mg": np.full(columns, target.tablet_weight_mg),
        "feed_calm": np.where(np.arange(columns) < hasty, HASTY_FEED, CALM_FEED),
    }
    found = np.array([known[n] for n in names])
    found.setflags(write=False)
    return found


def settings_hash(settings: ControlSettings) -> str:
    """SHA-256 of every setting that is baked into a bundle: recipe, setpoints, plant model, cost and horizon."""
    left_out = {"mv": {"__all__": {"resolution"}}}  # the guard's business, not the model's
    baked = settings.model_dump(mode="json", include={"cycle_s", "recipe", "mv", "plant"}, exclude=left_out)
    baked["mpc"] = settings.controller.mpc.model_dump(mode="json")
    return hashlib.sha256(json.dumps(baked, sort_keys=True).encode()).hexdigest()


def press_hash(settings: ControlSettings) -> str:
    """SHA-256 of every setting that is baked into the bundle of the press: cycle, model, limits, room and rates."""
    assert settings.press is not None, "only a line with [press] has such a bundle"
    left_out = {"bundle", "hardness_n", "remember_s"}
    told = settings.press.model_dump(mode="json", exclude=left_out)
    for handle in ("fill_depth", "thickness", "turret"):
        told[handle].pop("resolution")  # of a drive, not of the model
    baked = {"cycle_s": settings.cycle_s, "press": told}
    return hashlib.sha256(json.dumps(baked, sort_keys=True).encode()).hexdigest()


def load_press(settings: ControlSettings, path: Path) -> ControllerBundle:
    """Read, check and return the bundle of the line's press at `path`; ControlError names what disagrees."""
    return load_bundle_for(press_hash(settings), path)


def load_controller(settings: ControlSettings, path: Path) -> ControllerBundle:
    """Read, check and return a line's bundle at `path`; ControlError names what disagrees and how to mend it."""
    return load_bundle_for(settings_hash(settings), path)


def load_bundle_for(made_for: str, path: Path) -> ControllerBundle:
    """Read, check and return the bundle at `path` that was made for settings of this hash. Raises ControlError."""
    mend = "build it again: patloop control build (a press: build-press) LINE.toml --out BUNDLE"
    try:
        raw = (path / "card.toml").read_bytes()
        card = tomllib.loads(raw.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ControlError(f"controller bundle {path}: card.toml cannot be read ({error}); {mend}") from error
    if "problem" not in card:
        raise ControlError(f"controller bundle {path}: made by an earlier release; {mend}")
    whole = hashlib.sha256(raw)
    for name, expected in sorted(card["hashes"].items()):
        try:
            content = (path / name).read_bytes()
        except OSError as error:
            raise ControlError(f"controller bundle {path}: {name} is missing; {mend}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ControlError(f"controller bundle {path}: {name} was altered after it was built; {mend}")
        whole.update(content)
    if card["settings_hash"] != made_for:
        raise ControlError(f"controller bundle {path}: built for other settings than this line file's; {mend}")
    if card["casadi"] != ca.CasadiMeta.version():
        raise ControlError(
            f"controller bundle {path}: built with casadi {card['casadi']}, here {ca.CasadiMeta.version()}; {mend}"
        )
    kernels = {n: Kernel(ca.Function.deserialize((path / f"{n}.casadi").read_text())) for n in FUNCTIONS}
    bundle = ControllerBundle(_card(card["problem"], path), kernels, whole.hexdigest())
    _check_golden(bundle, path)
    return bundle


def _card(table: dict[str, Any], path: Path) -> Card:
    try:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return Card(**plain)
    except TypeError as error:
        raise ControlError(f"controller bundle {path}: card.toml: [problem] {error}") from error


def _check_golden(bundle: ControllerBundle, path: Path) -> None:
    try:
        with np.load(BytesIO((path / "golden.npz").read_bytes()), allow_pickle=False) as stored:
            golden = dict(stored)
    except NPZ_ERRORS as error:
        raise ControlError(f"controller bundle {path}: golden.npz: not readable ({error}); build it again") from error
    for name in FUNCTIONS:
        count = sum(key.startswith(f"{name}_in") for key in golden)
        arguments = [golden[f"{name}_in{i}"] for i in range(count)]
        for i, result in enumerate(bundle.call(name, *arguments)):
            if f"{name}_out{i}" not in golden:
                raise ControlError(f"controller bundle {path}: golden.npz lacks {name}_out{i}; build it again")
            expected = golden[f"{name}_out{i}"]
            if not np.allclose(result, expected, rtol=GOLDEN_RTOL, atol=1e-12, equal_nan=True):
                raise ControlError(f"controller bundle {path}: golden vector of '{name}' is not reproduced here")
