"""signed events -> which model may run: a registry is a folder that only grows, and every line of it is signed."""
