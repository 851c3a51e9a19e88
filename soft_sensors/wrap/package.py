"""Wrapped -> bundle folder, its bytes the same each time, with a report and its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np

from soft_sensors.bundle import CARD, GOLDEN, GRAPH, Bundle
from soft_sensors.calibrate.evidence import CALIBRATION, evidence_arrays
from soft_sensors.calibrate.graph import explanation
from soft_sensors.calibrate.package import card_toml, golden, npz_bytes, shape_arrays, write_parts
from soft_sensors.calibrate.report import STYLE, figure, table
from soft_sensors.wrap import space
from soft_sensors.wrap.figures import all_figures
from soft_sensors.wrap.judge import Wrapped
from soft_sensors.wrap.merge import check_same, merged_graph
from soft_sensors.wrap.network import answers

WORST = 10
CAPTIONS = {
    "predicted": "Each point is what the finished network says of a sample; nothing was fitted to these references.",
    "distances": "Each sample in a space of components that had not seen it, against the limits the card carries.",
    "components": f"How many components give T² and Q: {space.RULE}.",
    "residuals": "Drift or steps in the order of the table point to the reference method or to the instrument.",
}


def write_wrapped(wrapped: Wrapped, out: Path) -> Bundle:
    """Write the network as a bundle at out, and load it back as the service will.

    Replaces an older bundle at out. NetworkError when the bundle would not say what the network says alone.
    """
    made = wrapped.made
    graph = merged_graph(wrapped.network, made)
    _check_whole(wrapped, graph)
    order = np.argsort(made.samples.reference[made.keep], kind="stable")
    explained = {**explanation(made), **shape_arrays(made.fingerprint)}
    parts = {GRAPH: graph, CARD: card_toml(made.card).encode(),
             GOLDEN: golden(made.card, made.samples.spectra[made.keep][order], graph, explained),
             CALIBRATION: npz_bytes({**evidence_arrays(made), "fitted": made.predicted})}  # fmt: skip
    return write_parts(parts, lambda bundle_hash, folder: write_report(wrapped, bundle_hash, folder), out)


def write_report(wrapped: Wrapped, bundle_hash: str, folder: Path) -> None:
    """Write report.html and figures/*.png into folder."""
    made, card = wrapped.made, wrapped.made.card
    pictures = all_figures(made)
    (folder / "figures").mkdir()
    for name, picture in pictures.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture)
    warning = f'<p class="no">{escape(card.evidence)}</p>' if card.skill <= 0 else ""
    shown = "".join(figure(CAPTIONS[name], picture) for name, picture in pictures.items())
    left_out = [(e.sample_id, e.reason) for e in card.excluded]
    (folder / "report.html").write_text(f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>{escape(card.name)}</title><style>{STYLE}</style></head><body>
<h1>Soft sensor {escape(card.name)}: {escape(card.cqa)}, a wrapped network</h1>{warning}
<h2>Model and evidence</h2>{table(_facts(wrapped, bundle_hash))}
<h2>Left out of error, interval and limits</h2>{table(left_out) if left_out else "<p>No sample.</p>"}
<h2>Figures</h2>{shown}
<h2>Largest residuals</h2>{_worst(wrapped)}
</body></html>
""", encoding="utf-8")


def _check_whole(wrapped: Wrapped, graph: bytes) -> None:
    """The graph as it was written against the network alone, on every sample."""
    made = wrapped.made
    inside = replace(wrapped.network, content=graph, input_name="spectrum", output_name="value",
                     shape=(1, made.card.axis.size), element=made.card.input_type)
    check_same(wrapped.network, made.predicted, answers(inside, made.samples.spectra, made.card.input_type))


def _facts(wrapped: Wrapped, bundle_hash: str) -> list[tuple[str, str]]:
    made, card, network = wrapped.made, wrapped.made.card, wrapped.network
    residual = made.predicted[made.keep] - made.samples.reference[made.keep]
    unit = f" {card.unit}" if card.unit else ""
    return [
        ("Network", network.origin),
        ("Its input", f"{network.input_name} {list(network.shape)} {network.element}"),
        ("Its output", network.output_name),
        ("Target", card.target),
        ("Samples", f"{card.n_samples}, {card.reference_low:.5g} to {card.reference_high:.5g}{unit}; {card.grouping}"),
        ("Axis", f"{card.axis.size} channels, {card.axis[0]:g} to {card.axis[-1]:g} {card.axis_unit}; watched "
                 f"{card.window_low:g} to {card.window_high:g}"),
        ("Error on these samples", f"{card.rmsecv:.4g}{unit} (on the card as rmsecv; nothing was refitted), bias "
                                   f"{residual.mean():+.3g}"),
        ("Null model: mean of the others", f"{card.rmsecv_null:.4g}{unit}"),
        ("Skill over the null model", f"{card.skill:.3f}: {card.evidence}"),
        ("90 % interval", f"±{card.half_width:.4g}{unit}"),
        ("T² and Q", f"{card.n_latent} principal components after {card.pretreatment}: {space.RULE}"),
        ("Limits", f"T² {card.t2_limit:.4g}, Q {card.q_limit:.4g}; refused above {card.refuse_factor:g} times these"),
        ("Software", card.software), ("Seed", str(card.seed)), ("Bundle hash", bundle_hash),
    ]  # fmt: skip


def _worst(wrapped: Wrapped) -> str:
    made = wrapped.made
    residual = made.predicted - made.samples.reference
    rows: Sequence[tuple[str, str]] = [
        (made.samples.sample_ids[k], f"reference {made.samples.reference[k]:.5g}, network {made.predicted[k]:.5g}, "
         f"difference {residual[k]:+.3g}{'' if made.keep[k] else ', left out'}")
        for k in np.argsort(-np.abs(residual), kind="stable")[:WORST].tolist()]  # fmt: skip
    return table(rows)
