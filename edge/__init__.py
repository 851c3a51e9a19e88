"""the line -> sample -> thought -> the line: the box with its wires, clock, modes, people and record."""
