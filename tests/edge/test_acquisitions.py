"""What one look at the analyser after another is, and the health of items between looks."""

from __future__ import annotations

import pytest

from control.signals import Quality
from edge.acquire.acquisition import Kind, Seen, judge
from edge.acquire.health import HealthBook
from edge.acquire.protections import OPTIONAL, has, missing, spoken
from edge.acquire.raw import Raw

SEEN = Seen(counter=10, end_s=100.0, digest="a", moved_s=100.0, usual=1)


def look(before: Seen | None, counter: int, end_s: float, digest: str, now_s: float) -> tuple[Kind, str, Seen]:
    found = judge(before, counter, end_s, digest, now_s=now_s, max_age_s=12.0, look_s=5.0)
    return found.kind, found.text, found.seen


@pytest.mark.parametrize(
    ("counter", "end_s", "digest", "now_s", "kind", "word"),
    [
        (11, 105.0, "b", 105.0, Kind.NEW, ""),
        (10, 100.0, "a", 105.0, Kind.DUPLICATED, ""),
        (10, 100.0, "a", 113.0, Kind.STALLED, "stands still: acquisition 10 is the newest for 13 s"),
        (12, 105.0, "b", 105.0, Kind.SKIPPED, "1 acquisition was skipped, between 10 and 12"),
        (15, 125.0, "b", 125.0, Kind.SKIPPED, "4 acquisitions were skipped, between 10 and 15"),
        (11, 105.0, "a", 105.0, Kind.FROZEN, "acquisition 11 has the very values of 10"),
        (13, 115.0, "a", 115.0, Kind.FROZEN, "acquisition 13 has the very values of 10"),
        (3, 105.0, "b", 105.0, Kind.RESET, "its counter went from 10 to 3"),
        (10, 105.0, "b", 105.0, Kind.RESET, "its counter went from 10 to 10"),
        (10, 100.0, "b", 105.0, Kind.TORN, "other values than when it was read before"),
    ],
)
def test_each_kind_is_told_apart(
    counter: int, end_s: float, digest: str, now_s: float, kind: Kind, word: str
) -> None:  # fmt: skip
    found, text, _ = look(SEEN, counter, end_s, digest, now_s)
    assert found is kind
    assert word in text
    assert bool(text) is bool(word)


def test_the_first_look_is_new_and_an_analyser_that_is_faster_than_we_look_skips_nothing() -> None:
    kind, _, seen = look(None, 4, 100.0, "a", 100.0)
    assert kind is Kind.NEW
    for n in range(1, 6):
        kind, text, seen = look(seen, 4 + 5 * n, 100.0 + 5 * n, f"{n}", 100.0 + 5 * n)
        assert (kind, text) == (Kind.NEW, ""), "five a look are its usual number"
    kind, text, seen = look(seen, 44, 130.0, "z", 130.0)
    assert kind is Kind.SKIPPED
    assert "14 acquisitions" in text
    assert look(seen, 49, 135.0, "y", 135.0)[0] is Kind.NEW, "and five are still usual"


def raw(value: float, source_s: float | None, quality: Quality = Quality.GOOD, reason: str = "") -> Raw:
    return Raw(value, quality, reason, source_s or 0.0, source_s, 500.0)


def test_age_counts_from_when_an_item_was_last_seen_to_move() -> None:
    book = HealthBook()
    assert book.note({"A": raw(1.0, 40.0)}, 100.0)["A"].changed_s == 40.0, "a first look believes the source"
    assert book.note({"A": raw(1.0, 41.0)}, 105.0)["A"].changed_s == 105.0, "its clock is wrong, but it moves"
    assert book.note({"A": raw(1.0, 41.0)}, 110.0)["A"].changed_s == 105.0
    assert book.items()[0].age_s(120.0) == 15.0
    assert book.note({"A": raw(1.0, None)}, 130.0)["A"].changed_s == 130.0, "without a source time receipt counts"


def test_what_is_bad_or_skewed_is_told_and_what_has_not_come_yet_is_not() -> None:
    book = HealthBook()
    waiting = raw(0.0, 100.0, Quality.BAD, "BadWaitingForInitialData")
    broken = raw(0.0, 100.0, Quality.BAD, "BadSensorFailure")
    book.note({"W": waiting, "B": broken, "G": raw(1.0, 103.0)}, 100.0)
    told = {f.name: f.text for f in book.findings(100.0, -2.5)}
    assert set(told) == {"tags_bad", "clock_server", "clock_source"}
    assert "1 of 3 tags are bad: B (never seen: BadSensorFailure)" in told["tags_bad"]
    assert "-2.5 s off ours" in told["clock_server"]
    assert "G comes 3.0 s from the future" in told["clock_source"]
    book.note({"W": waiting, "B": raw(1.0, 100.5), "G": raw(1.0, 100.5)}, 100.0)
    for off_s in (None, 1.0, -2.0):
        assert list(book.findings(100.0, off_s)) == [], "a second is synchronised; the value may be a second old"
    assert [f.name for f in book.findings(100.0, 1.1)] == ["clock_server"]
    seen = {h.tag: h.seen for h in book.items()}
    assert seen == {"W": False, "B": True, "G": True}
    book.note({"B": broken}, 105.0)
    assert "B (BadSensorFailure)" in next(iter(book.findings(105.0, 0.0))).text


def test_protections_are_named_for_what_is_not_there() -> None:
    assert missing("full") == ()
    assert spoken("full") == frozenset(OPTIONAL)
    plain = ("SP_Working",)
    assert has(plain, "Request")
    assert not has(plain, "SessionId")
    told = missing(plain)
    assert len(told) == len(OPTIONAL) - 1
    assert any(t == "without SP_SeqEcho a late write cannot be told from a fresh one; it is noticed afterwards, "
               "by what the PLC works with" for t in told)  # fmt: skip
