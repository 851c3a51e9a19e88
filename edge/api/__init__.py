"""record -> other systems over HTTP: what was seen, thought and done, read-only; what they tell becomes records."""
