"""A series is a tuple in all it tells, and an addition copies no more than a block."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soft_sensors.watch.series import BLOCK, Series

MANY = 3 * BLOCK


@given(st.lists(st.tuples(st.sampled_from(["add", "drop", "put"]), st.integers(0, MANY)), max_size=40))
def test_it_is_a_tuple_in_all_it_tells(steps: list[tuple[str, int]]) -> None:
    series: Series[int] = Series()
    plain: list[int] = []
    for what, number in steps:
        if what == "add":
            for _ in range(number):
                plain.append((plain[-1] if plain else 0) + 1)
                series = series.with_item(plain[-1])
        elif what == "drop":
            least = (plain[0] if plain else 0) + number
            plain = [item for item in plain if item >= least]
            series = series.without_first(lambda item, least=least: item < least)  # type: ignore[misc]
        elif plain:
            place = number % len(plain)
            assert series.at(place) == plain[place]
            series = series.replaced(place, plain[place])
        assert list(series) == plain
        assert len(series) == len(plain)
        assert series.newest == (plain[-1] if plain else None)


def test_only_the_first_that_stay_away_go() -> None:
    series: Series[int] = Series()
    for item in (1, 9, 2, 3):
        series = series.with_item(item)
    assert list(series.without_first(lambda item: item < 5)) == [9, 2, 3]


def test_an_addition_copies_a_block_at_most() -> None:
    series: Series[int] = Series()
    for item in range(10 * BLOCK + 1):
        series = series.with_item(item)
    longer = series.with_item(-1)
    assert all(old is new for old, new in zip(series.whole, longer.whole, strict=True)), "full blocks are shared"
    assert max(len(block) for block in (*longer.whole, longer.last)) <= BLOCK


@pytest.mark.parametrize("place", [0, 1])
def test_a_place_that_is_not_there(place: int) -> None:
    with pytest.raises(IndexError):
        Series[int]().at(place)
    with pytest.raises(IndexError):
        Series[int]().replaced(place, 1)
