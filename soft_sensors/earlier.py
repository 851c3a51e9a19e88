"""folder -> Bundle: a model of the first release, which gave no scores, residual or distance; for replay only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from soft_sensors.bundle import (
    CARD,
    GOLDEN,
    GOLDEN_RTOL,
    GRAPH,
    Bundle,
    _check_hashes,
    _read_parts,
    _session,
    combined_hash,
)
from soft_sensors.card import read_card
from soft_sensors.contributions import Anatomy
from soft_sensors.errors import AlteredError, BundleError
from soft_sensors.npz import NPZ_ERRORS
from soft_sensors.signals import FloatArray

OUTPUTS = ("value", "lower", "upper", "t2", "q")  # of the first release's graphs


@dataclass(frozen=True)
class EarlierBundle(Bundle):
    """A bundle whose graph gives OUTPUTS alone: nothing is known of the distance, and no channel is named."""

    def infer(self, values: FloatArray) -> dict[str, float]:
        """The graph's numbers for one spectrum [n_channels]; the distance, which it does not know, is 0."""
        feed = np.ascontiguousarray(values, dtype=self.card.input_type).reshape(1, -1)
        outputs = self.session.run(OUTPUTS, {"spectrum": feed})
        return {**{n: float(o.item()) for n, o in zip(OUTPUTS, outputs, strict=True)}, "distance": 0.0}

    def infer_whole(self, values: FloatArray) -> tuple[dict[str, float], FloatArray, FloatArray]:
        """The same, with no scores and no residual."""
        return self.infer(values), np.zeros(0), np.zeros(0)


def load_earlier(path: Path) -> Bundle:
    """Load and check a bundle of the first release; the service refuses such, a replay of its records needs them.

    BundleError when it is none, AlteredError when a hash or a golden vector does not agree.
    """
    parts = _read_parts(path)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
    _check_hashes(path, hashes)
    card = read_card(parts[CARD].decode(), str(path / CARD))
    session = _session(parts[GRAPH], path)
    names = tuple(o.name for o in session.get_outputs())
    if names != OUTPUTS:
        raise BundleError(f"{path}: graph outputs {names} are those of no release that is known; calibrate again")
    nothing = Anatomy(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0), np.zeros(0))
    bundle = EarlierBundle(card, combined_hash(hashes), session, nothing)
    try:
        with np.load(BytesIO(parts[GOLDEN]), allow_pickle=False) as golden:
            spectra, expected = golden["spectra"], golden["outputs"]
    except NPZ_ERRORS as error:
        raise BundleError(f"{path / GOLDEN}: not readable ({error})") from error
    for values, wanted in zip(spectra, expected, strict=True):
        got = np.array([bundle.infer(values)[name] for name in OUTPUTS])
        if not np.allclose(got, wanted, rtol=GOLDEN_RTOL, atol=0.0):
            raise AlteredError(f"{path / GOLDEN}: this machine does not reproduce the recorded model's numbers")
    return bundle
