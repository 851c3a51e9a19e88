"""command -> the line, or an operator: the handshake with the PLC and the verified write."""
