"""folder -> Bundle: a model that was built, checked and hashed offline, ready to run.

A bundle is a folder with graph.onnx, card.toml, golden.npz and hashes.toml (SHA-256 of the three), plus a report for
people. Loading checks every hash, and that this machine gives the numbers that were written into golden.npz.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

# onnxruntime's wheel writes a telemetry store into the home directory unless this is set before its import.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort

from soft_sensors.card import Card, read_card
from soft_sensors.contributions import ANATOMY, Anatomy
from soft_sensors.errors import AlteredError, BundleError
from soft_sensors.fingerprint import Fingerprint, fingerprint_of
from soft_sensors.npz import NPZ_ERRORS
from soft_sensors.signals import FloatArray

GRAPH, CARD, GOLDEN, HASHES = "graph.onnx", "card.toml", "golden.npz", "hashes.toml"
INPUT_TYPES = ("float32", "float64")
PARTS = (GRAPH, CARD, GOLDEN)
SCALARS = ("value", "lower", "upper", "t2", "q", "distance")
OUTPUTS = (*SCALARS, "scores", "residual")
SHAPE = "shape_"  # before the names of the fingerprint's arrays in golden.npz
GOLDEN_RTOL = 1e-6  # our choice: far above the last bits in which processors differ, far below any analytical error


@dataclass(frozen=True)
class Bundle:
    """A loaded model: its card, the hash that names it, the pinned inference session, and what explains its answers.

    anatomy: turns scores and residual into contributions; fingerprint: how good spectra look (None: not known).
    """

    card: Card
    bundle_hash: str
    session: Any
    anatomy: Anatomy
    fingerprint: Fingerprint | None = None

    def infer(self, values: FloatArray) -> dict[str, float]:
        """The graph's scalar outputs (SCALARS) for one spectrum [n_channels]; batch is always 1."""
        return _infer(self.session, self.card.input_type, values)

    def infer_whole(self, values: FloatArray) -> tuple[dict[str, float], FloatArray, FloatArray]:
        """The same scalars from the same call with the standardised scores [k] and the residual [m] behind T2 and Q."""
        feed = np.ascontiguousarray(values, dtype=self.card.input_type).reshape(1, -1)
        *numbers, scores, residual = self.session.run(OUTPUTS, {"spectrum": feed})
        return {n: float(o.item()) for n, o in zip(SCALARS, numbers, strict=True)}, scores[0], residual[0]


def load_bundle(path: Path) -> Bundle:
    """Load and check a bundle; BundleError when a part is missing or wrong, AlteredError when it was changed."""
    parts = _read_parts(path)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    _check_hashes(path, hashes)
    card = read_card(_text(parts[CARD], path / CARD), str(path / CARD))
    session = _session(parts[GRAPH], path)
    _check_shapes(session, card, path)
    try:
        with np.load(BytesIO(parts[GOLDEN]), allow_pickle=False) as arrays:
            golden = {name: arrays[name] for name in arrays.files}
        anatomy = Anatomy(**{name: golden[name] for name in ANATOMY})
        shape = {name.removeprefix(SHAPE): array for name, array in golden.items() if name.startswith(SHAPE)}
        fingerprint = fingerprint_of(shape) if shape else None
    except NPZ_ERRORS as error:
        raise BundleError(f"{path / GOLDEN}: not readable ({error}); calibrate again") from error
    _check_golden(session, card, golden, path)
    return Bundle(card, combined_hash(hashes), session, anatomy, fingerprint)


def _text(raw: bytes, where: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BundleError(f"{where}: not UTF-8 ({error}); make the bundle again") from error


def combined_hash(hashes: Mapping[str, str]) -> str:
    """One SHA-256 over names and hashes of the parts, in the order of PARTS."""
    text = "".join(f"{name} {hashes[name]}\n" for name in PARTS)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_parts(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise BundleError(f"{path}: no such bundle folder; make one with 'patloop sensor calibrate --out {path}'")
    missing = [name for name in (*PARTS, HASHES) if not (path / name).is_file()]
    if missing:
        raise BundleError(f"{path}: the bundle lacks {', '.join(missing)}; copy it again or calibrate again")
    return {name: (path / name).read_bytes() for name in PARTS}


def _check_hashes(path: Path, hashes: Mapping[str, str]) -> None:
    try:
        written = tomllib.loads((path / HASHES).read_text())
    except (ValueError, RecursionError) as error:
        raise AlteredError(f"{path / HASHES}: not readable ({error}); restore the approved bundle") from error
    for name in PARTS:
        if written.get(name) != hashes[name]:
            raise AlteredError(f"{path / name}: altered since it was written; restore the approved bundle")
    if written.get("bundle") != combined_hash(hashes):
        raise AlteredError(f"{path / HASHES}: the bundle hash is wrong; restore the approved bundle")


def _session(graph: bytes, path: Path) -> Any:
    """A session with everything pinned that may change bits: one thread, no spinning, sequential, processor only."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        first = str(error).splitlines()[0]
        raise BundleError(f"{path / GRAPH}: the graph does not load ({first}); calibrate again") from error


def _check_shapes(session: Any, card: Card, path: Path) -> None:
    inputs = [(i.name, list(i.shape)) for i in session.get_inputs()]
    if inputs != [("spectrum", [1, card.axis.size])]:
        raise BundleError(f"{path}: graph input {inputs} does not fit the card's axis of {card.axis.size} channels")
    if card.input_type not in INPUT_TYPES:
        raise BundleError(f"{path}: the card's input_type {card.input_type!r} is none of {', '.join(INPUT_TYPES)}")
    names = tuple(o.name for o in session.get_outputs())
    if names != OUTPUTS:
        raise BundleError(f"{path}: graph outputs {names} are not {OUTPUTS}; calibrate again")


def _check_golden(session: Any, card: Card, golden: Mapping[str, FloatArray], path: Path) -> None:
    # The golden spectra are calibration samples: their distance is zero but for rounding, so it is held to 1e-6 of 1.
    least = np.array([1.0 if name == "distance" else np.finfo(np.float64).tiny for name in SCALARS])
    for values, wanted in zip(golden["spectra"], golden["outputs"], strict=True):
        got = np.array(list(_infer(session, card.input_type, values).values()))
        error_rel = float(np.max(np.abs(got - wanted) / np.maximum(np.abs(wanted), least)))
        if not error_rel <= GOLDEN_RTOL:
            raise AlteredError(f"{path / GOLDEN}: this machine differs by {error_rel:.1e} relative (allowed "
                               f"{GOLDEN_RTOL:.0e}); qualify the machine or calibrate again")


def _infer(session: Any, input_type: str, values: FloatArray) -> dict[str, float]:
    feed = np.ascontiguousarray(values, dtype=input_type).reshape(1, -1)
    outputs = session.run(SCALARS, {"spectrum": feed})
    return {name: float(output.item()) for name, output in zip(SCALARS, outputs, strict=True)}


__all__ = ["OUTPUTS", "PARTS", "SCALARS", "Bundle", "Card", "combined_hash", "load_bundle"]
