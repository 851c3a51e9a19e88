"""moved model -> bundle folder, with a report and its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from soft_sensors.bundle import CARD, GOLDEN, GRAPH, Bundle
from soft_sensors.calibrate.evidence import CALIBRATION
from soft_sensors.calibrate.figures import BLUE, GREY, ORANGE, RED, of_unit, png
from soft_sensors.calibrate.package import card_toml, golden, npz_bytes, shape_arrays, write_parts
from soft_sensors.calibrate.report import STYLE, figure, table
from soft_sensors.calibrate.transfer.choose import rms
from soft_sensors.calibrate.transfer.move import Moved
from soft_sensors.calibrate.transfer.pooled import POOLED

PICTURES = Mapping[str, tuple[str, Callable[[Moved, Axes], None]]]
PAIRS = "Each pair on both instruments; the transferred value is by a way that was chosen and learnt without the pair."
METHODS = ("Cross-validated difference to the old instrument's values for every map that was tried: SST(components), "
           "DS(ridge), PDS(channels, components).")
SPECTRA = "What is left of the difference between the instruments, over the pairs that were learnt from."
LIMITS = "The pairs' new spectra, held out, against the limits of the card (solid) and those at home (dashed)."
REFERENCES = ("The pairs' new spectra against their references, each predicted by a fit that had seen nothing of the "
              "pair on either instrument.")


def write_moved(moved: Moved, out: Path) -> Bundle:
    """Write the moved model as a bundle at out; CalibrationError when out holds anything but a bundle."""
    order = np.argsort(moved.old_values, kind="stable")
    parts = {GRAPH: moved.graph, CARD: card_toml(moved.card).encode(),
              GOLDEN: golden(moved.card, moved.paired.new[order[~moved.suspect[order]]], moved.graph,
                            {**moved.explained, **shape_arrays(moved.fingerprint)})}
    if moved.evidence:
        parts[CALIBRATION] = npz_bytes(moved.evidence)
    return write_parts(parts, lambda bundle_hash, folder: _write_report(moved, bundle_hash, folder), out)


def _write_report(moved: Moved, bundle_hash: str, folder: Path) -> None:
    drawn = _drawn(moved)
    pictures = {name: png(draw, moved) for name, (_, draw) in drawn.items()}
    (folder / "figures").mkdir()
    for name, picture in pictures.items():
        (folder / "figures" / f"{name}.png").write_bytes(picture)
    card = moved.card
    notes = "".join(f'<p class="no">{escape(text)}</p>' for text in moved.warnings)
    shown = "".join(figure(drawn[name][0], picture) for name, picture in pictures.items())
    (folder / "report.html").write_text(f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>{escape(card.name)}</title><style>{STYLE}</style></head><body>
<h1>Soft sensor {escape(card.name)}: {escape(card.cqa)}, transferred to another instrument</h1>{notes}
<h2>Transfer and evidence</h2>{table(_facts(moved, bundle_hash))}
<h2>Figures</h2>{shown}
<h2>Pairs</h2>{_rows(moved)}
</body></html>
""", encoding="utf-8")


def _drawn(moved: Moved) -> PICTURES:
    """Caption and drawing by name, in the report's order; what has no evidence is not drawn."""
    found: dict[str, tuple[str, Callable[[Moved, Axes], None]]] = {"pairs": (PAIRS, _pairs)}
    if moved.tried is not None:
        found["references"] = (REFERENCES, _references)
    return found | {"methods": (METHODS, _methods), "spectra": (SPECTRA, _spectra), "limits": (LIMITS, _limits)}


def _facts(moved: Moved, bundle_hash: str) -> list[tuple[str, str]]:
    card, made = moved.card, moved.card.transfer
    if made is None:
        raise ValueError("a moved model's card says how it was moved")
    unit = f" {card.unit}" if card.unit else ""
    home = moved.home
    # Fitted again, nothing was chosen on the way; that it was preferred to a map is one choice, not held out.
    how = "cross-validation, each pair held out" if made.method == POOLED else "nested cross-validation"
    interval = (f"±{card.half_width:.4g}{unit}: ±{made.parent_half_width:.4g} at home and "
                f"±{made.agreement_half_width:.4g} between the instruments, added in squares")
    if made.referenced:
        interval = (f"±{card.half_width:.4g}{unit}, ±{made.parent_half_width:.4g} at home: the size of the pairs' "
                    "held-out errors with the shape of the calibration's, never narrower than at home")
    return [
        ("Parent", f"{made.parent_name}, bundle hash {made.parent_hash}"),
        ("Way", f"{made.method}; learnt from {len(made.pairs)} pairs"),
        ("Difference to the old instrument, no transfer", f"{made.rmse_before:.4g}{unit} (root mean square)"),
        ("Difference to the old instrument, transferred", f"{made.rmse_after:.4g}{unit} ({how})"),
        *_judged(moved, unit),
        ("90 % interval", interval),
        ("Error to expect", f"{card.rmsecv:.4g}{unit}; skill over the null model {card.skill:.3f}"),
        ("Evidence", card.evidence),
        ("Limits", f"T² {card.t2_limit:.4g} (at home {home.t2_limit:.4g}), Q {card.q_limit:.4g} ({home.q_limit:.4g}), "
                   f"distance {card.distance_limit:.4g} ({home.distance_limit:.4g}); refused above "
                   f"{card.refuse_factor:g} times these"),
        ("Shapes of good spectra", "not known" if moved.fingerprint is None else
         "learnt from the pairs and from the calibration spectra as the new instrument would have seen them"),
        ("Software", card.software), ("Bundle hash", bundle_hash),
    ]


def _judged(moved: Moved, unit: str) -> list[tuple[str, str]]:
    """Each way's error against the references, where these are known."""
    if moved.tried is None:
        return [("Against references", "not judged: the pairs' references or the parent's calibration are not known")]
    tried = moved.tried
    truth = tried.home.truth[tried.trusted]
    found = (("no transfer", tried.refitted.plain), ("best map", tried.refitted.mapped),
             (POOLED, tried.refitted.pooled))
    text = "; ".join(f"{name} {rms(values[tried.trusted] - truth):.4g}{unit}" for name, values in found)
    return [("Against references", f"{text} ({truth.size} pairs, held out)")]


def _rows(moved: Moved) -> str:
    rows = "".join(
        f"<tr><td>{escape(sample_id)}</td><td>{old:.5g}</td><td>{before:.5g}</td><td>{after:.5g}</td>"
        f"<td>{after - old:+.3g}</td><td>{'left out' if suspect else ''}</td></tr>"
        for sample_id, old, before, after, suspect in zip(
            moved.paired.sample_ids, moved.old_values, moved.before, moved.after, moved.suspect, strict=True)
    )
    return ("<table><tr><th>Sample</th><th>Old instrument</th><th>New, no transfer</th><th>New, transferred</th>"
            f"<th>Difference</th><th></th></tr>{rows}</table>")


def _pairs(moved: Moved, axes: Axes) -> None:
    old = moved.old_values
    ends = np.array([old.min(), old.max()])
    axes.plot(ends, ends, color=GREY, lw=1)
    axes.plot(old, moved.before, "x", ms=5, color=RED, alpha=0.8, label="no transfer")
    axes.plot(old, moved.after, "o", ms=4.5, color=BLUE, alpha=0.8, mew=0, label=f"{moved.chosen.name}, held out")
    if moved.suspect.any():
        axes.plot(old[moved.suspect], moved.after[moved.suspect], "D", ms=9, mfc="none", mec=ORANGE, label="left out")
    axes.set(xlabel=of_unit(moved.card, "Old instrument"), ylabel=of_unit(moved.card, "New instrument"),
             title=f"{moved.card.cqa}: the same samples on both instruments")
    axes.legend(frameon=False, fontsize=9)


def _references(moved: Moved, axes: Axes) -> None:
    tried = moved.tried
    if tried is None:
        raise ValueError("without references there is nothing to draw")
    truth = tried.home.truth
    ends = np.array([np.nanmin(truth), np.nanmax(truth)])
    axes.plot(ends, ends, color=GREY, lw=1)
    ways = (("no transfer", tried.refitted.plain, "x", RED), ("best map", tried.refitted.mapped, "o", BLUE),
            (POOLED, tried.refitted.pooled, "^", ORANGE))
    for name, values, mark, colour in ways:
        axes.plot(truth[tried.trusted], values[tried.trusted], mark, ms=5, color=colour, alpha=0.8, label=name)
    axes.set(xlabel=of_unit(moved.card, "Reference"), ylabel=of_unit(moved.card, "New instrument, held out"),
             title=f"{moved.card.cqa}: the pairs against their references")
    axes.legend(frameon=False, fontsize=9)


def _limits(moved: Moved, axes: Axes) -> None:
    kept = ~moved.suspect
    axes.loglog(moved.held_out[kept, 1], moved.held_out[kept, 2], "o", ms=4.5, color=BLUE, mew=0, alpha=0.8)
    for card, style in ((moved.card, "-"), (moved.home, "--")):
        axes.axvline(card.t2_limit, color=RED, ls=style, lw=1)
        axes.axhline(card.q_limit, color=RED, ls=style, lw=1)
    axes.set(xlabel="T²", ylabel="Q", title="Distances of the pairs and the limits")


def _methods(moved: Moved, axes: Axes) -> None:
    names = ["no transfer", *moved.rmse]
    sizes = [moved.rmse_before, *moved.rmse.values()]
    colours = [RED, *(BLUE if name == moved.chosen.name else GREY for name in moved.rmse)]
    axes.barh(names, sizes, color=colours)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel=of_unit(moved.card, "Root mean square difference to the old instrument"),
             title=f"What was tried; chosen: {moved.chosen.name}")


def _spectra(moved: Moved, axes: Axes) -> None:
    used = moved.card.window
    kept = ~moved.suspect
    old, new = moved.paired.old[kept][:, used], moved.paired.new[kept][:, used]
    axis = moved.card.axis[used]
    ways = [(new, RED, "no transfer")]
    if moved.chosen.on_spectra:
        ways.append((moved.chosen.spectra(new), BLUE, moved.chosen.name))
    for spectra, colour, text in ways:
        left = spectra - old
        axes.plot(axis, left.mean(axis=0), color=colour, lw=1.4, label=f"{text}: mean difference")
        axes.fill_between(axis, left.min(axis=0), left.max(axis=0), color=colour, alpha=0.15, lw=0)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set(xlabel=f"Axis ({moved.card.axis_unit.replace('cm-1', 'cm⁻¹')})", ylabel="New minus old",
             title="Spectra of the pairs: mean and range of the difference")
    axes.legend(frameon=False, fontsize=9)
