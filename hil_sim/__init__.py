"""setpoint -> line: the line that is not there."""
