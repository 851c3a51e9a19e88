"""spectrum -> estimate: soft sensors, their bundles and their makers."""
