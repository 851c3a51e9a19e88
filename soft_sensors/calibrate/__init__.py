"""spectra + references -> bundle: fitting, validation and export; offline only, never imported by the service."""
