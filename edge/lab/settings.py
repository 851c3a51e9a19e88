"""The line file's [lab] table: where laboratory results come from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from control.settings import Positive, Table


class LabTable(Table):
    """Where laboratory results come from, beside the requests of the line's API that need no table.

    prefix: of the tags by which the line itself tells its newest result, None where it tells none; delay_s: from the
    analyser to where the laboratory's sample is taken; folder: where a LIMS drops files, which are taken when they
    stood still for settle_s; oldest_h: samples that lie further back are refused; same_within_s: results whose samples
    were taken within so much of each other are of one sample, where one of the two has no sample id.
    """

    prefix: str | None = None
    delay_s: Annotated[float, Field(ge=0.0)] = 0.0
    folder: Path | None = None
    settle_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 2.0
    oldest_h: Positive = 72.0
    same_within_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 30.0
