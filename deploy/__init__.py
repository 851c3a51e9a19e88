"""the product -> a machine: line files, units, and the commands that need every part."""
