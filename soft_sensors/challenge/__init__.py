"""good spectra -> spectra with a known fault -> is the soft sensor warned before its value is wrong?"""
