"""Targets: files that people and instruments hand in: spectra, line files, scenarios, cards, registry logs, records."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from deploy.fuzz.lines import ROOT
from deploy.fuzz.target import Broken, Once, Target

LINE_FILE = ROOT / "deploy" / "lines" / "cdc_ref_1.toml"
MODELS = ROOT / "deploy" / "models"
SEEDS = ROOT / "tests" / "edge" / "fuzz_seeds"
CELLS = "sample_id,api_pct\na,1.5\nb,2.25\nc,\n"


def targets() -> tuple[Target, ...]:
    """Every file that is read."""
    return (*_spectra(), *_tables(), *_governed())


def _spectra() -> tuple[Target, ...]:
    from soft_sensors.errors import TableError

    reader = ("soft_sensors/read",)
    return (
        Target("csv", _csv, lambda f: _read_spectra(f, "x.csv"), (TableError,), reader, (b",", b"sample_id")),
        Target("reference", lambda: (CELLS.encode(),), _read_reference, (TableError,), reader, (b",", b'"', b"nan")),
        Target("jcamp", lambda: _kept("jcamp"), lambda f: _read_spectra(f, "x.jdx"), (TableError,), (*reader, "jcamp"),
               (b"##NPOINTS=", b"##XYDATA=(X++(Y..Y))", b"##END=", b"##FIRSTX=", b"##BLOCKS=", b"##TITLE=", b"$$")),
        Target("spc", lambda: _kept("spc"), lambda f: _read_spectra(f, "x.spc"), (TableError,), (*reader, "spc_io")),
        Target("opus", lambda: _kept("opus"), lambda f: _read_spectra(f, "x.0"), (TableError,), (*reader, "brukeropus"),
               (b"END\0", b"NPT\0", b"FXV\0", b"DPF\0", b"\n\n\xfe\xfe")),
        Target("parquet", _parquet, lambda f: _read_spectra(f, "x.parquet"), (TableError,), reader, (b"PAR1",)),
    )  # fmt: skip


def _tables() -> tuple[Target, ...]:
    from edge.errors import ConfigError
    from hil_sim.endpoint import EndpointError
    from hil_sim.line.parameters import ParameterError
    from hil_sim.scenario import ScenarioError

    lines = tuple(sorted((ROOT / "deploy" / "lines").glob("*.toml")))
    scenarios = tuple(sorted((ROOT / "hil_sim" / "scenarios").glob("*.toml")))
    words = (b"[", b"]]", b"=", b'"', b"'''", b"2026-01-01", b"-nan", b"..", b"mode_ceiling", b"\n[[mv]]\n")
    edge = ("edge/config.py", "control/settings.py", "control/track/settings.py")
    return (
        Target("line_text", lambda: [f.read_bytes() for f in lines], _read_line, (ConfigError, EndpointError), edge,
               words),
        Target("line_tables", lambda: [_as_json(f) for f in lines], _parse_line, (ConfigError,), edge),
        Target("scenario", lambda: [f.read_bytes() for f in scenarios], _read_scenario, (ScenarioError, ParameterError),
               ("hil_sim/scenario.py", "hil_sim/faults.py", "hil_sim/rig.py"), words),
    )  # fmt: skip


def _governed() -> tuple[Target, ...]:
    from soft_sensors.errors import BundleError, RegistryError

    log = MODELS / "registry" / "log.jsonl"
    card = MODELS / "cdc_api_nir" / "card.toml"
    return (
        Target("card", lambda: (card.read_bytes(),), _read_card, (BundleError,), ("soft_sensors/card.py",)),
        Target("bundle", _bundle_seeds, _load_bundle, (BundleError,),
               ("soft_sensors/bundle.py", "soft_sensors/card.py")),
        Target("registry", lambda: (log.read_bytes(),), _read_registry, (RegistryError,), ("soft_sensors/registry",),
               (b'"action":"', b'"seq":', b'"prev":"', b'"body":{')),
        Target("event", lambda: log.read_bytes().splitlines(), _parse_event, (RegistryError,),
               ("soft_sensors/registry",)),
        Target("signed_event", lambda: _acts(log), _sign_event, (RegistryError,), ("soft_sensors/registry",)),
        Target("verification", lambda: _kept("verification"), _verification, (), ("edge/acquire/verification.py",
               "soft_sensors/watch/records.py", "soft_sensors/watch/instrument.py")),
    )  # fmt: skip


def _kept(name: str) -> Sequence[bytes]:
    return [file.read_bytes() for file in sorted((SEEDS / name).iterdir())]


def _csv() -> Sequence[bytes]:
    axis = ",".join(f"{1100 + 10 * k}" for k in range(12))
    rows = "\n".join(f"s{i}," + ",".join(f"{0.3 + 0.01 * k * i:.4f}" for k in range(12)) for i in range(4))
    return (f"sample_id,{axis}\n{rows}\n".encode(), b"\xef\xbb\xbf" + f"sample_id,{axis}\n{rows}\n".encode())


def _parquet() -> Sequence[bytes]:
    import pandas as pd

    with TemporaryDirectory() as folder:
        file = Path(folder) / "x.parquet"
        table = {"sample_id": ["a", "b"], **{f"{1100 + 10 * k}": [0.1 * k, 0.2 * k] for k in range(6)}}
        pd.DataFrame(table).to_parquet(file)
        return (file.read_bytes(),)


def _as_json(file: Path) -> bytes:
    return json.dumps(tomllib.loads(file.read_text(encoding="utf-8"))).encode()


def _placed(folder: Path, name: str, call: Callable[[Path], object]) -> Once:
    """Each input as the file `name`."""
    file = folder / name

    def once(raw: bytes) -> object:
        file.write_bytes(raw)
        return call(file)

    return once


def _read_spectra(folder: Path, name: str) -> Once:
    from soft_sensors.read import read_spectra

    def call(file: Path) -> object:
        table = read_spectra(file)
        steps = np.diff(table.axis)
        sound = table.values.shape == (len(table.sample_ids), table.axis.size) and np.isfinite(table.axis).all()
        if not sound or not ((steps > 0).all() or (steps < 0).all() or table.blocks):
            raise Broken(f"a table that is none came back: {table.values.shape}, axis {table.axis[:4]}")
        return table

    return _placed(folder, name, call)


def _read_reference(folder: Path) -> Once:
    from soft_sensors.read import read_reference

    return _placed(folder, "x.csv", lambda file: read_reference(file).numbers("api_pct"))


def _read_line(folder: Path) -> Once:
    from edge.config import read_config
    from hil_sim.endpoint import load_endpoint

    def call(file: Path) -> object:
        load_endpoint(file)
        return read_config(file)

    return _placed(folder, "line.toml", call)


def _parse_line(folder: Path) -> Once:
    from deploy.loop_parts import parts_of
    from edge.config import parse_config

    def once(raw: bytes) -> object:
        try:
            tables = json.loads(raw.decode())
        except (ValueError, RecursionError):
            return None  # the mutation, not the line file
        if not isinstance(tables, dict) or b"\\ud" in raw.lower():
            return None  # no TOML either: it has no lone surrogates
        return parts_of(parse_config(tables, folder / "line.toml"), "line.toml")

    return once


def _read_scenario(folder: Path) -> Once:
    from hil_sim.rig import Rig
    from hil_sim.scenario import load_scenario

    def call(file: Path) -> object:
        rig = Rig(load_scenario(str(file)), 1)
        for _ in range(4):
            rig.step()
        return rig

    return _placed(folder, "x.toml", call)


def _read_card(_folder: Path) -> Once:
    from soft_sensors.card import read_card

    return lambda raw: read_card(raw.decode("utf-8", "replace"), "card.toml")


PARTS_TRIED = ("card.toml", "golden.npz")  # the graph is onnxruntime's to read, and a signature's to vouch for


def _bundle_seeds() -> Sequence[bytes]:
    """One part of the bundle after the other, its number first."""
    whole = MODELS / "cdc_api_nir"
    return [bytes((number,)) + (whole / part).read_bytes() for number, part in enumerate(PARTS_TRIED)]


def _load_bundle(folder: Path) -> Once:
    """A bundle one part of which was replaced, with hashes that fit: whoever can write one can write the other."""
    from soft_sensors.bundle import HASHES, PARTS, combined_hash, load_bundle

    whole, bundle = MODELS / "cdc_api_nir", folder / "bundle"
    bundle.mkdir()
    parts = {name: (whole / name).read_bytes() for name in PARTS}
    for name, content in parts.items():
        (bundle / name).write_bytes(content)

    def once(raw: bytes) -> object:
        name = PARTS_TRIED[(raw[0] if raw else 0) % len(PARTS_TRIED)]
        (bundle / name).write_bytes(raw[1:])
        hashes = {n: hashlib.sha256(raw[1:] if n == name else content).hexdigest() for n, content in parts.items()}
        rows = [f'"{n}" = "{digest}"' for n, digest in hashes.items()]
        (bundle / HASHES).write_text("\n".join([*rows, f'bundle = "{combined_hash(hashes)}"']))
        try:
            return load_bundle(bundle)
        finally:
            (bundle / name).write_bytes(parts[name])

    return once


def _read_registry(folder: Path) -> Once:
    from soft_sensors.registry.log import LOG, read_registry

    registry = folder / "registry"
    registry.mkdir(exist_ok=True)
    (registry / "models").symlink_to(MODELS / "registry" / "models")
    return _placed(registry, LOG, lambda file: read_registry(file.parent))


def _parse_event(_folder: Path) -> Once:
    from soft_sensors.registry.bodies import check_keys
    from soft_sensors.registry.events import parse

    return lambda raw: check_keys(parse(raw, 0))


def _acts(log: Path) -> Sequence[bytes]:
    """What was done, event by event, without who and when."""
    events = [json.loads(line) for line in log.read_bytes().splitlines()]
    return [json.dumps({"action": event["action"], "body": event["body"]}).encode() for event in events]


def _sign_event(folder: Path) -> Once:
    """A person who is enrolled signs whatever they like: the chain and the signature hold, the body is anything."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from soft_sensors.registry.entries import Role
    from soft_sensors.registry.events import sign
    from soft_sensors.registry.log import accept, found

    key = Ed25519PrivateKey.generate()
    registry = found(folder / "own", key, "Ann Example", tuple(Role), 1.76e9)

    def once(raw: bytes) -> object:
        try:
            told = json.loads(raw.decode())
        except (ValueError, RecursionError):
            return None  # the mutation, not an event
        if not isinstance(told, dict) or not isinstance(told.get("body"), dict):
            return None
        event = sign(
            key, seq=len(registry.events), prev=registry.line_hashes[-1], time_s=1.76e9, action=str(told.get("action")),
            person="Ann Example", body=told["body"],
        )  # fmt: skip
        return accept(registry, event)

    return once


def _verification(folder: Path) -> Once:
    from edge.acquire.verification import RecordFile

    file = folder / "verification.json"

    def once(raw: bytes) -> object:
        file.write_bytes(raw)
        return RecordFile(file, 168.0).acquire(1.8e9)

    return once
