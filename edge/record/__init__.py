"""thought -> record: the append-only, hash-chained journal of one line, and what reads it."""
