"""calibration -> report.html (self-contained) and its figures as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from soft_sensors.calibrate.figures import all_figures
from soft_sensors.calibrate.fit import Calibration

WORST = 10
CAPTIONS = {
    "predicted": "Each point was predicted by a model that was chosen and fitted without its fold.",
    "latent_variables": "Cross-validated error of each pre-treatment; the dashed line is no model at all.",
    "coefficients": "Where on the axis the model finds its answer; compare with the pure components' bands.",
    "distances": "Each sample under a model that had not seen it, against the limits the card carries.",
    "residuals": "Drift or steps in the order of the table point to the reference method or to the instrument.",
}
STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1c2126}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;width:100%}
td,th{padding:.3rem .6rem;border-bottom:1px solid #d8dde2;text-align:left;vertical-align:top}
figure{margin:1.5rem 0}img{max-width:100%}figcaption{color:#5a6269;font-size:.9rem}
.no{background:#fbeae8;padding:.6rem .8rem;border-left:4px solid #c0392b}code{font-size:.85rem;word-break:break-all}"""


def write_report(made: Calibration, bundle_hash: str, folder: Path) -> None:
    """Write report.html and figures/*.png into folder."""
    figures = all_figures(made)
    (folder / "figures").mkdir()
    for name, picture in figures.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture)
    (folder / "report.html").write_text(_page(made, bundle_hash, figures), encoding="utf-8")


def _page(made: Calibration, bundle_hash: str, figures: dict[str, bytes]) -> str:
    card = made.card
    warning = f'<p class="no">{escape(card.evidence)}</p>' if card.skill <= 0 else ""
    pictures = "".join(figure(CAPTIONS[name], picture) for name, picture in figures.items())
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(card.name)}</title>
<style>{STYLE}</style></head><body>
<h1>Soft sensor {escape(card.name)}: {escape(card.cqa)}</h1>{warning}
<h2>Model and evidence</h2>{table(_facts(made, bundle_hash))}
<h2>Left out of the fit</h2>{_left_out(made)}
<h2>Figures</h2>{pictures}
<h2>Largest residuals of held-out samples</h2>{_worst(made)}
</body></html>
"""


def _facts(made: Calibration, bundle_hash: str) -> list[tuple[str, str]]:
    card = made.card
    kept = made.samples.reference[made.keep]
    residual = made.predicted[made.keep] - kept
    unit = f" {card.unit}" if card.unit else ""
    inside = np.abs(made.predicted - made.samples.reference) <= card.half_width
    return [
        ("Target", card.target),
        ("Calibration set", f"{card.n_samples} samples, {card.reference_low:.5g} to {card.reference_high:.5g}{unit}"),
        ("Held out", card.grouping),
        ("Axis", f"{card.axis.size} channels, {card.axis[0]:g} to {card.axis[-1]:g} {card.axis_unit}; "
                 f"used {card.window_low:g} to {card.window_high:g}"),
        ("Model", f"{card.family}, {card.pretreatment}, {card.n_latent} latent variables"),
        ("Compared (RMSECV)", "; ".join(card.tried)),
        *([("Averaged with", "pre-treatment, latent variables: " + "; ".join(card.averaged[1:]))]
          if card.averaged else []),
        ("RMSECV (nested)", f"{card.rmsecv:.4g}{unit}, bias {residual.mean():+.3g}, "
                            f"R² {1 - float((residual**2).mean() / kept.var()):.4f}"),
        (f"Null model: {card.null}", f"{card.rmsecv_null:.4g}{unit}"),
        ("Skill over the null model", f"{card.skill:.3f}: {card.evidence}"),
        ("90 % interval", f"±{card.half_width:.4g}{unit}; covers {100 * inside.mean():.0f} % of all held-out samples, "
                          "those left out of the fit included"),
        ("Limits", f"T² {card.t2_limit:.4g}, Q {card.q_limit:.4g}; refused above {card.refuse_factor:g} times these"),
        ("Software", card.software), ("Seed", str(card.seed)), ("Bundle hash", bundle_hash),
    ]


def table(rows: Sequence[tuple[str, str]]) -> str:
    """An HTML table of names and values."""
    cells = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"


def _left_out(made: Calibration) -> str:
    if not made.card.excluded:
        return "<p>No sample: none has a suspect reference or an outlying spectrum.</p>"
    note = "<p>The interval and the residual figure still count them. Measure them again before you believe either.</p>"
    return table([(e.sample_id, e.reason) for e in made.card.excluded]) + note


def figure(caption: str, picture: bytes) -> str:
    """An HTML figure with the picture (PNG) inside."""
    text = base64.b64encode(picture).decode()
    caption = escape(caption)
    return (f'<figure><img alt="{caption}" src="data:image/png;base64,{text}">'
            f"<figcaption>{caption}</figcaption></figure>")


def _worst(made: Calibration) -> str:
    residual = made.predicted - made.samples.reference
    order = np.argsort(-np.abs(residual))[:WORST]
    rows = "".join(
        f"<tr><td>{escape(made.samples.sample_ids[k])}</td><td>{made.samples.reference[k]:.5g}</td>"
        f"<td>{made.predicted[k]:.5g}</td><td>{residual[k]:+.3g}</td><td>{'no' if made.keep[k] else 'yes'}</td></tr>"
        for k in order
    )
    head = "<tr><th>Sample</th><th>Reference</th><th>Predicted</th><th>Difference</th><th>Left out</th></tr>"
    return f"<table>{head}{rows}</table>"
