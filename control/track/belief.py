"""belief -> divert or not: material whose API may be outside its limits is asked to be rejected."""

from __future__ import annotations

from control.guard import Permission
from control.signals import Belief, Quality, Target


def divert(belief: Belief | None, target: Target, limit_lc_pct: float, sigmas: float) -> Permission:
    """Whether the material now at the press is to be diverted, with the reason.

    It is when the belief's interval of `sigmas` standard deviations leaves +-limit_lc_pct of label claim.
    """
    if belief is None or belief.quality is Quality.BAD:
        return Permission(given=False, reason="no belief to judge the material by")
    off_pct = 100 * (belief.api_pct / target.api_pct - 1)
    margin_pct = 100 * sigmas * belief.api_sigma_pct / target.api_pct
    if abs(off_pct) + margin_pct > limit_lc_pct:
        return Permission(given=True, reason=f"API {100 + off_pct:.1f}±{margin_pct:.1f} % of label claim")
    return Permission(given=False)
