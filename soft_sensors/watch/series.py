"""A long sequence that is only added to at the end and shortened at the front, without being copied for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

BLOCK = 256  # items: what an addition may copy


@dataclass(frozen=True)
class Series(Generic[T]):
    """Items in order; immutable. whole: blocks that are full, last: the one that is being filled."""

    whole: tuple[tuple[T, ...], ...] = ()
    last: tuple[T, ...] = ()

    def __len__(self) -> int:
        return sum(len(block) for block in self.whole) + len(self.last)

    def __iter__(self) -> Iterator[T]:
        for block in self.whole:
            yield from block
        yield from self.last

    @property
    def newest(self) -> T | None:
        """The last item; None where there is none."""
        block = self.last or (self.whole[-1] if self.whole else ())
        return block[-1] if block else None

    def at(self, place: int) -> T:
        """The item at a place counted from 0. Raises IndexError."""
        for block in (*self.whole, self.last):
            if place < len(block):
                return block[place]
            place -= len(block)
        raise IndexError(place)

    def with_item(self, item: T) -> Series[T]:
        """The same with one more at the end."""
        last = (*self.last, item)
        return Series((*self.whole, last), ()) if len(last) >= BLOCK else Series(self.whole, last)

    def replaced(self, place: int, item: T) -> Series[T]:
        """The same with another item at a place counted from 0. Raises IndexError."""
        blocks = [*self.whole, self.last]
        for i, block in enumerate(blocks):
            if place < len(block):
                blocks[i] = (*block[:place], item, *block[place + 1 :])
                return Series(tuple(blocks[:-1]), blocks[-1])
            place -= len(block)
        raise IndexError(place)

    def without_first(self, gone: Callable[[T], bool]) -> Series[T]:
        """The same without the items at the front of which gone says so, up to the first that stays."""
        whole = self.whole
        while whole and gone(whole[0][-1]):
            whole = whole[1:]
        first = whole[0] if whole else self.last
        if not first or not gone(first[0]):
            return self if whole is self.whole else Series(whole, self.last)
        rest = first[next(k for k, item in enumerate((*first, None)) if item is None or not gone(item)) :]
        return Series((rest, *whole[1:]), self.last) if whole else Series((), rest)
