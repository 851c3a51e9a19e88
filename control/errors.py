"""Errors of the control package; the box maps them to exit code 2."""

from __future__ import annotations


class ControlError(Exception):
    """The controller's settings or bundle are wrong; the text names the thing and the mend."""
