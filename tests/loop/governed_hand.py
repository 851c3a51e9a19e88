"""People, keys and a registry to break, and a closed loop on the rig that it governs."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.config import SensorTable, read_config
from edge.cycle import begin, cycle
from edge.line import Line, compose_config
from edge.ports import Recorder
from edge.signals import Acted, Thought
from hil_sim.bench import RigLine, ScriptedRecorder
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario
from soft_sensors.bundle import CARD, HASHES, PARTS, combined_hash, load_bundle
from soft_sensors.registry.deposit import deposit
from soft_sensors.registry.entries import Registry, Role
from soft_sensors.registry.keys import public_hex
from soft_sensors.registry.log import append, found

ROOT = Path(__file__).parents[2]
LINE_FILE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
SHIPPED = ROOT / "deploy" / "models" / "cdc_api_nir"
BORN_S = 1_700_000_000.0  # before the rig's clock
FAR_S = 2_500_000_000.0
FIGURES = {"n": 240, "rmsep": 0.13, "bias": 0.0, "coverage_90": 0.9, "n_bad": 0}
TESTED = {"figures": FIGURES, "spectra_sha256": "s", "reference_sha256": "r"}


@dataclass
class Office:
    """A registry with one person a role, who sign at `at_s`."""

    folder: Path
    at_s: float = BORN_S
    keys: dict[Role, Ed25519PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = {role: Ed25519PrivateKey.generate() for role in Role}
        founded = found(self.folder, self.keys[Role.OWNER], "Olga", (Role.OWNER,), self.at_s)
        self.registry_id = founded.registry_id
        for role, name in ((Role.AUTHOR, "Ada"), (Role.VERIFIER, "Eve"), (Role.APPROVER, "Paul")):
            self.sign(Role.OWNER, "enrol", name=name, public_key=public_hex(self.keys[role]), roles=[role.value])

    def sign(self, role: Role, action: str, **body: Any) -> Registry:
        return append(self.folder, self.keys[role], action, body, self.at_s)

    def register(self, bundle: Path, valid_until_s: float = FAR_S, skill: float | None = None) -> str:
        model = deposit(bundle, self.folder)
        criteria = {"max_rmsep": 0.2, "min_coverage": 0.8, "max_coverage": 1.0, "min_samples": 20,
                    "valid_until_s": valid_until_s, "max_bias": 0.3}  # fmt: skip
        self.sign(Role.AUTHOR, "register", bundle=model.bundle_hash, model="m", criteria=criteria,
                  skill=model.card.skill if skill is None else skill, reason="r")  # fmt: skip
        return model.bundle_hash

    def verified(self, bundle: Path, **registered: Any) -> str:
        digest = self.register(bundle, **registered)
        self.sign(Role.VERIFIER, "verify", bundle=digest, **TESTED)
        return digest

    def approved(self, bundle: Path, **registered: Any) -> str:
        digest = self.verified(bundle, **registered)
        self.sign(Role.APPROVER, "approve", bundle=digest, reason="r")
        return digest

    def effective(self, bundle: Path, **registered: Any) -> str:
        digest = self.approved(bundle, **registered)
        self.sign(Role.APPROVER, "activate", bundle=digest, reason="r")
        return digest

    def line(self) -> Line:
        config, digest = read_config(LINE_FILE)
        table = SensorTable(registry=self.folder, registry_id=self.registry_id, model="m")
        return compose_config(config.model_copy(update={"sensor": table}), digest)


def variant(out: Path, changes: Mapping[str, str]) -> Path:
    """The shipped bundle with lines of its card changed and its hashes made to agree: another, intact bundle."""
    shutil.copytree(SHIPPED, out, ignore=shutil.ignore_patterns("figures", "*.html", "calibration.npz"))
    reform(out, changes)
    return out


def reform(bundle: Path, changes: Mapping[str, str]) -> None:
    """Change keys of a card and write hashes that agree with it."""
    text = (bundle / CARD).read_text()
    for key, value in changes.items():
        text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", text, count=1, flags=re.M)
        assert count == 1, key
    (bundle / CARD).write_text(text)
    hashes = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in PARTS}
    lines = [f'"{name}" = "{digest}"' for name, digest in hashes.items()]
    (bundle / HASHES).write_text("\n".join([*lines, f'bundle = "{combined_hash(hashes)}"', ""]))
    load_bundle(bundle)


class Stand:
    """A loop on the rig, closed by its operator, stepped cycle by cycle; recorder: a journal beside, if any."""

    def __init__(self, line: Line, recorder: Recorder | None = None, seed: int = 5) -> None:
        self.line, self.rig = line, Rig(load_scenario("nominal"), seed)
        self.wire, self.script = RigLine(self.rig, line.config, seed), ScriptedRecorder(recorder)
        self.loop, self.acted, self.number = begin(line), Acted("none"), 0

    def run(self, cycles: int) -> list[Thought]:
        async def go() -> list[Thought]:
            thoughts = []
            for _ in range(cycles):
                thought, self.loop, self.acted = await cycle(
                    self.line, self.loop, self.number, self.acted, self.wire, self.wire, self.script, self.wire
                )
                self.number += 1
                thoughts.append(thought)
                for _ in range(10):
                    self.rig.step(0.5)
            return thoughts

        return asyncio.run(go())


def moves(thoughts: Sequence[Thought]) -> bool:
    """Whether any of these cycles moved the plant."""
    return any(t.command.writes or any("SP_Remote" in tag for tag, _ in t.wire) for t in thoughts)
