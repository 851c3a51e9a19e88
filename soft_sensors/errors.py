"""The error tree of the soft sensors.

SensorError          the text is one line: what, where, how to mend it
+-- TableError       a table of spectra or references cannot be used
+-- CalibrationError the samples do not allow a model
+-- TransferError    no transfer to the new instrument is better than none
+-- RegistryError    the registry of models cannot be believed, or what was asked of it is not allowed
+-- BundleError      a model bundle cannot be used
    +-- AlteredError it is not what was written: a hash or a golden vector does not agree
"""

from __future__ import annotations


class SensorError(Exception):
    """Root of every error that the soft sensors raise on purpose."""


class TableError(SensorError):
    """A table of spectra or references cannot be used."""


class CalibrationError(SensorError):
    """The samples do not allow a model."""


class TransferError(SensorError):
    """The paired samples do not support a transfer: the answer is no."""


class RegistryError(SensorError):
    """The registry of models cannot be believed, or what was asked of it is not allowed."""


class BundleError(SensorError):
    """A model bundle cannot be used."""


class AlteredError(BundleError):
    """A bundle is not what was written: a hash or a golden vector does not agree."""
