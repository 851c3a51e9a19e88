"""journal -> spoilt in every way we know -> found or not."""
