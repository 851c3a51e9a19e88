"""A journal spoilt in any way we know is found out, by both verifiers; the long form is `make tampering`."""

from __future__ import annotations

from deploy.tamper.campaign import FLIP, campaign
from deploy.tamper.ways import WAYS


def test_all_tampering_is_found() -> None:
    found = campaign(flips=100, others=4, seed=3, tell=lambda *_: None)
    assert found.missed == []
    assert found.disagree == []
    assert set(found.ways) == {FLIP, *WAYS}
    assert found.ways[FLIP].found == 100
    harmless = {FLIP, "blank a sector", "lose log or head"}  # empty space; a head that is not needed beside an anchor
    assert {name for name, tally in found.ways.items() if tally.changed_nothing} <= harmless
