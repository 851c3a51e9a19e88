"""calibration -> bundle folder, its bytes the same each time."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from soft_sensors.bundle import CARD, GOLDEN, GRAPH, HASHES, SCALARS, SHAPE, Bundle, combined_hash, load_bundle
from soft_sensors.calibrate.evidence import CALIBRATION, evidence_arrays
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.calibrate.graph import explanation, graph_bytes
from soft_sensors.calibrate.report import write_report
from soft_sensors.card import Block, Card, Transfer
from soft_sensors.errors import CalibrationError
from soft_sensors.fingerprint import Fingerprint, table_of
from soft_sensors.signals import FloatArray

GOLDEN_SPECTRA = 5


def write_bundle(made: Calibration, out: Path) -> Bundle:
    """Write graph, card, golden vectors, hashes and report, then load them back as the service will.

    Replaces an older bundle at out; CalibrationError when out holds anything else.
    """
    graph = graph_bytes(made)
    order = np.argsort(made.samples.reference[made.keep], kind="stable")
    explained = {**explanation(made), **shape_arrays(made.fingerprint)}
    parts = {GRAPH: graph, CARD: card_toml(made.card).encode(),
             GOLDEN: golden(made.card, made.samples.spectra[made.keep][order], graph, explained),
             CALIBRATION: npz_bytes(evidence_arrays(made))}
    return write_parts(parts, lambda bundle_hash, folder: write_report(made, bundle_hash, folder), out)


def write_parts(parts: Mapping[str, bytes], report: Callable[[str, Path], None], out: Path) -> Bundle:
    """Write the parts, their hashes and a report (given the bundle's hash and its folder) as a bundle, and load it."""
    check_free(out)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    hashes = {name: hashlib.sha256(parts[name]).hexdigest() for name in parts}
    for name, content in parts.items():
        (partial / name).write_bytes(content)
    lines = [f'"{name}" = "{digest}"' for name, digest in hashes.items()]
    (partial / HASHES).write_text("\n".join([*lines, f'bundle = "{combined_hash(hashes)}"', ""]))
    report(combined_hash(hashes), partial)
    load_bundle(partial)
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return load_bundle(out)


def shape_arrays(fingerprint: Fingerprint | None) -> dict[str, NDArray[Any]]:
    """The fingerprint's arrays as golden.npz names them."""
    return {} if fingerprint is None else {SHAPE + name: array for name, array in table_of(fingerprint).items()}


def check_free(out: Path) -> None:
    """CalibrationError when out is neither free nor an older bundle."""
    if out.exists() and not (out.is_dir() and ((out / CARD).is_file() or not any(out.iterdir()))):
        raise CalibrationError(f"{out}: exists and is no bundle; name another --out")


def card_toml(card: Card) -> str:
    """The card as TOML, one key a line, numbers in full."""
    lines = []
    for field in fields(card):
        if field.name not in ("excluded", "transfer", "averaged", "blocks"):
            lines.append(f"{field.name} = {_toml(getattr(card, field.name))}")
    if card.averaged:
        lines.append(f"averaged = {_toml(card.averaged)}")
    for block in card.blocks:
        lines += ["", "[[blocks]]", *(f"{f.name} = {_toml(getattr(block, f.name))}" for f in fields(Block))]
    for left_out in card.excluded:
        lines += ["", "[[excluded]]", f"sample_id = {_toml(left_out.sample_id)}", f"reason = {_toml(left_out.reason)}"]
    if card.transfer is not None:
        lines += ["", "[transfer]", *(f"{f.name} = {_toml(getattr(card.transfer, f.name))}" for f in fields(Transfer))]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return "[" + ", ".join(repr(float(v)) for v in value) + "]"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return repr(value)


def golden(card: Card, ordered: FloatArray, graph: bytes, explained: Mapping[str, FloatArray]) -> bytes:
    """Five of the spectra [n, channels], which are in order of the reference, and what the graph gives for them.

    explained: the arrays that explain answers (contributions, fingerprint), kept in the same hashed part.
    """
    picked = np.linspace(0, len(ordered) - 1, GOLDEN_SPECTRA).round().astype(int)
    spectra = ordered[picked].astype(card.input_type)
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    rows = [[float(o.item()) for o in session.run(SCALARS, {"spectrum": row[None, :]})] for row in spectra]
    return npz_bytes({"spectra": spectra, "outputs": np.array(rows), **explained})


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A .npz without the clock in it (numpy.savez stamps its members)."""
    whole = BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED)
    return whole.getvalue()
