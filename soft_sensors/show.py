"""bundles and scores -> tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from soft_sensors.bundle import Bundle
from soft_sensors.card import WRAPPED, Card
from soft_sensors.predictions import Prediction
from soft_sensors.score import Score, score
from soft_sensors.signals import FloatArray


def show_card(model: Bundle) -> None:
    """What a bundle says of itself."""
    c = model.card
    table = Table(show_header=False, box=None)
    for name, value in (
        ("model", f"{c.name}: {c.cqa} {c.unit} ({c.target})"),
        _family(c),
        *((("averaged with", "; ".join(c.averaged[1:])),) if c.averaged else ()),
        ("calibration", f"{c.n_samples} samples, {c.reference_low:.5g} to {c.reference_high:.5g}; {c.grouping}"),
        ("RMSE" if c.family == WRAPPED else "RMSECV",
         f"{c.rmsecv:.4g} ({_how(c)}); {c.null} {c.rmsecv_null:.4g}; skill {c.skill:.3f}"),
        *((("compared (RMSECV)", "; ".join(c.tried)),) if c.tried else ()),
        ("evidence", c.evidence),
        ("90 % interval", f"±{c.half_width:.4g}"),
        ("limits", f"T2 {c.t2_limit:.4g}, Q {c.q_limit:.4g}, refused above {c.refuse_factor:g} times these"),
        *_transfer_lines(c),
        ("bundle hash", model.bundle_hash),
        *((f"left out: {e.sample_id}", e.reason) for e in c.excluded),
    ):
        table.add_row(name, value)
    Console().print(table)


def _family(card: Card) -> tuple[str, str]:
    if card.family == WRAPPED:
        return card.family, f"{_used(card)}; T2 and Q: {card.pretreatment}, {card.n_latent} principal components"
    return card.family, f"{card.pretreatment}, {card.n_latent} latent variables, {_used(card)}"


def _how(card: Card) -> str:
    if card.family == WRAPPED:
        return "on these samples, nothing was refitted"
    return "nested" if card.transfer is None else "held-out pairs"


def _used(card: Card) -> str:
    if card.blocks:
        return " and ".join(f"{block.name} ({block.n_channels} channels, {block.axis_unit})" for block in card.blocks)
    return f"{card.window_low:g}-{card.window_high:g} {card.axis_unit}"


def _transfer_lines(card: Card) -> tuple[tuple[str, str], ...]:
    made = card.transfer
    if made is None:
        return ()
    return (
        ("transferred from", f"{made.parent_name} {made.parent_hash[:12]} by {made.method}, {len(made.pairs)} pairs"),
        ("from old values", f"{made.rmse_before:.4g} away without transfer, {made.rmse_after:.4g} with it (nested)"),
        *((("from references", f"{made.rmsep_before:.4g} away without transfer, {made.rmsep_after:.4g} with it "
            f"({made.referenced} pairs, held out)"),) if made.referenced else ()),
    )


def show_score(result: Score) -> None:
    """The figures of merit, one a line."""
    table = Table(show_header=False, box=None)
    for key, value in asdict(result).items():
        table.add_row(key, f"{value:.5g}" if isinstance(value, float) else str(value))
    Console().print(table)


def show_groups(predictions: Sequence[Prediction], y: FloatArray, labels: Sequence[str]) -> None:
    """Error and bias of each group: whether one batch behaves unlike the others."""
    table = Table("group", "n", "rmsep", "bias")
    for label in sorted(set(labels)):
        chosen = [k for k, other in enumerate(labels) if other == label]
        part = score([predictions[k] for k in chosen], y[chosen])
        table.add_row(label, str(part.n), f"{part.rmsep:.4g}", f"{part.bias:+.3g}")
    Console().print(table)
