"""model of the old instrument + paired spectra -> model of the new instrument (never imported by the service)."""
