"""bundle + plan + test set -> dossier: the case for a soft sensor, heading by heading, in HTML and PDF."""
