"""The `track` table of a line file: how well the residence is known and how sure a release must be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from control.settings import Positive, Share, Table


class TrackSettings(Table):
    """Material tracking and diversion; every default is our choice unless it says otherwise, `lc` is label claim.

    holdup_rel: sigma of the hold-ups between feeders and gate, relative. valve_s: from the request to the gate having
    moved. last_word_s: how far a release looks ahead at least, for a word that never comes (the PLC's watchdog rejects
    by itself only later). nir_gap_s: how long the feeders alone vouch for the material; they cannot see a hidden loss.
    confirm_kg: mass that has to pass inside the limits before diversion stops. margin_lc_pct: for what model and
    signals leave out.
    swing_doubt_lc_pct: how much further the bounds reach before a swing that is nearly sure is found.
    stations: dies of the turret (turret speed counts tablets by them); None: tablets are not counted.
    """

    holdup_rel: Share = 0.10
    valve_s: Positive = 2.5
    last_word_s: Positive = 10.0
    nir_gap_s: Positive = 30.0
    confirm_kg: Annotated[float, Field(ge=0)] = 0.025
    margin_lc_pct: Annotated[float, Field(ge=0)] = 0.35
    gap_memory_s: Positive = 300.0
    start_gap_lc_pct: Positive = 0.5
    nir_walk_lc_pct: Positive = 0.5
    drift_lc_pct: Positive = 0.02
    slope_lc_pct: Positive = 0.001
    swing_slope_lc_pct: Positive = 0.05
    swing_threshold: Positive = 3.0
    swing_doubt_lc_pct: Annotated[float, Field(ge=0)] = 1.0
    swing_slack: Positive = 0.3
    silence_lc_pct: Positive = 0.05
    weight_limit_pct: Positive = 5.0
    stations: Annotated[int, Field(ge=1)] | None = None
    tablet_weight_rel: Positive = 0.01
    feeder_cell_kg: Positive = 0.0005
    blind_rel: Positive = 0.05
    level_nominal_pct: Positive = 50.0
    level_sigma_pct: Positive = 5.0
