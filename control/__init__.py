"""estimate -> setpoint: observe, decide, guard."""
