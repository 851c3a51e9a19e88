"""numbers -> texts: as many digits as the result is worth, and no noise where a number is zero to rounding."""

from __future__ import annotations

import math


def places_for(uncertainty: float) -> int:
    """Decimals that show an uncertainty with three digits; all results beside it get the same."""
    if not (math.isfinite(uncertainty) and uncertainty > 0):
        return 3
    return max(0, 2 - math.floor(math.log10(uncertainty)))


def fixed(value: float, places: int) -> str:
    """With so many decimals and a real minus sign; a dash for what is no number."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float, places: int) -> str:
    """As fixed, with a plus sign where it is positive."""
    text = fixed(value, places)
    return f"+{text}" if math.isfinite(value) and float(text.replace("−", "-")) > 0 else text


def p_said(value: float) -> str:
    """A probability inside a sentence: p = 0.87, or p < 0.001."""
    said = p_value(value)
    return f"p {said}" if said.startswith("<") else f"p = {said}"


def p_value(value: float) -> str:
    """A probability as it is printed in a report."""
    if not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.01 else f"{value:.2f}"
