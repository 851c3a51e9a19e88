"""setpoint -> powder -> tablet: truth physics of a continuous direct-compression line, in plain floats."""
