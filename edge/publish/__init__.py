"""journal -> other systems: each publisher is a reader of the record with its own cursor, in a process of its own."""
