"""What numpy, zipfile and the header's parser raise on bytes that are no archive of arrays."""

from __future__ import annotations

import zlib
from tokenize import TokenError
from zipfile import BadZipFile

NPZ_ERRORS = (
    KeyError, ValueError, OSError, BadZipFile, zlib.error, RuntimeError, EOFError, TypeError, MemoryError, SyntaxError,
    TokenError,
)  # fmt: skip
