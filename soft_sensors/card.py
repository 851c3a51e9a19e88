"""card.toml -> Card: what a model bundle says of itself."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from soft_sensors.errors import BundleError
from soft_sensors.signals import FloatArray

FORMAT = 1
CONCENTRATION = "concentration"
AMOUNT_VIA_MASS = "amount per tablet via mass"
WRAPPED = "wrapped network"


@dataclass(frozen=True)
class Excluded:
    """A calibration sample that the fit left out, and why."""

    sample_id: str
    reason: str


@dataclass(frozen=True)
class Block:
    """One instrument's run of channels in a joined spectrum; blocks follow each other in order."""

    name: str
    axis_unit: str
    n_channels: int


@dataclass(frozen=True)
class Transfer:
    """How a model came to its instrument: from which bundle, by which map, learnt from which samples.

    rmse_before, rmse_after: root mean square difference to the old instrument's values on the paired samples, without
    a map and (nested cross-validation) with it, in the card's unit; agreement_half_width: 90 % of the latter are within
    it; parent_half_width: the interval at home. The card's half_width is the root of the sum of both squares.
    referenced: how many pairs have a trusted reference; where any, rmsep_before, rmsep_after: error against these on
    the new instrument, held out; agreement_half_width is then what the new instrument adds to the interval.
    """

    parent_name: str
    parent_hash: str
    method: str
    pairs: tuple[str, ...]
    rmse_before: float
    rmse_after: float
    agreement_half_width: float
    parent_half_width: float
    referenced: int = 0
    rmsep_before: float = 0.0
    rmsep_after: float = 0.0


@dataclass(frozen=True)
class Card:
    """What the model is, where it holds and on what evidence.

    axis [n_channels] in axis_unit; value, half_width, rmsecv, rmsecv_null in unit (with target AMOUNT_VIA_MASS that
    is amount per unit of mass: the caller multiplies with the tablet's mass). half_width: of the 90 % prediction
    interval. t2_limit, q_limit: above is uncertain, above refuse_factor times that is bad. intensity_low, high: allowed
    mean of a spectrum; saturation: largest allowed channel; flat_run: the run of equal channels that means clipping.
    averaged: pre-treatment and number of latent variables of each PLS model whose values are averaged, where there are
    several; the first is the one of pretreatment and n_latent, which gives T2 and Q. family: PLS, a kernel on PLS
    scores, or a wrapped network; tried: what cross-validation compared. distance_limit: of the distance to the nearest
    calibration sample, in standardised scores. accept: low, high of the acceptance limits in unit, or empty.
    blocks: of a spectrum that is joined from several instruments, whose axes follow each other; empty: there is one.
    skill: 1 - (rmsecv / rmsecv_null)^2, over the null model (null says which); <= 0 means no evidence.
    """

    format: int
    name: str
    cqa: str
    unit: str
    target: str
    axis_unit: str
    axis: FloatArray
    input_type: str
    pretreatment: str
    window_low: float
    window_high: float
    n_latent: int
    half_width: float
    t2_limit: float
    q_limit: float
    refuse_factor: float
    intensity_low: float
    intensity_high: float
    saturation: float
    flat_run: int
    n_samples: int
    n_groups: int
    grouping: str
    reference_low: float
    reference_high: float
    rmsecv: float
    rmsecv_null: float
    skill: float
    evidence: str
    seed: int
    software: str
    excluded: tuple[Excluded, ...] = ()
    transfer: Transfer | None = None
    averaged: tuple[str, ...] = ()
    family: str = "PLS"
    distance_limit: float = float("inf")
    tried: tuple[str, ...] = ()
    accept: tuple[float, ...] = ()
    blocks: tuple[Block, ...] = ()
    null: str = "mean of the others"

    @cached_property
    def channel_width(self) -> float:
        """The usual distance of two channels, in axis_unit."""
        return float(np.median(np.abs(np.diff(self.axis)))) if self.axis.size > 1 else 1.0

    @cached_property
    def window(self) -> slice:
        """The channels that the model uses, window_low to window_high (the rest may hold detector noise)."""
        used = np.flatnonzero((self.axis >= self.window_low) & (self.axis <= self.window_high))
        return slice(int(used[0]), int(used[-1]) + 1)


def read_card(text: str, where: str) -> Card:
    """The card in a TOML text; BundleError, naming where, when it is not a card of this format."""
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: not valid TOML ({error}); make the bundle again") from error
    if table.get("format") != FORMAT:
        raise BundleError(f"{where}: card format {table.get('format')} is not {FORMAT}; calibrate again")
    missing = sorted({f.name for f in fields(Card) if f.default is MISSING} - table.keys())
    unknown = sorted(table.keys() - {f.name for f in fields(Card)})
    if missing or unknown:
        raise BundleError(f"{where}: missing {missing}, unknown {unknown}; make the bundle again")
    return _card(table, where)


def _card(table: Mapping[str, Any], where: str) -> Card:
    try:
        left_out = tuple(Excluded(str(e["sample_id"]), str(e["reason"])) for e in table.get("excluded", ()))
        special = ("axis", "excluded", "transfer", "averaged", "tried", "accept", "blocks")
        plain = {key: value for key, value in table.items() if key not in special}
        moved = table.get("transfer")
        transfer = None if moved is None else Transfer(**{**moved, "pairs": tuple(map(str, moved["pairs"]))})
        return Card(axis=np.array(table["axis"], dtype=np.float64), excluded=left_out, transfer=transfer,
                    averaged=tuple(map(str, table.get("averaged", ()))), tried=tuple(map(str, table.get("tried", ()))),
                    accept=tuple(map(float, table.get("accept", ()))),
                    blocks=tuple(Block(**block) for block in table.get("blocks", ())), **plain)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{where}: {error}; make the bundle again") from error
