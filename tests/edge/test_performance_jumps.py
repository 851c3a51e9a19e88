"""Which cycles the gain test leaves out: those around a jump of what is delivered or of the NIR, and no others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.record.performance import _arriving, _Seen


@pytest.mark.parametrize("which", ["delivered", "nir_bias_share"])
def test_a_jump_is_left_out_as_far_as_the_residence_reaches(which: str) -> None:
    steady, jumped = [1.0] * 400, [1.0] * 200 + [0.96] * 200
    values = {"delivered": steady, "nir_bias_share": [0.0] * 400, which: jumped}
    seen = _Seen(time_s=[5.0 * i for i in range(400)], **values)  # type: ignore[arg-type]
    left_out = np.flatnonzero(_arriving(seen, 5.0, 100.0))
    assert (left_out[0], left_out[-1]) == (200 - 12 - 20, 199 + 12 + 20 - 1)
    assert np.all(np.diff(left_out) == 1)


def test_a_drift_or_nothing_known_leaves_nothing_out() -> None:
    drift = list(np.linspace(1.0, 0.94, 400))
    seen = _Seen(time_s=[5.0 * i for i in range(400)], delivered=drift, nir_bias_share=[math.nan] * 400)
    assert not _arriving(seen, 5.0, 100.0).any()
