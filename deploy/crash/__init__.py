"""journal -> killed, cut off, filled up -> judged: campaigns that try to make the record lose what it acknowledged."""
