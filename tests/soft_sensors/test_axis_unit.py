"""A file that says its axis unit is held to it: nanometres are never taken for wavenumbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soft_sensors.bundle import Bundle
from soft_sensors.errors import TableError
from soft_sensors.predictions import predict
from soft_sensors.read.tables import SpectraTable


def table(bundle: Bundle, axis_unit: str) -> SpectraTable:
    flat = np.ones((1, bundle.card.axis.size))
    return SpectraTable(("a",), bundle.card.axis, flat, axis_unit)


def test_another_unit_is_refused_and_a_silent_file_is_taken_at_the_card_s(bundle: Bundle) -> None:
    other = "cm-1" if bundle.card.axis_unit == "nm" else "nm"
    with pytest.raises(TableError, match="axis unit"):
        list(predict(bundle, table(bundle, other)))
    assert len(list(predict(bundle, table(bundle, "")))) == 1
    assert len(list(predict(bundle, replace(table(bundle, ""), axis_unit=bundle.card.axis_unit)))) == 1
