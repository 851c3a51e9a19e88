"""journal -> page: what the operator sees; requests go the other way, as records appended to the journal."""
