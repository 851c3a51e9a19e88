"""A record whose chain holds but whose content no release writes -> one line that names it, for whoever reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge.errors import RecorderError
from edge.record.chain import Row

# What code that takes a record apart by its own idea of it may raise where the record is another.
OTHER_SHAPE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)


@contextmanager
def as_written(row: Row) -> Iterator[None]:
    """Take a record apart within this: RecorderError, with the record's number, when it is not of a known shape."""
    try:
        yield
    except OTHER_SHAPE as error:
        what = f"{type(error).__name__}: {error}"
        raise RecorderError(f"record {row.seq} ({row.kind}) is not as any release writes it ({what})") from error
