"""the line -> scan: what is read, over which wire."""
